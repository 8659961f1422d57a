package tools_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/ledger/ledgertest"
	"github.com/sippet-ai/sippet-mcp/policy/recipients"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// clientKind is a kind of client: how it answers an elicitation.
type clientKind struct {
	name         string
	answer       func(string) string
	capabilities string
}

var clientKinds = []clientKind{
	{"accepting", always(accepts), `{"elicitation":{}}`},
	{"accepting forms", always(accepts), `{"elicitation":{"form":{},"url":{}}}`},
	{"declining", always(declines), `{"elicitation":{}}`},
	{"unticking", always(unticks), `{"elicitation":{}}`},
	{"cancelling", always(cancels), `{"elicitation":{}}`},
	{"silent", always(""), `{"elicitation":{}}`},
	{"incapable", always(accepts), `{}`},
	{"capable of URLs only", always(accepts), `{"elicitation":{"url":{}}}`},
}

// tooLong are the actions whose sample does not fit a dialogue: only the inbox shows all of it.
var tooLong = map[string]bool{"create_email_identity": true}

// expected returns what must reach upstream, and the outcome, if a client of this kind calls the
// action under a policy with the decision. reads are the reads that resolve its recipients.
func expected(d rules.Decision, p *schemas.Payload, reads []string, kind string, modern bool) (lifecycle []string, outcome string) {
	validate, run := []string{"validate " + string(p.Body)}, []string{"run " + string(p.Body)}
	validate = slices.Concat(reads, validate) // on each attempt
	ask := validate
	again := validate
	if about := p.AboutRead(); about != nil {
		ask = append(slices.Clone(ask), "run "+string(about.Body)) // for the card
		if p.Action.Name != ledger.HangUp {
			again = ask // the record is read again, because the approval is bound to it
		}
	}
	for _, read := range factReads(p) {
		ask = append(slices.Clone(ask), "run "+string(read.Body))
	}
	if similar := p.SimilarRead(); similar != nil {
		ask = append(slices.Clone(ask), "run "+string(similar.Body)) // the stand-in's record has another text
	}
	if before := p.BeforeRead(); before != nil {
		// The values that it replaces are read first, for the audit log.
		run = []string{"run " + string(before.Body), run[0]}
	}
	switch d {
	case rules.Allow:
		return run, "done"
	case rules.Validate:
		return slices.Concat(validate, run), "done"
	case rules.Confirm:
		if tooLong[p.Action.Name] {
			return ask, "approval_pending"
		}
		switch kind {
		case "accepting", "accepting forms":
			return slices.Concat(ask, again, run), "done"
		case "declining":
			return ask, "declined"
		case "silent":
			if modern {
				return ask, "input_required"
			}
		}
		return ask, "approval_pending"
	case rules.Approve:
		return ask, "approval_pending"
	}
	return append([]string{}, reads...), "denied"
}

// factReads returns the reads for the facts on a card, if the record that the call is about has no
// number.
func factReads(p *schemas.Payload) (reads []*schemas.Payload) {
	for _, l := range p.References() {
		reads = append(reads, l.Read)
	}
	if l := p.Operator(); l != nil {
		reads = append(reads, l.Read)
	}
	var numbers []string
	for _, subject := range p.Subjects() {
		if number, ok := strings.CutPrefix(subject, "phone:"); ok {
			numbers = append(numbers, number)
		}
	}
	if numbers != nil {
		_, _ = recipients.FindOwners(context.Background(), numbers, func(_ context.Context, read *schemas.Payload) (json.RawMessage, *schemas.Error) {
			reads = append(reads, read)
			return nil, &schemas.Error{}
		})
	}
	return append(reads, p.Kept(nil)...)
}

// TestLifecycleOfEveryAction calls all actions with every kind of client over both transports and
// protocols, and compares what reached upstream byte by byte.
func TestLifecycleOfEveryAction(t *testing.T) {
	for _, profile := range rules.Profiles {
		kinds := clientKinds
		if profile != "desktop" || testing.Short() {
			kinds = []clientKind{clientKinds[0], clientKinds[2], clientKinds[6]}
		}
		t.Run(profile, func(t *testing.T) {
			transports(t, func() setup {
				return setup{policy: profile, window: time.Nanosecond}
			}, func(t *testing.T, w *world, p *peer) {
				// The clock stands still within a call, so that filters by time are comparable. The
				// ledger's clock runs.
				now := time.Now()
				w.gate.Now = func() time.Time { return now.Add(time.Duration(w.shift.Load())) }
				w.gate.Ledger = withoutHistory{w.gate.Ledger}
				for _, kind := range kinds {
					p.answer, p.capabilities = kind.answer, kind.capabilities
					p.newSession()
					for _, a := range schemas.Actions() {
						now = time.Now()
						w.runner.Inbox.Wait = 20 * time.Second
						if kind.name == "silent" || strings.Contains(kind.name, "capable") || tooLong[a.Name] {
							w.runner.Inbox.Wait = 8 * time.Millisecond
						}
						drive(t, w, p, kind, a)
					}
				}
			})
		})
	}
}

// withoutHistory is a ledger for calls that are not to know of one another. What a card tells of earlier
// calls may not fit into a dialogue.
type withoutHistory struct{ ledger.Ledger }

func (withoutHistory) FindChanges(context.Context, ledger.ChangeFilter) ([]ledger.Change, int, error) {
	return nil, 0, nil
}

func (withoutHistory) FindLatest(context.Context, ledger.Txn, time.Time) (map[string]ledger.Intent, error) {
	return nil, nil
}

func drive(t *testing.T, w *world, p *peer, kind clientKind, a *schemas.Action) {
	t.Helper()
	args := sample(a)
	w.up.Forget()
	before := len(p.elicitations())
	r := p.call(a.Name, args)
	defer revokeAll(t, w)
	v, reads := w.decide(t, ada.Caller, a.Name, args)
	d := v.Decision
	want, outcome := expected(d, w.payload(t, a.Name, args), reads, kind.name, p.modern)
	if diff := cmp.Diff(want, lifecycle(w.up.Requests())); diff != "" {
		t.Errorf("%s, %s client: what reached upstream (-want +got):\n%s", a.Name, kind.name, diff)
	}
	if outcome == "input_required" {
		if r.Result.ResultType != "input_required" || r.Result.RequestState == "" || r.Result.Structured != nil {
			t.Errorf("%s, %s client: %s", a.Name, kind.name, r.Frame)
		}
		return
	}
	if got := r.outcome(t); got != outcome {
		t.Errorf("%s, %s client: outcome %s, want %s: %s", a.Name, kind.name, got, outcome, r.Frame)
		return
	}
	checkShape(t, r)
	if (outcome != "done" && outcome != "approval_pending") != r.Result.IsError {
		t.Errorf("%s, %s client: isError %t with %s", a.Name, kind.name, r.Result.IsError, outcome)
	}
	asked := p.elicitations()[before:]
	opens := strings.Contains(kind.capabilities, "url") // a card that does not fit a form
	couldAsk := d == rules.Confirm && kind.name != "incapable" && (!tooLong[a.Name] || opens)
	if couldAsk != (len(asked) == 1) || len(asked) > 1 {
		t.Errorf("%s, %s client: asked %d times", a.Name, kind.name, len(asked))
		return
	}
	if couldAsk && !strings.Contains(asked[0], "Action "+a.Name+", requested by ada") {
		t.Errorf("%s: the card does not name the action and the caller: %s", a.Name, asked[0])
	}
	if outcome == "done" {
		return
	}
	if r.field(t, "ran") != false {
		t.Errorf("%s, %s client: ran is %v", a.Name, kind.name, r.field(t, "ran"))
	}
	next := r.text(t, "nextStep")
	switch {
	case next == "":
		t.Errorf("%s, %s client: no next step", a.Name, kind.name)
	case a.Class == schemas.Credential && !strings.Contains(next, "in Sippet itself"):
		t.Errorf("%s: %s", a.Name, next)
	case d == rules.Approve && !strings.Contains(r.text(t, "message"), "an approver other than ada"):
		t.Errorf("%s: %s", a.Name, r.text(t, "message"))
	}
}

// revokeAll ends the requests that nobody has answered, so that the next call makes its own.
func revokeAll(t *testing.T, w *world) {
	t.Helper()
	open, err := w.gate.Ledger.Approvals(t.Context(), ledger.ApprovalFilter{Open: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range open {
		if err := w.gate.Ledger.AnswerApproval(t.Context(), q, ledger.Reply{State: ledger.Revoked}); err != nil {
			t.Fatal(err)
		}
	}
	w.watch.Poke()
}

// TestCredentialIsNeverRun checks that no profile lets a credential action reach upstream.
func TestCredentialIsNeverRun(t *testing.T) {
	for _, profile := range rules.Profiles {
		w := newWorld(t, setup{policy: profile})
		p := w.httpPeer(t, true)
		for _, name := range []string{"issue_operator_access_token", "issue_operator_media_access"} {
			if r := p.call(name, samples[name]); r.outcome(t) != "denied" || !r.Result.IsError {
				t.Errorf("%s %s: %s", profile, name, r.Frame)
			}
		}
		if got := w.up.Requests(); len(got) != 0 || len(p.elicitations()) != 0 {
			t.Errorf("%s: %d requests, asked %d times", profile, len(got), len(p.elicitations()))
		}
	}
}

// TestLateReply checks that a reply counts as long as the request is open, and not afterwards.
func TestLateReply(t *testing.T) {
	for _, c := range []struct {
		after   time.Duration
		outcome string
		says    string
	}{{10 * time.Minute, "done", ""}, {24*time.Hour + time.Second, "denied", "nobody answered"}} {
		clock := ledgertest.NewClock(noon)
		w := newWorld(t, setup{now: clock.Now})
		p := w.httpPeer(t, true)
		p.answer = always("")
		r := p.call("delete_contact", samples["delete_contact"])
		clock.Add(c.after)
		late := p.retry("delete_contact", samples["delete_contact"], r.Result.RequestState, accepts)
		if late.outcome(t) != c.outcome || !strings.Contains(string(late.Frame), c.says) || (runs(w.up.Requests()) == 1) != (c.outcome == "done") {
			t.Errorf("after %s: %s", c.after, late.Frame)
		}
	}
}

// TestValidateMustPass checks that nobody is asked for a call, and that it does not run, if
// validate fails on either attempt.
func TestValidateMustPass(t *testing.T) {
	for name, c := range validateFaults {
		t.Run(name, func(t *testing.T) {
			s := setup{}
			if name == "hang" {
				s.deadline = 300 * time.Millisecond
			}
			w := newWorld(t, s)
			p := w.httpPeer(t, true)
			w.up.On("validate", "", c.handler)
			for _, a := range schemas.Actions() {
				v, _ := w.decide(t, ada.Caller, a.Name, sample(a))
				d := v.Decision
				if d != rules.Validate && d != rules.Confirm || c.slow && a.Name != "delete_contact" {
					continue
				}
				if r := p.call(a.Name, sample(a)); r.outcome(t) != c.outcome || !r.Result.IsError || r.field(t, "ran") != false {
					t.Errorf("%s: %s", a.Name, r.Frame)
				}
			}
			if n := len(p.elicitations()); n != 0 {
				t.Errorf("asked %d times for calls that cannot run", n)
			}
			checkNothingRan(t, w)
			// The first validate passes, the person approves, and the second validate fails.
			w.up.On("validate", "", nil)
			p.answer = func(string) string { w.up.On("validate", "", c.handler); return accepts }
			if r := p.call("delete_contact", samples["delete_contact"]); r.outcome(t) != c.outcome {
				t.Errorf("second attempt: %s", r.Frame)
			}
			checkNothingRan(t, w)
		})
	}
}

func checkNothingRan(t *testing.T, w *world) {
	t.Helper()
	for _, r := range w.up.Requests() {
		if a, err := schemas.Find(r.Action); r.Endpoint != "validate" && (err != nil || a.Class != schemas.Read) {
			t.Errorf("reached %s: %s", r.Endpoint, r.Body)
		}
	}
}
