package tools

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// asking holds what a server must remember while clients ask their persons.
type asking struct {
	ctx context.Context // ends with StopWaiting
	// dialogues are the requests with a dialogue that a client of the legacy protocol shows now, by
	// id. machines are the requests that are not shown to others yet, by id; the value, an
	// *atomic.Bool, is true once the client sent a reply that no person can have given.
	dialogues, machines sync.Map
}

// ask shows a pending request to people and returns the call's result. The request is in the inbox
// already; a client that can ask its person is one more way to answer it. In the modern protocol the
// result is the elicitation: the client calls again with the response.
func (c *call) ask(ctx context.Context, p *policy.PendingApproval) *mcp.CallToolResult {
	link := ""
	if p.Dialogue == policy.URLDialogue {
		if link = c.runner.Inbox.Link(p.ApprovalID); link == "" {
			p.Dialogue = policy.NoDialogue
		}
	}
	if p.New {
		c.announce(p)
	}
	params := elicitation(p.Card)
	switch {
	case p.Dialogue == policy.NoDialogue:
		return c.wait(ctx, p, nil)
	case p.Dialogue == policy.URLDialogue:
		params = openCard(p, link)
	}
	if server.IsModernRequest(ctx) {
		state := c.stamps.Make(c.owner(p.Dialogue), p.ApprovalID, c.runner.Gate.Now())
		return server.NewInputRequestBuilder(state).Elicit(approvalKey, params).ToolResult()
	}
	dialogue, sent := c.startDialogue(ctx, p, params), time.Now()
	res := c.wait(ctx, p, dialogue)
	if left := sentWithin - time.Since(sent); dialogue != nil && left > 0 && !res.IsError {
		select {
		case <-time.After(left):
		case <-ctx.Done():
		}
	}
	return res
}

// sentWithin is the time in which a dialogue leaves on the stream of its call. A call that does not
// wait for the answer stays as long.
const sentWithin = 250 * time.Millisecond

// announce shows a new request to approvers and to the person at this machine: at once if the client
// does not ask, and otherwise if nobody has answered a while later.
func (c *call) announce(p *policy.PendingApproval) {
	in := c.runner.Inbox
	if p.Dialogue == policy.NoDialogue {
		in.Show(c.caller.Caller, p, false)
		return
	}
	machine := new(atomic.Bool)
	c.asking.machines.Store(p.ApprovalID, machine)
	go func() {
		defer c.asking.machines.Delete(p.ApprovalID)
		select {
		case <-c.asking.ctx.Done():
			return
		case <-time.After(c.runner.Gate.ClientFirst):
		}
		r, err := c.runner.Gate.Ledger.Approval(c.asking.ctx, p.ApprovalID)
		if err == nil && r.State == ledger.Pending {
			in.Show(c.caller.Caller, p, c.habit == draws && !machine.Load())
		}
	}()
}

// reaction is what became of a dialogue.
type reaction struct {
	event ledger.ClientEventKind // why no answer was recorded; empty if one was
	fault *schemas.Error
	fast  bool // it came sooner than a person can react
}

// startDialogue asks the client's person in the legacy protocol, on the stream of this call. A reply
// counts as long as the request is open, also after the call has answered. It returns a channel that
// receives what became of the dialogue; nil if the client shows one about this request already.
func (c *call) startDialogue(ctx context.Context, p *policy.PendingApproval, params mcp.ElicitationParams) <-chan reaction {
	if _, shown := c.asking.dialogues.LoadOrStore(p.ApprovalID, true); shown {
		return nil
	}
	asking, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(c.asking.ctx, end)
	go func() {
		c.runner.Gate.AwaitApproval(asking, c.runner.Inbox.Watch, p.ApprovalID)
		end()
	}()
	out := make(chan reaction, 1)
	go func() {
		defer c.asking.dialogues.Delete(p.ApprovalID)
		defer stop()
		defer end()
		sent := c.runner.Gate.Now()
		response, err := server.ServerFromContext(ctx).RequestElicitation(asking, mcp.ElicitationRequest{
			Request: mcp.Request{Method: string(mcp.MethodElicitationCreate)}, Params: params})
		if asking.Err() != nil {
			return // the request has ended, or the server stops
		}
		reply := replyOf(response)
		reply.Opened = p.Dialogue == policy.URLDialogue
		if err != nil {
			reply.Action = policy.ClientFails
		}
		out <- c.record(asking, p.ApprovalID, reply, sent)
	}()
	return out
}

// record records a client's reply to the dialogue that was sent at a time.
func (c *call) record(ctx context.Context, id string, reply policy.ClientReply, sent time.Time) reaction {
	reply.After = c.runner.Gate.Now().Sub(sent)
	q, fault := c.runner.call(c.request, id)
	r := reaction{fault: fault, fast: reply.After < policy.SoonestAnswer}
	if fault == nil {
		r.event, r.fault = c.runner.Gate.RecordReply(ctx, q, reply)
	}
	if machine, waits := c.asking.machines.Load(id); waits && r.event != "" && r.fast {
		machine.(*atomic.Bool).Store(true)
	}
	c.runner.Inbox.Watch.Poke()
	return r
}

// resume handles the second call of a modern client, which has the response to the dialogue.
func (c *call) resume(ctx context.Context) *mcp.CallToolResult {
	if !c.request.CanAsk && !c.request.CanOpen {
		return c.run(ctx) // it has no person's response, so its call is like any other
	}
	reply := replyOf(server.ElicitationResponse(c.mcp.Params.InputResponses, approvalKey))
	id, sent, ok := c.stamps.Read(c.owner(policy.FormDialogue), c.mcp.Params.RequestState, c.runner.Gate.Now())
	if !ok {
		id, sent, ok = c.stamps.Read(c.owner(policy.URLDialogue), c.mcp.Params.RequestState, c.runner.Gate.Now())
		reply.Opened = true
	}
	if !ok {
		return c.show(c.runner.fail(c.request.Action, &schemas.Error{Outcome: schemas.Denied, Message: "this requestState is not one of this caller's; nothing ran",
			Next: "call again without requestState, and the person is asked again"}))
	}
	r := c.record(ctx, id, reply, sent)
	if r.fault != nil {
		return c.show(c.runner.fail(c.request.Action, r.fault))
	}
	done := make(chan reaction, 1)
	done <- r
	return c.wait(ctx, &policy.PendingApproval{ApprovalID: id}, done)
}

// wait waits a while for an answer, whoever gives it: not for another person, not while another call
// of the caller waits, and not after the client's person closed the dialogue without an answer.
func (c *call) wait(ctx context.Context, p *policy.PendingApproval, dialogue <-chan reaction) *mcp.CallToolResult {
	wait, cancel := context.WithDeadline(ctx, c.began.Add(c.runner.Inbox.Wait))
	defer cancel()
	defer context.AfterFunc(c.asking.ctx, cancel)()
	if p.Card.Needs == rules.Approve.String() {
		cancel() // another person may come much later
	} else if stop, ok := c.runner.beginWait(c.caller.Caller); ok {
		defer stop()
		defer c.progress(wait)()
	} else {
		cancel() // another call waits
	}
	var unanswered atomic.Value // a ledger.ClientEventKind
	go func() {
		select {
		case r := <-dialogue:
			unanswered.Store(r.event)
			if r.fault != nil || r.event != "" && !r.fast {
				cancel()
			}
		case <-wait.Done():
		}
	}()
	result := c.runner.Await(ctx, wait, c.request, p, func() string {
		kind, _ := unanswered.Load().(ledger.ClientEventKind)
		return unansweredTexts[kind]
	})
	if result.Pending != nil && ctx.Err() != nil && c.asking.ctx.Err() == nil {
		c.runner.Gate.RecordClientEvent(ctx, p.ApprovalID, c.caller.Caller, ledger.ClientDeparted)
	}
	return c.show(result)
}

// unansweredTexts say what a client did instead of passing on a person's answer.
var unansweredTexts = map[ledger.ClientEventKind]string{
	ledger.ClientCancelled: "the client closed its question without an answer",
	ledger.ClientTooFast:   "the client answered sooner than a person can, which does not count",
	ledger.ClientUnclear:   "the client's reply was no clear answer, which does not count",
	ledger.ClientFailed:    "the client could not ask its person",
}

// owner identifies in stamps the caller and the dialogue that they were sent: a client that declares
// something else in its second call has still not shown a form.
func (c *call) owner(d policy.Dialogue) string {
	return c.caller.Actor.String() + "\x00" + c.caller.Credential + "\x00" + strconv.Itoa(int(d))
}

// progressEvery is how often a waiting call sends progress, which keeps clients from giving up.
const progressEvery = 10 * time.Second

// progress sends progress to a client that asked for it, until done is called.
func (c *call) progress(ctx context.Context) (done func()) {
	meta := c.mcp.Params.Meta
	if meta == nil || meta.ProgressToken == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		t := time.NewTicker(progressEvery)
		defer t.Stop()
		for n := 1; ; n++ {
			_ = server.ServerFromContext(ctx).SendNotificationToClient(ctx, "notifications/progress", map[string]any{
				"progressToken": meta.ProgressToken, "progress": n, "message": "waiting for a person's answer"})
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
		}
	}()
	return cancel
}
