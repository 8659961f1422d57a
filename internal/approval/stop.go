package approval

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// MayStop reports whether the person may make an emergency stop: everybody one of their own
// assistants, an approver or admin any.
func (p Person) MayStop(scope ledger.StopScope) bool {
	return p.MayStopAll() || scope.Same(p.OwnAssistants()) && p.Name != ""
}

// MayStopAll reports whether the person may make every emergency stop, and end live calls.
func (p Person) MayStopAll() bool {
	return p.Local || !p.HasRole(RoleAgent) && (p.HasRole(RoleApprover) || p.HasRole(RoleAdmin))
}

// MayResume reports whether the person may end emergency stops, those of their own assistants too:
// an assistant that was stopped may have their browser.
func (p Person) MayResume() bool { return p.Local || !p.HasRole(RoleAgent) && p.HasRole(RoleAdmin) }

// OwnAssistants is the scope of the person's own assistants.
func (p Person) OwnAssistants() ledger.StopScope {
	return ledger.StopScope{Kind: ledger.StopAssistant, Person: p.Name}
}

// MaySeeStop reports whether the person sees an emergency stop: one that they could make, and one
// that covers their own assistants.
func (p Person) MaySeeStop(scope ledger.StopScope) bool {
	return scope.Kind != ledger.StopAssistant || p.MayStop(scope)
}

// Stop makes an emergency stop: within its scope only reads and hanging up run, until Resume.
func (s *Approvals) Stop(ctx context.Context, person Person, scope ledger.StopScope, note string) *schemas.Error {
	if !person.MayStop(scope) {
		return notAllowed("only somebody with the role approver or admin may stop more than their own assistants")
	}
	if fault := CheckKnown(ctx, s.Ledger, person.Name, scope); fault != nil {
		return fault
	}
	if err := s.Ledger.Stop(ctx, scope, person.Actor(), note); err != nil {
		return ledgerError(err)
	}
	s.Watch.Poke()
	return nil
}

// Resume ends the emergency stop of a scope, all of them if scope is zero.
func (s *Approvals) Resume(ctx context.Context, person Person, scope ledger.StopScope) *schemas.Error {
	if !person.MayResume() {
		return notAllowed("only somebody with the role admin may resume")
	}
	if _, err := s.Ledger.Resume(ctx, scope, person.Actor()); err != nil {
		return ledgerError(err)
	}
	s.Watch.Poke()
	return nil
}

// People returns the names of those with assistants that are known, and self.
func People(ctx context.Context, l ledger.StopStore, self string) ([]string, error) {
	people, err := l.People(ctx)
	if !slices.ContainsFunc(people, func(name string) bool { return strings.EqualFold(name, self) }) {
		people = append(people, self)
	}
	return people, err
}

// CheckKnown returns an error for a stop of the assistants of somebody who is not known: a misspelt
// name would stop nobody. self is who stops. A failure of the ledger does not prevent the stop.
func CheckKnown(ctx context.Context, l ledger.StopStore, self string, scope ledger.StopScope) *schemas.Error {
	if scope.Kind != ledger.StopAssistant {
		return nil
	}
	people, err := People(ctx, l, self)
	if err != nil || slices.ContainsFunc(people, func(name string) bool { return strings.EqualFold(name, scope.Person) }) {
		return nil
	}
	return &schemas.Error{Outcome: schemas.Denied,
		Message: fmt.Sprintf("nobody called %q has a token or asked for an approval here, so nothing was stopped", schemas.Escape(scope.Person, 80)),
		Next:    "check the name (known: " + schemas.Escape(strings.Join(people, ", "), 500) + "), or stop everything"}
}
