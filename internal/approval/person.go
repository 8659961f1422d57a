package approval

import (
	"slices"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// The roles with a meaning here.
const (
	RoleApprover = "approver" // answers requests of other people, and may stop anything
	RoleAdmin    = "admin"    // may stop anything, and resume
	RoleAgent    = "agent"    // an AI; answers nothing
)

// Person is somebody who answers requests: in the inbox, over its API or on a terminal.
type Person struct {
	// Name identifies the person: two tokens with one name belong to one person.
	Name  string
	Roles []string
	// Local is true for the person at this machine, who may do what the owner of the state
	// directory can.
	Local bool
	// Via is the channel, such as `inbox`.
	Via string
	// Credential is the id of the token that they showed; empty without one.
	Credential string
	// Fresh is true if they logged in a short while ago.
	Fresh bool
}

// Actor returns the person as records name them.
func (p Person) Actor() ledger.Actor { return ledger.Actor{Name: p.Name, Via: p.Via} }

// HasRole reports whether the person has the role.
func (p Person) HasRole(role string) bool { return slices.Contains(p.Roles, role) }

// isRequester reports whether the person made the request.
func (p Person) isRequester(r *ledger.ApprovalRequest) bool {
	return r.Person != "" && strings.EqualFold(r.Person, p.Name)
}

// MaySee reports whether the person may read the request at a time: the requester at once, an
// approver from when it is shown to approvers.
func (p Person) MaySee(r *ledger.ApprovalRequest, now time.Time) bool {
	return p.isRequester(r) || p.HasRole(RoleApprover) && !now.Before(r.Shown)
}

// CheckAnswer returns why the person may not answer the request; nil if they may.
func (p Person) CheckAnswer(r *ledger.ApprovalRequest) *schemas.Error {
	switch {
	case p.HasRole(RoleAgent):
		return notAllowed("this token has the role agent, and programs cannot answer approval requests")
	case p.Credential != "" && p.Credential == r.Credential:
		return notAllowed("this request was made with the token that you are using, so a program has it; log in with a link or with another token")
	case r.Needs == rules.Confirm.String() && (p.isRequester(r) || p.HasRole(RoleApprover)):
		return nil
	case r.Needs == rules.Confirm.String():
		return notAllowed("only the requester, or somebody with the role approver, may answer this request")
	case r.Needs != rules.Approve.String():
		return notAllowed("nobody may answer this request")
	case p.isRequester(r):
		return notAllowed("another person must answer this request: you are " + p.Name + ", the requester, with any token")
	case !p.HasRole(RoleApprover):
		return notAllowed("only somebody with the role approver may answer this request")
	case r.Person == "":
		return notAllowed("the requester's name is unknown, so nobody can be told apart from them")
	}
	return nil
}

func notAllowed(why string) *schemas.Error {
	return &schemas.Error{Outcome: schemas.Denied, Message: why}
}

// NeedsFresh reports whether approving the action requires a recent login: for what cannot be
// undone. Hanging up is exempt; it is the safe direction.
func NeedsFresh(action string) bool {
	if action == ledger.HangUp {
		return false
	}
	a, err := schemas.Find(action)
	return err != nil || a.Class == schemas.Destructive || a.Class == schemas.Credential
}

// PersonName returns the name of an actor for a sentence; `the person` if it is unknown.
func PersonName(by ledger.Actor) string {
	if by.Name == "" {
		return "the person"
	}
	return schemas.Escape(by.Name, 64)
}
