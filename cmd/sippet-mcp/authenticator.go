package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/serve"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/tools"
)

// authenticator turns tokens into callers, each with its policy and its organisation.
type authenticator struct {
	ledger   ledger.Ledger
	policies *policy.PolicySet
	runners  *runners
}

// authenticate returns the caller of a secret. Its error is for the log, and never holds the
// secret.
func (a *authenticator) authenticate(ctx context.Context, secret string) (tools.Caller, error) {
	t, err := a.ledger.Authenticate(ctx, secret)
	switch {
	case errors.Is(err, ledger.ErrNoTokens):
		return tools.Caller{}, fmt.Errorf("%w: %w", serve.ErrNoTokens, err)
	case errors.Is(err, ledger.ErrTokenUnknown):
		return tools.Caller{}, fmt.Errorf("%w: %w", serve.ErrUnauthorized, err)
	case errors.Is(err, ledger.ErrTokenExpired), errors.Is(err, ledger.ErrTokenRevoked):
		return tools.Caller{}, fmt.Errorf("%w: %w (%s of %s)", serve.ErrUnauthorized, err, t.ID, t.Person)
	case err != nil:
		return tools.Caller{}, err
	}
	return a.caller(ctx, t)
}

// caller returns the caller of a token.
func (a *authenticator) caller(ctx context.Context, t ledger.Token) (tools.Caller, error) {
	caller := tools.Caller{Interactive: t.Interactive, Caller: policy.Caller{
		Actor: ledger.Actor{Name: t.Person, Via: "token " + t.ID}, ID: t.ID, Person: t.Person,
		Roles: t.Roles, Policy: t.Policy, Credential: t.ID}}
	if t.Policy != "" {
		if err := a.policies.Add(t.Policy); err != nil {
			return caller, fmt.Errorf("the policy of token %s of %s: %w", t.ID, t.Person, err)
		}
	}
	if t.KeyFile != "" {
		r, err := a.runners.forKeyFile(ctx, t.KeyFile)
		if err != nil {
			return caller, fmt.Errorf("the key file of token %s of %s: %w", t.ID, t.Person, err)
		}
		caller.Runner = r
	}
	return caller, nil
}

// gateFor returns the gate and the caller for an approved request. The token's roles, policy and
// key file are those of now, not those of the request. policy.ErrElsewhere if another process must
// run it.
func (a *authenticator) gateFor(ctx context.Context, r ledger.ApprovalRequest) (*policy.Gate, policy.Caller, error) {
	gate, caller := a.runners.own.Gate, policy.Caller{Actor: r.Requester, ID: r.Person, Person: r.Person, Client: r.Client}
	if r.Credential != "" {
		t, err := a.liveToken(ctx, r.Credential)
		if err != nil {
			return nil, caller, err
		}
		now, err := a.caller(ctx, t)
		if err != nil {
			return nil, caller, err
		}
		if now.Runner != nil {
			gate = now.Runner.Gate
		}
		now.Client, now.Actor = r.Client, r.Requester
		caller = now.Caller
	}
	if gate.Organisation != r.Organisation {
		return nil, caller, policy.ErrElsewhere
	}
	return gate, caller, nil
}

func (a *authenticator) liveToken(ctx context.Context, id string) (ledger.Token, error) {
	all, err := a.ledger.Tokens(ctx)
	if err != nil {
		return ledger.Token{}, err
	}
	for _, t := range all {
		if t.ID == id && t.Live(time.Now()) {
			return t, nil
		}
	}
	return ledger.Token{}, fmt.Errorf("the requester's token %s has expired or was revoked", id)
}
