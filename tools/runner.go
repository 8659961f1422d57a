package tools

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"

	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Runner takes the arguments of one call to its result: check, gate, render.
// It knows nothing of MCP, so that `sippet-mcp call` and the tools are the
// same thing. It is safe for concurrent use.
type Runner struct {
	Gate *policy.Gate
	// Rows and Bytes bound an answer; 0 means DefaultRows and DefaultBytes.
	Rows, Bytes int
	// Simulated marks every answer: it comes from the sandbox.
	Simulated bool
	// Inbox is where people answer what nobody can be asked at once; nil where there is no such place, as Gate.Inbox says.
	Inbox *Inbox
	// Command gives the command line with which a person can run a call themselves, again where it ran already; nil where there is none.
	Command func(action string, args []byte, again bool) string

	mu sync.Mutex
	// unknown are default fields that the live server does not know, by action.
	unknown map[string]map[string]bool
}

// The bounds of an answer: what a model can read without losing the rest of its context.
const (
	DefaultRows  = 100
	DefaultBytes = 50_000
)

// Request is one call.
type Request struct {
	policy.Caller
	// Action is the action's name; Args are its arguments, JSON.
	Action string
	Args   []byte
	// ApprovalID is the id of the question that a person answered; empty on the first pass.
	ApprovalID string
	// Again says that it is meant even where the same ran a moment ago: a person is asked.
	Again bool
	// CanAsk says that whoever calls can put a question to their person at once.
	CanAsk bool

	met  rules.Decision // what the policy demanded of it
	paid bool           // it was charged to a budget
}

// Result is how a call ended, ready to show.
type Result struct {
	Outcome schemas.Outcome
	// Structured is a JSON object for programs; Text is the same as compact JSON in which text from outside is fenced by the marker.
	Structured, Text []byte
	// Marker fences text from outside; Outside says where it stands. Empty where there is none.
	Marker  string
	Outside []string
	// Stripped counts invisible characters and control sequences that were taken out.
	Stripped int
	// Pending is set where a person must be asked before the same request, with the grant's id, can run.
	Pending *policy.PendingApproval
	// Fields are the fields asked for, in the caller's order; nil where there are none.
	Fields []string
	// Err is the failure behind Structured; nil where the call ran.
	Err *schemas.Error
}

// Call takes a request along the road. Where a person is due it answers at
// once, with Pending.
func (r *Runner) Call(ctx context.Context, q Request) Result {
	action, err := schemas.Find(q.Action)
	if err != nil {
		return r.fail(q.Action, err)
	}
	for {
		limits := r.limits(q, action)
		p, err := action.Check(q.Args, limits)
		if err != nil {
			return r.fail(action.Name, err)
		}
		var notes []string
		if len(limits.Without) > 0 && p.DefaultFields {
			notes = append(notes, "this Sippet server does not know these default fields, so they were left out: "+
				strings.Join(slices.Sorted(maps.Keys(limits.Without)), ", "))
		}
		a := r.Gate.Do(ctx, policy.Call{Caller: q.Caller, Payload: p, ApprovalID: q.ApprovalID, Again: q.Again, CanAsk: q.CanAsk})
		if a.Err != nil && r.forget(p, a.Err) {
			continue
		}
		return r.render(ctx, q, p, a, append(notes, p.Notes...))
	}
}

// render shows how a call ended, or that a person is due.
func (r *Runner) render(ctx context.Context, q Request, p *schemas.Payload, a policy.Result, notes []string) Result {
	if ctx.Err() == nil {
		r.Gate.MarkReported(ctx, a)
	}
	if a.Err == nil {
		return r.done(ctx, q, p, a, notes)
	}
	if a.Pending != nil && a.Pending.Inbox && r.Inbox != nil {
		return r.renderPending(p.Action.Name, a)
	}
	res := r.fail(p.Action.Name, a.Err)
	res.Pending = a.Pending
	return res
}

// call builds what the gate knows the request as, for recording an answer.
// The arguments have passed Check before, so a failure here is a changed request.
func (r *Runner) call(q Request, id string) (policy.Call, *schemas.Error) {
	action, err := schemas.Find(q.Action)
	if err != nil {
		return policy.Call{}, err
	}
	p, err := action.Check(q.Args, r.limits(q, action))
	if err != nil {
		return policy.Call{}, err
	}
	return policy.Call{Caller: q.Caller, Payload: p, ApprovalID: id, Again: q.Again, CanAsk: q.CanAsk}, nil
}

// Answer records what a person said to the question grant, and takes the
// request along the road again.
func (r *Runner) Answer(ctx context.Context, q Request, id string, reply approval.Reply) Result {
	c, err := r.call(q, id)
	if err == nil {
		err = r.Gate.RecordReply(ctx, c, reply)
	}
	if err != nil {
		return r.fail(q.Action, err)
	}
	q.ApprovalID = id
	return r.Call(ctx, q)
}

// WithdrawUnasked takes a question back that could not be put to anybody, and says so.
func (r *Runner) WithdrawUnasked(ctx context.Context, q Request, id, why string) Result {
	c, err := r.call(q, id)
	if err != nil {
		return r.fail(q.Action, err)
	}
	if e := r.Gate.Withdraw(ctx, c); e != nil {
		return r.fail(q.Action, e)
	}
	e := &schemas.Error{Outcome: schemas.Denied, Message: why + ", so " + q.Action + " did not run",
		Next: "tell the person what you wanted to do and why; they can do it in Sippet itself"}
	if line := r.command(q, false); line != "" {
		e.Next = "tell the person what you wanted to do and why; they can run it in a terminal, where they are asked: " + line
	}
	return r.fail(q.Action, e)
}

// maxCommand bounds the command line that a person is given to copy.
const maxCommand = 4000

// command is the line with which the person at this machine runs the call, again where it ran already; empty where it
// is too long, or where the caller came with a token: then it is another organisation, policy or machine that is theirs.
func (r *Runner) command(q Request, again bool) string {
	if r.Command == nil || q.Credential != "" {
		return ""
	}
	if line := r.Command(q.Action, withoutReason(q.Args), again); len(line) <= maxCommand {
		return line
	}
	return ""
}

func withoutReason(args []byte) []byte {
	m := map[string]json.RawMessage{}
	if len(args) > 0 && json.Unmarshal(args, &m) != nil {
		return args
	}
	delete(m, "reason")
	return encode(m)
}

func (r *Runner) limits(q Request, a *schemas.Action) schemas.Limits {
	hidden := r.Gate.Hidden(q.Caller, a)
	r.mu.Lock()
	defer r.mu.Unlock()
	return schemas.Limits{Now: r.Gate.Now(), Rows: r.rows(), Without: r.unknown[a.Name], Hidden: hidden}
}

func (r *Runner) rows() int {
	if r.Rows > 0 {
		return r.Rows
	}
	return DefaultRows
}

func (r *Runner) bytes() int {
	if r.Bytes > 0 {
		return r.Bytes
	}
	return DefaultBytes
}

// forget drops a default field that the server refused, for reads only; false
// where that is not what went wrong. The published API drifts, and a caller
// who named no field should not have to know.
func (r *Runner) forget(p *schemas.Payload, e *schemas.Error) bool {
	if p.Action.Class != schemas.Read || !p.DefaultFields || e.Outcome != schemas.UpstreamError && e.Outcome != schemas.ValidationFailed {
		return false
	}
	fields, _ := p.Args["fields"].([]any)
	if len(fields) < 2 {
		return false
	}
	for _, d := range e.Details {
		if d.Type != "unknown_field" {
			continue
		}
		for _, w := range strings.Fields(d.Message) {
			for _, f := range fields {
				if f != w {
					continue
				}
				r.mu.Lock()
				defer r.mu.Unlock()
				if r.unknown == nil {
					r.unknown = map[string]map[string]bool{}
				}
				// A new map: limits has given the old one away.
				next := map[string]bool{w: true}
				for k := range r.unknown[p.Action.Name] {
					next[k] = true
				}
				r.unknown[p.Action.Name] = next
				return true
			}
		}
	}
	return false
}

// newRenderer begins an answer made of about so many of Sippet's bytes.
func (r *Runner) newRenderer(size int) *renderer {
	var b [3]byte
	rand.Read(b[:]) // never fails
	size = min(size, r.bytes()) + 512
	return &renderer{marker: hex.AppendEncode(nil, b[:]), plain: make([]byte, 0, size), fenced: make([]byte, 0, size+size/2)}
}

// finish closes the object that both outputs hold and makes it a result.
func (r *Runner) finish(w *renderer, o schemas.Outcome) Result {
	if r.Simulated {
		w.put(`,"simulated":true`)
	}
	w.put("}")
	res := Result{Outcome: o, Structured: w.plain, Text: w.fenced, Outside: w.outside, Stripped: w.stripped}
	if len(w.outside) > 0 {
		res.Marker = string(w.marker)
	}
	return res
}

// fail shows an error: what went wrong, whether anything ran, what to do next.
func (r *Runner) fail(action string, e *schemas.Error) Result { return r.failing(action, e, nil) }

// failing is fail with more to show of a question that waits.
func (r *Runner) failing(action string, e *schemas.Error, approval any) Result {
	w := r.newRenderer(0)
	w.put(`{"outcome":"` + string(e.Outcome) + `"`)
	if _, err := schemas.Find(action); err == nil {
		w.own("action", action)
	}
	w.own("message", e.Message)
	if e.Outcome == schemas.OutcomeUnknown {
		w.put(`,"ran":"unknown"`)
	} else {
		w.put(`,"ran":false`)
	}
	if len(e.Details) > 0 {
		w.put(`,"details":[`)
		for i, d := range e.Details {
			if i > 0 {
				w.put(",")
			}
			w.detail(d)
		}
		w.put("]")
	}
	if e.RetryAfter > 0 {
		w.own("retryAfterSeconds", int64((e.RetryAfter+time.Second-1)/time.Second))
	}
	if e.Intent != "" {
		w.own("intent", e.Intent)
	}
	if approval != nil {
		w.own("approval", approval)
	}
	if e.Next != "" {
		w.own("nextStep", e.Next)
	}
	res := r.finish(w, e.Outcome)
	res.Err = e
	return res
}

// detail shows one fault; where Sippet worded it, it is text from outside.
func (r *renderer) detail(d schemas.Detail) {
	if d.Type == "" {
		r.putRaw(encode(d))
		return
	}
	path, n := schemas.Clean(d.Path)
	r.stripped += n
	r.put("{")
	if path != "" {
		r.put(`"path":`)
		r.value(encode(path), nil, "details[].path")
		r.put(",")
	}
	r.put(`"type":`)
	r.value(encode(d.Type), typeField, "details[]")
	r.put(`,"message":`)
	r.value(encode(d.Message), nil, "details[].message")
	r.put("}")
}

// typeField is the shape of Sippet's error types.
var typeField = &schemas.Field{Name: "type", Kind: schemas.Word}
