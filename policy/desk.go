package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// The roles that mean something here.
const (
	RoleApprover = "approver" // answers what others ask
	RoleAdmin    = "admin"    // stops everything, and resumes it
	RoleAgent    = "agent"    // an AI, which answers nothing
)

// Person is somebody who answers questions: in the inbox, over its API, on a terminal.
type Person struct {
	// Name tells persons apart: two tokens of one name are one person's.
	Name  string
	Roles []string
	// Local says that it is the person at this machine, who may do all that the state directory's owner can.
	Local bool
	// Via says on which way they come, such as `inbox`.
	Via string
	// Credential is the id of the token that they showed, if any.
	Credential string
	// Fresh says that they proved who they are a short while ago.
	Fresh bool
}

func (w Person) actor() ledger.Actor { return ledger.Actor{Name: w.Name, Via: w.Via} }

// HasRole reports whether the person has the role.
func (w Person) HasRole(role string) bool { return slices.Contains(w.Roles, role) }

// MayStop reports whether the person may stop everything and resume it.
func (w Person) MayStop() bool { return w.Local || w.HasRole(RoleAdmin) }

// isRequester reports whether the question is the person's own.
func (w Person) isRequester(q *ledger.ApprovalRequest) bool {
	return q.Person != "" && strings.EqualFold(q.Person, w.Name)
}

// MaySee reports whether the person may look at the question.
func (w Person) MaySee(q *ledger.ApprovalRequest) bool {
	return w.isRequester(q) || w.HasRole(RoleApprover)
}

// CheckAnswer says why the person cannot answer the question; nil where they can.
func (w Person) CheckAnswer(q *ledger.ApprovalRequest) *schemas.Error {
	switch {
	case w.HasRole(RoleAgent):
		return notAllowed("this token is a program's (role agent), and programs answer nothing")
	case w.Credential != "" && w.Credential == q.Credential:
		return notAllowed("this was asked with the very token that you came with, so a program has it; log in with a link or with a token of your own")
	case q.Needs == rules.Confirm.String() && w.MaySee(q):
		return nil
	case q.Needs == rules.Confirm.String():
		return notAllowed("only whoever asked, or somebody with the role approver, may answer this")
	case q.Needs != rules.Approve.String():
		return notAllowed("nobody may answer this")
	case w.isRequester(q):
		return notAllowed("another person than the one who asks must answer this: you are " + w.Name + ", with whichever token")
	case !w.HasRole(RoleApprover):
		return notAllowed("only somebody with the role approver may answer this")
	case q.Person == "":
		return notAllowed("nobody knows which person asks, so nobody can be told to be another one")
	}
	return nil
}

func notAllowed(why string) *schemas.Error {
	return &schemas.Error{Outcome: schemas.Denied, Message: why}
}

// NeedsFresh reports whether whoever says yes must have proved a short while ago who they are: for what cannot be undone,
// but for hanging up, which is the safe direction.
func NeedsFresh(action string) bool {
	if action == ledger.HangUp {
		return false
	}
	a, err := schemas.Find(action)
	return err != nil || a.Class == schemas.Destructive || a.Class == schemas.Credential
}

// Approvals is where people answer what waits in the inbox. What they agree to is run
// by an [Executor], of this process or of the one that asked.
type Approvals struct {
	Ledger ledger.Ledger
	Watch  *Watcher
	Now    func() time.Time
}

// AnswerResult is what came of an answer to one question.
type AnswerResult struct {
	ApprovalID string
	// Err is why the answer does not count; nil where it was taken.
	Err *schemas.Error
}

// Answer takes a person's answer to the questions that they were shown together,
// each for itself. Where a yes would ring more than ten people in all, reply.People
// must be their number; another one changes nothing. reply.By is set here.
func (d *Approvals) Answer(ctx context.Context, ids []string, who Person, reply Reply) []AnswerResult {
	reply.By = who.actor()
	out, all, people := make([]AnswerResult, len(ids)), make([]ledger.ApprovalRequest, len(ids)), 0
	for i, id := range ids {
		out[i].ApprovalID = id
		q, err := d.Ledger.Approval(ctx, id)
		if err != nil {
			out[i].Err = d.ledgerError(err)
			continue
		}
		all[i] = q
		var card Card
		switch {
		case !q.Inbox:
			out[i].Err = notAllowed("this question is not asked here")
		case json.Unmarshal(q.Card, &card) != nil && reply.Approve:
			out[i].Err = cardErased()
		default:
			out[i].Err = who.CheckAnswer(&q)
		}
		if out[i].Err == nil && reply.Approve && NeedsFresh(q.Action) && !who.Fresh {
			out[i].Err = &schemas.Error{Outcome: schemas.Denied, Message: "prove again who you are: this cannot be undone", Next: "log in again, and answer then"}
		}
		people += card.RecipientCount
	}
	if reply.Approve && people > stateNumberAbove && reply.StatedNumber != people {
		for i := range out {
			if out[i].Err == nil {
				out[i].Err = &schemas.Error{Outcome: schemas.Denied, Message: fmt.Sprintf("type how many people it rings: %d", people), Next: "nothing was changed; read the card, and answer again"}
			}
		}
	}
	for i := range out {
		if out[i].Err == nil {
			out[i].Err = d.answer(ctx, all[i], reply)
		}
	}
	d.Watch.Poke()
	return out
}

func (d *Approvals) answer(ctx context.Context, q ledger.ApprovalRequest, reply Reply) *schemas.Error {
	r := ledger.Reply{State: ledger.Declined, By: reply.By, Note: reply.Note, Quick: reply.Quick}
	if reply.Approve {
		r.State, r.Note = ledger.Approved, ""
		if !IsRead(q.Action) {
			r.Until = d.Now().Add(ApprovalValidFor)
		}
	}
	err := d.Ledger.AnswerApproval(ctx, q, r)
	if err == nil {
		return nil
	}
	// Who was faster, and with what.
	if now, e := d.Ledger.Approval(ctx, q.ID); e == nil && now.By != (ledger.Actor{}) && !isStoreError(err) {
		return &schemas.Error{Outcome: schemas.Denied, Message: fmt.Sprintf("%s answered this already, %s", PersonName(now.By), ago(now.Answered, d.Now())), Err: err}
	}
	return d.ledgerError(err)
}

// Revoke takes back a yes that was not used, or a question that nobody has answered.
func (d *Approvals) Revoke(ctx context.Context, id string, who Person) *schemas.Error {
	q, err := d.Ledger.Approval(ctx, id)
	if err != nil {
		return d.ledgerError(err)
	}
	if !who.MaySee(&q) {
		return notAllowed("only whoever asked, or somebody with the role approver, may take this back")
	}
	why := &schemas.Error{Outcome: schemas.Declined, Message: who.Name + " took it back; nothing ran", Next: "do not ask again for the same; ask the person what they want instead"}
	err = d.Ledger.AnswerApproval(ctx, q, ledger.Reply{State: ledger.Revoked, By: who.actor(), Outcome: why.Outcome, Fault: encodeError(why)})
	d.Watch.Poke()
	if err != nil {
		return d.ledgerError(err)
	}
	return nil
}

// TakeHandover gives what an action issued to the person who agreed to it, once.
func (d *Approvals) TakeHandover(ctx context.Context, id string, who Person) ([]byte, *schemas.Error) {
	q, err := d.Ledger.Approval(ctx, id)
	switch {
	case err != nil:
		return nil, d.ledgerError(err)
	case !d.MayTakeHandover(&q, who):
		return nil, notAllowed("only whoever agreed to it may take it")
	case !who.Fresh:
		return nil, &schemas.Error{Outcome: schemas.Denied, Message: "prove again who you are: whoever holds this can act with it", Next: "log in again, and take it then"}
	}
	data, err := d.Ledger.TakeHandover(ctx, id, who.actor())
	if err != nil {
		return nil, d.ledgerError(err)
	}
	return data, nil
}

// MayTakeHandover reports whether what came of the question is the person's to take.
func (d *Approvals) MayTakeHandover(q *ledger.ApprovalRequest, who Person) bool {
	return q.State == ledger.Used && who.HasRole(RoleApprover) && !who.HasRole(RoleAgent) && !who.isRequester(q) && strings.EqualFold(q.By.Name, who.Name)
}

// Stop freezes everything. Resume lets it go on.
func (d *Approvals) Stop(ctx context.Context, who Person, note string) *schemas.Error {
	if !who.MayStop() {
		return notAllowed("only somebody with the role admin may stop everything")
	}
	if err := d.Ledger.Stop(ctx, who.actor(), note); err != nil {
		return d.ledgerError(err)
	}
	d.Watch.Poke()
	return nil
}

// Resume ends a freeze; it reports whether there was one.
func (d *Approvals) Resume(ctx context.Context, who Person) (bool, *schemas.Error) {
	if !who.MayStop() {
		return false, notAllowed("only somebody with the role admin may resume")
	}
	was, err := d.Ledger.Resume(ctx, who.actor())
	if err != nil {
		return false, d.ledgerError(err)
	}
	d.Watch.Poke()
	return was, nil
}

// ledgerError says to a person what the ledger's error means.
func (d *Approvals) ledgerError(err error) *schemas.Error {
	e := &schemas.Error{Outcome: schemas.Denied, Message: err.Error(), Err: err}
	var f *ledger.StoppedError
	switch {
	case errors.As(err, &f):
		e.Outcome = schemas.Stopped
	case isStoreError(err):
		e.Outcome, e.Message = schemas.Unavailable, "the ledger cannot be used now, so nothing was changed"
		e.Next = "look into the server's log, which says what to do"
	}
	return e
}

// MustStateNumber reports whether a yes to calls that ring so many people must state their number.
func MustStateNumber(n int) bool { return n > stateNumberAbove }
