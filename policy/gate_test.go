package policy_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// brokenStore is a store of grants that fails at one step.
type brokenStore struct {
	policy.Grants
	at string
}

var errDisk = errors.New("disk full at /var/lib")

func (b brokenStore) Open(ctx context.Context, g policy.Grant) error {
	if b.at == "open" {
		return errDisk
	}
	return b.Grants.Open(ctx, g)
}

func (b brokenStore) Record(ctx context.Context, g policy.Grant, s policy.State, by string) error {
	if b.at == "record" {
		return errDisk
	}
	return b.Grants.Record(ctx, g, s, by)
}

func (b brokenStore) Check(ctx context.Context, g policy.Grant) error {
	if b.at == "check" {
		return errDisk
	}
	return b.Grants.Check(ctx, g)
}

func (b brokenStore) Spend(ctx context.Context, g policy.Grant) error {
	if b.at == "spend" {
		return errDisk
	}
	return b.Grants.Spend(ctx, g)
}

// TestStoreFails: without the store nothing that needs a person runs, whichever step fails.
func TestStoreFails(t *testing.T) {
	for _, at := range []string{"open", "record", "check", "spend"} {
		g, u := gate(t, "desktop")
		g.Grants = brokenStore{g.Grants, at}
		c := policy.Call{Principal: "ada", Payload: payload(t, "end_call", `{"input":{"callUuid":"c"}}`)}
		err := func() *schemas.Error {
			a := g.Do(t.Context(), c)
			if a.Pending == nil {
				return a.Err
			}
			c.Grant = a.Pending.Grant
			if err := g.Record(t.Context(), c, true, "ada"); err != nil {
				return err
			}
			return g.Do(t.Context(), c).Err
		}()
		if err == nil || err.Outcome != schemas.Unavailable || u.runs != 0 {
			t.Errorf("%s fails: %v, %d runs", at, err, u.runs)
		} else if err.Next == "" || err.Message == errDisk.Error() {
			t.Errorf("%s fails: %q, next %q", at, err.Message, err.Next)
		}
	}
}

// TestGrantIsNoWayAround: the id of a grant does nothing for what is denied or needs somebody else.
func TestGrantIsNoWayAround(t *testing.T) {
	for _, name := range []string{"team", "unattended", "read-only"} {
		g, u := gate(t, name)
		c := policy.Call{Principal: "ada", Payload: payload(t, "delete_contact", `{"input":{"contactId":"`+anID+`"}}`), Grant: policy.NewGrantID()}
		open := policy.Grant{ID: c.Grant, Principal: "ada", Action: "delete_contact", Hash: c.Payload.Hash(), Policy: g.Policy.Version, Expires: noon.Add(g.Wait)}
		if err := g.Grants.Open(t.Context(), open); err != nil {
			t.Fatal(err)
		}
		if err := g.Record(t.Context(), c, true, "ada"); err != nil {
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
	g.Policy = &policy.Policy{}
	for _, a := range schemas.Actions() {
		if got := g.Do(t.Context(), policy.Call{Principal: "ada", Payload: &schemas.Payload{Action: a, Body: []byte("{}")}}); got.Outcome() != schemas.Denied {
			t.Errorf("%s: %s", a.Name, got.Outcome())
		}
	}
	if u.runs+u.validates != 0 {
		t.Errorf("%d validates, %d runs", u.validates, u.runs)
	}
}

// odd is an upstream whose errors are none of ours.
type odd struct{ upstream }

func (odd) Run(context.Context, rpc.Request) (rpc.Result, error) { return rpc.Result{}, errDisk }

// TestStrangeError: an error of unknown making is read in the gravest way, and its text is not shown.
func TestStrangeError(t *testing.T) {
	g, _ := gate(t, "desktop")
	g.Upstream = &odd{}
	a := g.Do(t.Context(), policy.Call{Principal: "ada", Payload: payload(t, "update_contact", `{"identity":"`+anID+`","input":{}}`)})
	if a.Outcome() != schemas.OutcomeUnknown || a.Err.Message == errDisk.Error() || !errors.Is(a.Err, errDisk) {
		t.Errorf("%+v", a.Err)
	}
}
