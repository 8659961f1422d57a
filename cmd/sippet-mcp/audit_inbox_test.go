package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// answeredLedger creates a state directory in which people logged in and answered in every possible
// way, with hostile text in every field that somebody chooses. It returns the ids of the approval
// requests by how they ended, and the secrets that were shown.
func answeredLedger(t *testing.T) (dir string, requests map[string]string, secrets []string) {
	t.Helper()
	dir = t.TempDir()
	l, err := openLedger(t.Context(), dir, false, keeping{}, nil)
	must(t, err)
	ctx := t.Context()
	secret, token, err := l.CreateToken(ctx, ledger.Token{Person: "ada", Roles: []string{"approver"}}, ledger.Actor{Name: "root"})
	must(t, err)
	session, _, err := l.CreateSession(ctx, token, time.Hour)
	must(t, err)
	must(t, l.EndSession(ctx, session))
	secrets = append(secrets, secret, session)
	for _, kind := range []ledger.LoginKind{ledger.LinkCode, ledger.OpenCode} {
		code, err := l.CreateLogin(ctx, ledger.Login{Kind: kind, Person: "root", Local: true, Expires: time.Now().Add(time.Hour)}, ledger.Actor{Name: "root"})
		must(t, err)
		session, _, err := l.RedeemLogin(ctx, code, time.Hour)
		must(t, err)
		secrets = append(secrets, code, session)
	}
	requests = map[string]string{}
	ask := func(name, action string, reply ledger.Reply) ledger.ApprovalRequest {
		request := ledger.ApprovalRequest{ID: ledger.NewID(), Requester: ledger.Actor{Name: "bob", Via: "1"}, Person: "bob", Action: action, Hash: name, EffectKey: name, Policy: "v1", Needs: "approve",
			Subjects: []string{personSubject}, Payload: []byte(`{"action":"` + action + `"}`), Card: []byte(`{"title":"Let somebody in."}`), Expires: time.Now().Add(time.Hour)}
		must(t, l.CreateApproval(ctx, request))
		must(t, l.AnswerApproval(ctx, request, reply))
		requests[name] = request.ID
		return request
	}
	run := func(request ledger.ApprovalRequest, class schemas.Class, end ledger.Settlement) {
		in, err := l.Commit(ctx, ledger.Txn{ApprovalID: request.ID, Call: ledger.Call{Caller: request.Requester, Action: request.Action, Class: class, Hash: request.Hash, EffectKey: request.EffectKey, Policy: request.Policy,
			Decision: request.Needs, Subjects: request.Subjects, Payload: request.Payload}})
		must(t, err)
		end.Intent, end.Sent, end.Status = in.ID, true, 200
		must(t, l.Settle(ctx, end))
	}
	const issue = "issue_operator_media_access"
	ask("declined", issue, ledger.Reply{State: ledger.Declined, By: ledger.Actor{Name: "ada", Via: "inbox"}, Note: "she asked us not to" + hostile, Quick: true})
	unusable := ask("unusable", issue, ledger.Reply{State: ledger.Approved, By: ledger.Actor{Name: "ada", Via: "api"}})
	must(t, l.AnswerApproval(ctx, unusable, ledger.Reply{State: ledger.Revoked, Outcome: schemas.LimitExceeded, Fault: ledger.EncodeError(&schemas.Error{Outcome: schemas.LimitExceeded, Message: "the budget is empty\u202e"})}))
	withdrawn := ask("withdrawn", issue, ledger.Reply{State: ledger.Approved, By: ledger.Actor{Name: "ada", Via: "inbox"}})
	must(t, l.AnswerApproval(ctx, withdrawn, ledger.Reply{State: ledger.Revoked, By: ledger.Actor{Name: "cyd", Via: "inbox"}, Outcome: schemas.Declined, Fault: ledger.EncodeError(&schemas.Error{Outcome: schemas.Declined, Message: "cyd withdrew it; nothing ran"})}))
	ask("expired", issue, ledger.Reply{State: ledger.Approved, By: ledger.Actor{Name: "ada", Via: "terminal"}, Until: time.Now()})
	used := ask("used", issue, ledger.Reply{State: ledger.Approved, By: ledger.Actor{Name: "ada", Via: "inbox"}})
	run(used, schemas.Credential, ledger.Settlement{State: ledger.Succeeded, Outcome: schemas.Done, Handover: []byte(`{"token":"issued-0123456789"}`), HandoverUntil: time.Now().Add(time.Hour)})
	_, err = l.TakeHandover(ctx, used.ID, ledger.Actor{Name: "ada", Via: "inbox"})
	must(t, err)
	secrets = append(secrets, "issued-0123456789")
	failed := ask("failed", "update_contact", ledger.Reply{State: ledger.Approved, By: ledger.Actor{Name: "ada", Via: "inbox"}})
	run(failed, schemas.Write, ledger.Settlement{State: ledger.Failed, Outcome: schemas.UpstreamError, Fault: ledger.EncodeError(&schemas.Error{Outcome: schemas.UpstreamError, Message: "Sippet rejected it"})})
	must(t, l.Close())
	return dir, requests, secrets
}

// list and show say who logged in, who answered what, and how it ended.
func TestAuditOfInbox(t *testing.T) {
	dir, ids, secrets := answeredLedger(t)
	for _, c := range []struct {
		args []string
		want []string
		not  string
	}{
		{args: []string{"audit", "list", "--phase", "login"}, want: []string{"logged in to the inbox with token ", "one-time login link created by root",
			"logged in to the inbox with a link", "logged in to the inbox with the browser that was opened"}},
		{args: []string{"audit", "list", "--phase", "logout"}, want: []string{"ada", "logged out of the inbox"}},
		{args: []string{"audit", "list", "--phase", "taken"}, want: []string{ids["used"], "issued credential shown once to ada, via inbox, then destroyed"}},
		{args: []string{"audit", "list", "--phase", "requested"}, want: []string{"Let somebody in."}},
		{args: []string{"audit", "list", "--phase", "answered"}, want: []string{"declined by ada, via inbox (faster than the card can be read): she asked us not to", "approved by ada, via api\n",
			"approval by ada, via api could not be used: the budget is empty\\u{202e}", "\x1b[31mlimit_exceeded", "revoked by cyd, via inbox"}},
		{args: []string{"audit", "show", ids["declined"]}, want: []string{"issue_operator_media_access: declined", "answer       declined by ada, via inbox (faster than the card can be read): she asked us not to"}, not: "cause"},
		{args: []string{"audit", "show", ids["unusable"]}, want: []string{"issue_operator_media_access: revoked", "answer       approved by ada, via api\n", "cause        the budget is empty", "outcome      limit_exceeded"}},
		{args: []string{"audit", "show", ids["withdrawn"]}, want: []string{"answer       revoked by cyd, via inbox\n", "cause        cyd withdrew it; nothing ran"}},
		{args: []string{"audit", "show", ids["used"]}, want: []string{"issue_operator_media_access: used", "answer       approved by ada, via inbox\n", "outcome      done", "settled", "shown once to ada, via inbox"}},
		{args: []string{"audit", "show", ids["failed"]}, want: []string{"update_contact: used", "answer       approved by ada, via inbox\n", "cause        Sippet rejected it", "outcome      upstream_error"}},
		{args: []string{"audit", "show", ids["expired"]}, want: []string{"issue_operator_media_access: expired", "answer       approved by ada, via terminal\n"}},
		{args: []string{"audit", "list", "--help"}, want: []string{"login, logout, taken"}},
		{args: []string{"audit", "verify"}, want: []string{"No faults"}},
		{args: []string{"audit", "export"}, want: []string{`"phase":"taken"`, `"quick":true`, `"phase":"logout"`}},
	} {
		t.Run(strings.Join(c.args[:min(4, len(c.args))], " "), func(t *testing.T) {
			code, out, errs := at(t, t.Context(), &person{}, dir, c.args...)
			if code != 0 {
				t.Errorf("exit code %d: %s", code, errs)
			}
			for _, w := range c.want {
				if !strings.Contains(out, w) {
					t.Errorf("no %q in\n%s", w, out)
				}
			}
			if c.not != "" && strings.Contains(out, c.not) {
				t.Errorf("%q is in\n%s", c.not, out)
			}
			for _, bad := range append(secrets, "\x1b]", "\x1b[2J", "\x07", "\u202e", "\u009b", "\u2028") {
				if strings.Contains(out+errs, bad) {
					t.Errorf("%q is in\n%q", bad, out+errs)
				}
			}
		})
	}
}

// JSON has the same facts as fields.
func TestAuditOfInboxJSON(t *testing.T) {
	dir, ids, secrets := answeredLedger(t)
	show := func(id string) (m ledger.AuditedCall) {
		t.Helper()
		code, out, errs := at(t, t.Context(), nil, dir, "audit", "show", id)
		if err := json.Unmarshal([]byte(out), &m); code != 0 || err != nil {
			t.Fatalf("%d: %v %s", code, err, errs)
		}
		return m
	}
	if m := show(ids["declined"]); m.State != "declined" || m.Answer != "declined" || m.By.String() != "ada, via inbox" || !m.Quick || !strings.HasPrefix(m.Note, "she asked us not to") || m.Cause != "" ||
		m.Records[0].Person != "bob" || m.Records[0].Shown == 0 {
		t.Errorf("%+v", m)
	}
	if m := show(ids["unusable"]); m.State != "revoked" || m.Answer != "approved" || m.By.String() != "ada, via api" || m.Quick || m.Outcome != "limit_exceeded" || !strings.HasPrefix(m.Cause, "the budget is empty") {
		t.Errorf("%+v", m)
	}
	if m := show(ids["used"]); m.State != "used" || m.Answer != "approved" || m.Outcome != "done" || len(m.Records) != 5 {
		t.Errorf("%+v", m)
	}
	if m := show(ids["failed"]); m.State != "used" || m.Answer != "approved" || m.Outcome != "upstream_error" || m.Cause != "Sippet rejected it" {
		t.Errorf("%+v", m)
	}
	if m := show(ids["expired"]); m.State != "expired" || m.Answer != "approved" || m.By.String() != "ada, via terminal" {
		t.Errorf("%+v", m)
	}
	code, out, errs := at(t, t.Context(), nil, dir, "audit", "list", "--limit", "0")
	if code != 0 {
		t.Fatal(errs)
	}
	for _, s := range secrets {
		if strings.Contains(out, s) {
			t.Errorf("%q is in the list", s)
		}
	}
	for phase, n := range map[ledger.Phase]int{ledger.PhaseLogin: 4, ledger.PhaseLogout: 1, ledger.PhaseTaken: 1, ledger.PhaseRequested: 6, ledger.PhaseAnswered: 8} {
		if got := strings.Count(out, `"phase":"`+string(phase)+`"`); got != n {
			t.Errorf("%d records of %s, want %d", got, phase, n)
		}
	}
	// A note is erased with the person it concerns. The answer and its author stay.
	if code, _, errs := at(t, t.Context(), nil, dir, "audit", "erase", strings.TrimPrefix(personSubject, "contact:"), "--yes"); code != 0 {
		t.Fatal(errs)
	}
	if m := show(ids["declined"]); m.Note != "" || m.Answer != "declined" || m.By.String() != "ada, via inbox" || m.Erased == nil {
		t.Errorf("%+v", m)
	}
	if code, out, errs := at(t, t.Context(), &person{}, dir, "audit", "show", ids["declined"]); code != 0 || strings.Contains(out, "she asked us") || strings.Count(out, "declined by ada, via inbox") != 2 {
		t.Errorf("%d: %s%s", code, out, errs)
	}
	if code, out, _ := at(t, t.Context(), nil, dir, "audit", "verify"); code != 0 || !strings.Contains(out, `"ok":true`) {
		t.Errorf("%d: %s", code, out)
	}
}
