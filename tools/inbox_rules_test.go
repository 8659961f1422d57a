package tools_test

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"

	"pgregory.net/rapid"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// demanded is what byName demands of a payload.
func demanded(p *schemas.Payload) string {
	if p.Action.Name != "create_contact" {
		return demands[p.Action.Name].decision
	}
	in, _ := p.Args["input"].(map[string]any)
	decision, _, _ := strings.Cut(in["fullName"].(string), " ")
	return decision
}

// check looks at all that ran since the last look.
func (l *lottery) check(rt *rapid.T) {
	all := l.up.Requests()
	var ran []rpctest.Request
	for i := l.seen; i < len(all); i++ {
		r := all[i]
		if r.Endpoint != rpctest.Run || approval.IsRead(r.Action) {
			continue
		}
		ran = append(ran, r)
		// In one pass with it: nothing but a look at what it replaces is between.
		at := i - 1
		for at >= l.seen && all[at].Endpoint == rpctest.Run && approval.IsRead(all[at].Action) {
			at--
		}
		if at < l.seen || all[at].Endpoint != rpctest.Validate || string(all[at].Body) != string(r.Body) {
			rt.Fatalf("%s ran without a validate of the same bytes just before it", r.Body)
		}
		if l.stopped && r.Action != ledger.HangUp {
			rt.Fatalf("%s ran while everything was stopped", r.Body)
		}
	}
	l.seen = len(all)
	if len(ran) == 0 {
		return
	}
	intents := l.intents(rt)
	if len(intents) != l.runs+len(ran) {
		rt.Fatalf("%d calls reached upstream and %d are recorded", l.runs+len(ran), len(intents))
	}
	for i, r := range ran {
		in := intents[l.runs+i]
		p, err := schemas.Restore(r.Body)
		if err != nil {
			rt.Fatal(err)
		}
		if in.Action != r.Action {
			rt.Fatalf("%s ran, and %s is recorded", r.Action, in.Action)
		}
		switch need := demanded(p); {
		case need == "deny":
			rt.Fatalf("%s ran, which is denied", r.Body)
		case in.ApprovalID != "":
			l.agreed(rt, &in, need)
		case need != "validate":
			rt.Fatalf("%s needs %s and ran without a yes", r.Body, need)
		}
		l.once(rt, intents[:l.runs+i], &in, p)
	}
	l.runs = len(intents)
}

// intents gives the runs of the round that are no reads, oldest first.
func (l *lottery) intents(rt *rapid.T) (all []ledger.Intent) {
	for _, who := range []string{"ada", "bo"} {
		some, err := l.gate.Ledger.Intents(context.Background(), ledger.IntentFilter{Caller: l.name(who)})
		if err != nil {
			rt.Fatal(err)
		}
		all = append(all, some...)
	}
	all = slices.DeleteFunc(all, func(in ledger.Intent) bool { return in.Class == schemas.Read })
	slices.SortFunc(all, func(a, b ledger.Intent) int { return strings.Compare(a.ID, b.ID) }) // an id begins with the number of its record
	return all
}

// agreed: the run's yes was to this call by somebody who may, in time, and it is spent by it.
func (l *lottery) agreed(rt *rapid.T, in *ledger.Intent, need string) {
	q := l.approval(rt, in.ApprovalID)
	if q.State != ledger.Used || q.Intent != in.ID {
		rt.Fatalf("%s ran with a yes that is %s, for the run %s", in.Action, q.State, q.Intent)
	}
	if q.Requester != in.Caller || q.Action != in.Action || need == "approve" && q.Needs != "approve" {
		rt.Fatalf("%s by %s, which needs %s, ran with a yes to %s by %s for %s", in.Action, in.Caller, need, q.Needs, q.Requester, q.Action)
	}
	answers, err := l.gate.Ledger.Records(context.Background(), ledger.Filter{ApprovalID: q.ID, Phase: ledger.PhaseAnswered})
	if err != nil || len(answers) != 1 || answers[0].State != string(ledger.Approved) || answers[0].By != q.By || answers[0].Time.After(in.Prepared) {
		rt.Fatalf("%s ran with %d answers, %+v, %v", in.Action, len(answers), answers, err)
	}
	if !q.Inbox {
		if q.By.Via != "client" || q.Needs != "confirm" || !l.accepted[q.ID] {
			rt.Fatalf("%s, which needs %s, ran with an answer by %q that its client did not give", in.Action, q.Needs, q.By)
		}
		return
	}
	name := q.By.Name
	roles := map[string][]string{"bob": {approval.RoleApprover}, strings.ToUpper(l.name("bo")): {approval.RoleApprover}, "robot": {approval.RoleApprover, approval.RoleAgent}}[name]
	if !may(approval.Person{Name: name, Roles: roles}, &q) {
		rt.Fatalf("%s needs %s, was asked by %s, and %s agreed", in.Action, q.Needs, q.Person, q.By)
	}
	if in.Prepared.Sub(q.Answered) >= approval.ValidFor {
		rt.Fatalf("%s ran %s after %s agreed", in.Action, in.Prepared.Sub(q.Answered), q.By)
	}
}

// once: no yes is spent twice, and nothing runs twice that must not without a yes that was told of the first.
func (l *lottery) once(rt *rapid.T, before []ledger.Intent, in *ledger.Intent, p *schemas.Payload) {
	for _, b := range before {
		if in.ApprovalID != "" && b.ApprovalID == in.ApprovalID {
			rt.Fatalf("%s ran twice with one yes", in.Action)
		}
	}
	if p.Action.Name == ledger.HangUp {
		return
	}
	for _, b := range slices.Backward(before) {
		full, err := l.gate.Ledger.Intent(context.Background(), b.ID)
		if err != nil {
			rt.Fatal(err)
		}
		if b.Caller != in.Caller || string(full.Payload) != string(p.Body) {
			continue
		}
		stands := b.State == ledger.Unknown || b.State == ledger.Succeeded && !p.Action.Idempotent && b.Settled.After(in.Prepared.Add(-10*time.Minute))
		if !stands {
			continue
		}
		if in.ApprovalID == "" || l.approval(rt, in.ApprovalID).Repeats != b.ID {
			rt.Fatalf("%s ran again, %s after it ended as %s, and nobody was told of that", p.Body, in.Prepared.Sub(b.Settled), b.State)
		}
		return // of several the last one counts
	}
}
