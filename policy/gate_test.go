package policy_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/approval"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// brokenStore is a ledger that fails at one step.
type brokenStore struct {
	ledger.Ledger
	at string
}

var errDisk = &ledger.StoreError{Kind: ledger.DiskFull, Path: "/var/lib/ledger.db", Err: errors.New("no space")}

func (b brokenStore) CurrentStop(ctx context.Context) (*ledger.EmergencyStop, error) {
	if b.at == "frozen" {
		return nil, errDisk
	}
	return b.Ledger.CurrentStop(ctx)
}

func (b brokenStore) FindConflicting(ctx context.Context, x ledger.Txn) (*ledger.Intent, error) {
	if b.at == "prior" {
		return nil, errDisk
	}
	return b.Ledger.FindConflicting(ctx, x)
}

func (b brokenStore) CreateApproval(ctx context.Context, g ledger.ApprovalRequest) error {
	if b.at == "ask" {
		return errDisk
	}
	return b.Ledger.CreateApproval(ctx, g)
}

func (b brokenStore) AnswerApproval(ctx context.Context, g ledger.ApprovalRequest, r ledger.Reply) error {
	if b.at == "answer" {
		return errDisk
	}
	return b.Ledger.AnswerApproval(ctx, g, r)
}

func (b brokenStore) CheckApproval(ctx context.Context, g ledger.ApprovalRequest) error {
	if b.at == "check" {
		return errDisk
	}
	return b.Ledger.CheckApproval(ctx, g)
}

func (b brokenStore) Commit(ctx context.Context, x ledger.Txn) (ledger.Intent, error) {
	if b.at == "commit" {
		return ledger.Intent{}, errDisk
	}
	return b.Ledger.Commit(ctx, x)
}

func (b brokenStore) Settle(ctx context.Context, s ledger.Settlement) error {
	if b.at == "settle" {
		return errDisk
	}
	return b.Ledger.Settle(ctx, s)
}

func (b brokenStore) StoreError() error {
	if b.at == "trouble" {
		return errDisk
	}
	return b.Ledger.StoreError()
}

var clientApproves = approval.Reply{Approve: true, By: ledger.Actor{Name: "ada"}}

// TestStoreFails: without the ledger nothing that changes anything runs, whichever step fails.
func TestStoreFails(t *testing.T) {
	for _, at := range []string{"frozen", "prior", "ask", "answer", "check", "commit"} {
		g, u := gate(t, "desktop")
		g.Ledger = brokenStore{g.Ledger, at}
		c := policy.Call{Caller: policy.Caller{Actor: ledger.Actor{Name: "ada"}}, Payload: payload(t, "delete_contact", `{"input":{"contactId":"`+anID+`"}}`)}
		err := func() *schemas.Error {
			a := g.Do(t.Context(), c)
			if a.Pending == nil {
				return a.Err
			}
			c.ApprovalID = a.Pending.ApprovalID
			if err := g.RecordReply(t.Context(), c, clientApproves); err != nil {
				return err
			}
			return g.Do(t.Context(), c).Err
		}()
		if err == nil || err.Outcome != schemas.Unavailable || u.runs != 0 {
			t.Errorf("%s fails: %v, %d runs", at, err, u.runs)
		} else if err.Next == "" || strings.Contains(err.Message+err.Next, "/var/lib") || !strings.Contains(err.Message, "disk full") {
			t.Errorf("%s fails: %q, next %q", at, err.Message, err.Next)
		}
	}
}

// TestOutcomeUnrecorded: what ran and could not be recorded is not called done.
func TestOutcomeUnrecorded(t *testing.T) {
	g, u := gate(t, "desktop")
	g.Ledger = brokenStore{g.Ledger, "settle"}
	a := g.Do(t.Context(), policy.Call{Payload: payload(t, "create_contact", `{"input":{"fullName":"Ada"}}`)})
	if a.Outcome() != schemas.OutcomeUnknown || a.Data != nil || a.Err.Intent == "" || u.runs != 1 {
		t.Errorf("%+v, %d runs", a, u.runs)
	}
}

// TestUnrecordedReads: whether reads go on without a ledger is the policy's word, and no is its
// silence.
func TestUnrecordedReads(t *testing.T) {
	for name, want := range map[string]schemas.Outcome{"desktop": schemas.Done, "team": schemas.Unavailable, "unattended": schemas.Unavailable} {
		g, u := gate(t, name)
		g.Ledger = brokenStore{g.Ledger, "trouble"}
		a := g.Do(t.Context(), policy.Call{Payload: payload(t, "list_contacts", `{}`)})
		if a.Outcome() != want || (u.runs == 1) != (want == schemas.Done) {
			t.Errorf("%s: %s, %d runs", name, a.Outcome(), u.runs)
		}
	}
}

// TestApprovalOverridesNoDenial: the id of a grant does nothing for what is denied or needs
// somebody else.
func TestApprovalOverridesNoDenial(t *testing.T) {
	for _, name := range []string{"team", "unattended", "read-only"} {
		g, u := gate(t, name)
		c := policy.Call{Caller: policy.Caller{Actor: ledger.Actor{Name: "ada"}}, Payload: payload(t, "delete_contact", `{"input":{"contactId":"`+anID+`"}}`), ApprovalID: ledger.NewID()}
		open := ledger.ApprovalRequest{ID: c.ApprovalID, Requester: ledger.Actor{Name: "ada"}, Organisation: g.Organisation, Action: "delete_contact", Hash: c.Payload.Hash(), Policy: g.Policy.Own().Version(), Expires: noon.Add(g.Wait)}
		if err := g.Ledger.CreateApproval(t.Context(), open); err != nil {
			t.Fatal(err)
		}
		if err := g.RecordReply(t.Context(), c, clientApproves); err != nil {
			t.Fatal(err)
		}
		if a := g.Do(t.Context(), c); a.Outcome() != schemas.Denied || u.runs+u.validates != 0 {
			t.Errorf("%s: %s, %d validates, %d runs", name, a.Outcome(), u.validates, u.runs)
		}
	}
}

// TestNoPolicy: the zero policy denies everything.
func TestNoPolicy(t *testing.T) {
	g, u := gate(t, "desktop")
	g.Policy = policy.FixedPolicySet(&rules.Policy{})
	for _, a := range schemas.Actions() {
		if got := g.Do(t.Context(), policy.Call{Caller: policy.Caller{Actor: ledger.Actor{Name: "ada"}}, Payload: &schemas.Payload{Action: a, Body: []byte("{}")}}); got.Outcome() != schemas.Denied {
			t.Errorf("%s: %s", a.Name, got.Outcome())
		}
	}
	if u.runs+u.validates != 0 {
		t.Errorf("%d validates, %d runs", u.validates, u.runs)
	}
}
