package tools_test

import (
	"context"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// neededFor returns what byName decides about a payload.
func neededFor(p *schemas.Payload) string {
	if p.Action.Name != "create_contact" {
		return needs[p.Action.Name].decision
	}
	in, _ := p.Args["input"].(map[string]any)
	decision, _, _ := strings.Cut(in["fullName"].(string), " ")
	return decision
}

// check checks all that ran since the last check.
func (l *randomInbox) check(rt *rapid.T) {
	all := l.up.Requests()
	var ran []rpctest.Request
	for i := l.seen; i < len(all); i++ {
		r := all[i]
		if r.Endpoint != rpctest.Run || approval.IsRead(r.Action) {
			continue
		}
		ran = append(ran, r)
		// The validate of the same attempt is before it, with reads of what it replaces between.
		at := i - 1
		for at >= l.seen && all[at].Endpoint == rpctest.Run && approval.IsRead(all[at].Action) {
			at--
		}
		if at < l.seen || all[at].Endpoint != rpctest.Validate || string(all[at].Body) != string(r.Body) {
			rt.Fatalf("%s ran without a validate of the same bytes just before it", r.Body)
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
		for scope := range l.stopped {
			if r.Action != ledger.HangUp && scope.Concerns(in.Caller, p.Action.EffectKind) {
				rt.Fatalf("%s by %s ran during a stop of %s", r.Body, in.Caller, scope)
			}
		}
		switch need := neededFor(p); {
		case need == "deny":
			rt.Fatalf("%s ran, which is denied", r.Body)
		case in.ApprovalID != "":
			l.checkApproval(rt, &in, need)
		case need != "validate":
			rt.Fatalf("%s needs %s and ran without an approval", r.Body, need)
		}
		l.checkOnce(rt, intents[:l.runs+i], &in, p)
	}
	l.runs = len(intents)
}

// intents returns the runs of the round that are no reads, oldest first.
func (l *randomInbox) intents(rt *rapid.T) (all []ledger.Intent) {
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

// checkApproval checks that the run used an approval of this call, by a person who may answer, in
// time.
func (l *randomInbox) checkApproval(rt *rapid.T, in *ledger.Intent, need string) {
	q := l.approval(rt, in.ApprovalID)
	if q.State != ledger.Used || q.Intent != in.ID {
		rt.Fatalf("%s ran with an approval that is %s, of the run %s", in.Action, q.State, q.Intent)
	}
	if q.Requester != in.Caller || q.Action != in.Action || need == "approve" && q.Needs != "approve" {
		rt.Fatalf("%s by %s, which needs %s, ran with a %s by %s for %s", in.Action, in.Caller, need, q.Needs, q.Requester, q.Action)
	}
	answers, err := l.gate.Ledger.Records(context.Background(), ledger.Filter{ApprovalID: q.ID, Phase: ledger.PhaseAnswered})
	if err != nil || len(answers) != 1 || answers[0].State != string(ledger.Approved) || answers[0].By != q.By || answers[0].Time.After(in.Prepared) {
		rt.Fatalf("%s ran with %d answers, %+v, %v", in.Action, len(answers), answers, err)
	}
	if q.By.Via == "client" {
		if q.Needs != "confirm" || !l.approved[q.ID] {
			rt.Fatalf("%s, which needs %s, ran with an approval by %q that its client did not send", in.Action, q.Needs, q.By)
		}
		return
	}
	name := q.By.Name
	roles := map[string][]string{"bob": {approval.RoleApprover}, strings.ToUpper(l.name("bo")): {approval.RoleApprover}, "robot": {approval.RoleApprover, approval.RoleAgent}}[name]
	if !may(approval.Person{Name: name, Roles: roles}, &q) {
		rt.Fatalf("%s needs %s, was requested by %s, and %s approved", in.Action, q.Needs, q.Person, q.By)
	}
	if in.Prepared.Sub(q.Answered) >= approval.ValidFor {
		rt.Fatalf("%s ran %s after %s approved", in.Action, in.Prepared.Sub(q.Answered), q.By)
	}
}

// checkOnce checks that no approval was used twice, and that no call ran again without an approval
// with a card that mentions the first run.
func (l *randomInbox) checkOnce(rt *rapid.T, before []ledger.Intent, in *ledger.Intent, p *schemas.Payload) {
	for _, b := range before {
		if in.ApprovalID != "" && b.ApprovalID == in.ApprovalID {
			rt.Fatalf("%s ran twice with one approval", in.Action)
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
		conflicts := b.State == ledger.Unknown || b.State == ledger.Succeeded && p.Action.Repeats() && b.Settled.After(in.Prepared.Add(-10*time.Minute))
		if !conflicts {
			continue
		}
		if in.ApprovalID == "" || l.approval(rt, in.ApprovalID).Repeats != b.ID {
			rt.Fatalf("%s ran again, %s after it ended as %s, and no card mentioned that", p.Body, in.Prepared.Sub(b.Settled), b.State)
		}
		return // the last of several counts
	}
}
