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

	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Runner takes the arguments of a call to its result: check, gate, render. It knows nothing of MCP,
// so that `sippet-mcp call` and the tools do the same. It is safe for concurrent use.
type Runner struct {
	Gate *policy.Gate
	// Rows and Bytes bound an answer; 0 means DefaultRows and DefaultBytes.
	Rows, Bytes int
	// Simulated marks every answer as the sandbox's.
	Simulated bool
	// Inbox is where people answer approval requests.
	Inbox *Inbox
	// Command returns the command line with which a person can run a call, once more if again is
	// true; nil if there is none.
	Command func(action string, args []byte, again bool) string

	mu sync.Mutex
	// unknown are default fields that the live server does not know, by action.
	unknown map[string]map[string]bool
	// waiting are the callers with a call that waits for a person.
	waiting map[string]bool
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
	// ApprovalID is the id of the request that a person answered; empty on the first attempt.
	ApprovalID string
	// Again is true if the call is meant even though the same call ran a moment ago: a person is
	// asked.
	Again bool
	// CanAsk is true if the client can show its person a form, CanOpen if it can open an address
	// for them, and somebody is known to sit there.
	CanAsk, CanOpen bool
}

// Result is the result of a call, ready to be shown.
type Result struct {
	Outcome schemas.Outcome
	// Structured is a JSON object for programs. Text is the same as compact JSON, with untrusted
	// text between the marker's tags.
	Structured, Text []byte
	// Pending is set if a person must answer before the call can run.
	Pending *policy.PendingApproval
	// Fields are the fields that were asked for, in the caller's order; nil without any.
	Fields []string
	// Err is the error in Structured; nil if the call ran.
	Err *schemas.Error

	marker    string   // fences untrusted text; empty without any
	untrusted []string // the paths of untrusted texts
	stripped  int      // how many invisible characters and control sequences were removed
}

// Call takes a request through the gate. If a person must be asked, it returns at once, with
// Pending: see Await.
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
		a := r.Gate.Do(ctx, policy.Call{Caller: q.Caller, Payload: p, ApprovalID: q.ApprovalID, Again: q.Again, CanAsk: q.CanAsk, CanOpen: q.CanOpen,
			Shows: func(data json.RawMessage) int { return r.shows(q, p, data) }})
		if a.Err != nil && r.dropUnknown(p, a.Err) {
			continue
		}
		return r.answer(ctx, q, p, a, append(notes, p.Notes...))
	}
}

// answer renders the result of a call. What a list needs beyond its page is read before.
func (r *Runner) answer(ctx context.Context, q Request, p *schemas.Payload, a policy.Result, notes []string) Result {
	if ctx.Err() == nil { // otherwise the caller receives nothing
		r.Gate.MarkReported(ctx, a)
	}
	if a.Err != nil {
		var pending *pendingMember
		if a.Pending != nil {
			pending = r.Inbox.member(a.Pending)
		}
		res := r.newRenderer(0).failure(p.Action.Name, a.Err, pending)
		res.Pending = a.Pending
		return res
	}
	w := r.newRenderer(len(a.Data))
	w.hidden = r.Gate.Hidden(q.Caller, p.Action)
	c := completed{payload: p, result: a, notes: notes, asOf: r.Gate.Now()}
	if a.Previous != nil {
		c.command = r.command(q, true)
	}
	if p.Action.List() {
		l := r.readList(ctx, q, p, a, w)
		c.list = &l
	}
	return w.completed(c)
}

// call returns the request as the gate takes it, for recording an answer to the approval request
// id. The arguments were valid before, so an error means that the client changed them.
func (r *Runner) call(q Request, id string) (policy.Call, *schemas.Error) {
	action, err := schemas.Find(q.Action)
	if err != nil {
		return policy.Call{}, err
	}
	p, err := action.Check(q.Args, r.limits(q, action))
	if err != nil {
		return policy.Call{}, err
	}
	return policy.Call{Caller: q.Caller, Payload: p, ApprovalID: id, Again: q.Again, CanAsk: q.CanAsk, CanOpen: q.CanOpen}, nil
}

// fail renders an error.
func (r *Runner) fail(action string, e *schemas.Error) Result {
	return r.newRenderer(0).failure(action, e, nil)
}

// maxCommand bounds the command line that a person is told to copy, in bytes.
const maxCommand = 4000

// command returns the command line with which the person at this machine runs the call. It is empty
// if it would be too long, or if the caller has a token: their organisation, policy and machine may
// be others.
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

// newRenderer returns a renderer for an answer made of about size of Sippet's bytes.
func (r *Runner) newRenderer(size int) *renderer {
	var b [3]byte
	rand.Read(b[:]) // never fails
	size = min(size, r.bytes()) + 512
	return &renderer{marker: hex.AppendEncode(nil, b[:]), maxRows: r.rows(), maxBytes: r.bytes(), simulated: r.Simulated,
		plain: make([]byte, 0, size), fenced: make([]byte, 0, size+size/2)}
}

// dropUnknown stops asking for a default field that the server does not know. It reports whether
// the call can be tried again without it: reads only, because the published API may be older or
// newer than the server, and a caller who named no field need not know.
func (r *Runner) dropUnknown(p *schemas.Payload, e *schemas.Error) bool {
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
				// A new map, because limits hands out the old one.
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
