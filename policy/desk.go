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
	// How says on which way they come, such as `inbox`.
	How string
	// Credential is the id of the token that they showed, if any.
	Credential string
	// Fresh says that they proved who they are a short while ago.
	Fresh bool
}

func (w Person) by() string { return w.Name + " (" + w.How + ")" }

// Is reports whether the person has the role.
func (w Person) Is(role string) bool { return slices.Contains(w.Roles, role) }

// Commands reports whether the person may stop everything and resume it.
func (w Person) Commands() bool { return w.Local || w.Is(RoleAdmin) }

// asked reports whether the question is the person's own.
func (w Person) asked(q *ledger.Grant) bool {
	return q.Person != "" && strings.EqualFold(q.Person, w.Name)
}

// Sees reports whether the person may look at the question.
func (w Person) Sees(q *ledger.Grant) bool { return w.asked(q) || w.Is(RoleApprover) }

// May says why the person cannot answer the question; nil where they can.
func (w Person) May(q *ledger.Grant) *schemas.Error {
	switch {
	case w.Is(RoleAgent):
		return notYours("this token is a program's (role agent), and programs answer nothing")
	case w.Credential != "" && w.Credential == q.Credential:
		return notYours("this was asked with the very token that you came with, so a program has it; log in with a link or with a token of your own")
	case q.Needs == rules.Confirm.String() && w.Sees(q):
		return nil
	case q.Needs == rules.Confirm.String():
		return notYours("only whoever asked, or somebody with the role approver, may answer this")
	case q.Needs != rules.Approve.String():
		return notYours("nobody may answer this")
	case w.asked(q):
		return notYours("another person than the one who asks must answer this: you are " + w.Name + ", with whichever token")
	case !w.Is(RoleApprover):
		return notYours("only somebody with the role approver may answer this")
	case q.Person == "":
		return notYours("nobody knows which person asks, so nobody can be told to be another one")
	}
	return nil
}

func notYours(why string) *schemas.Error {
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

// Desk is where people answer what waits in the inbox. What they agree to is run
// by an [Executor], of this process or of the one that asked.
type Desk struct {
	Ledger ledger.Ledger
	Watch  *Watch
	Now    func() time.Time
}

// Answered is what came of an answer to one question.
type Answered struct {
	Grant string
	// Err is why the answer does not count; nil where it was taken.
	Err *schemas.Error
}

// Answer takes a person's answer to the questions that they were shown together,
// each for itself. Where a yes would ring more than ten people in all, reply.People
// must be their number; another one changes nothing. reply.By is set here.
func (d *Desk) Answer(ctx context.Context, ids []string, who Person, reply Reply) []Answered {
	reply.By = who.by()
	out, all, people := make([]Answered, len(ids)), make([]ledger.Grant, len(ids)), 0
	for i, id := range ids {
		out[i].Grant = id
		q, err := d.Ledger.Grant(ctx, id)
		if err != nil {
			out[i].Err = d.fault(err)
			continue
		}
		all[i] = q
		var card Card
		switch {
		case !q.Inbox:
			out[i].Err = notYours("this question is not asked here")
		case json.Unmarshal(q.Card, &card) != nil && reply.Yes:
			out[i].Err = cardGone()
		default:
			out[i].Err = who.May(&q)
		}
		if out[i].Err == nil && reply.Yes && NeedsFresh(q.Action) && !who.Fresh {
			out[i].Err = &schemas.Error{Outcome: schemas.Denied, Message: "prove again who you are: this cannot be undone", Next: "log in again, and answer then"}
		}
		people += card.Rings
	}
	if reply.Yes && people > stateAbove && reply.People != people {
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
	d.Watch.Kick()
	return out
}

func (d *Desk) answer(ctx context.Context, q ledger.Grant, reply Reply) *schemas.Error {
	r := ledger.Reply{State: ledger.Refused, By: reply.By, Note: reply.Note, Quick: reply.Quick}
	if reply.Yes {
		r.State, r.Note = ledger.Granted, ""
		if !Read(q.Action) {
			r.Until = d.Now().Add(RunWithin)
		}
	}
	err := d.Ledger.Answer(ctx, q, r)
	if err == nil {
		return nil
	}
	// Who was faster, and with what.
	if now, e := d.Ledger.Grant(ctx, q.ID); e == nil && now.By != "" && !asStore(err) {
		return &schemas.Error{Outcome: schemas.Denied, Message: fmt.Sprintf("%s answered this already, %s", NameOf(now.By), ago(now.Answered, d.Now())), Err: err}
	}
	return d.fault(err)
}

// Revoke takes back a yes that was not used, or a question that nobody has answered.
func (d *Desk) Revoke(ctx context.Context, id string, who Person) *schemas.Error {
	q, err := d.Ledger.Grant(ctx, id)
	if err != nil {
		return d.fault(err)
	}
	if !who.Sees(&q) {
		return notYours("only whoever asked, or somebody with the role approver, may take this back")
	}
	why := &schemas.Error{Outcome: schemas.Declined, Message: who.Name + " took it back; nothing ran", Next: "do not ask again for the same; ask the person what they want instead"}
	err = d.Ledger.Answer(ctx, q, ledger.Reply{State: ledger.Revoked, By: who.by(), Outcome: why.Outcome, Fault: faultJSON(why)})
	d.Watch.Kick()
	if err != nil {
		return d.fault(err)
	}
	return nil
}

// Take gives what an action issued to the person who agreed to it, once.
func (d *Desk) Take(ctx context.Context, id string, who Person) ([]byte, *schemas.Error) {
	q, err := d.Ledger.Grant(ctx, id)
	switch {
	case err != nil:
		return nil, d.fault(err)
	case !d.Takes(&q, who):
		return nil, notYours("only whoever agreed to it may take it")
	case !who.Fresh:
		return nil, &schemas.Error{Outcome: schemas.Denied, Message: "prove again who you are: whoever holds this can act with it", Next: "log in again, and take it then"}
	}
	data, err := d.Ledger.Take(ctx, id, who.by())
	if err != nil {
		return nil, d.fault(err)
	}
	return data, nil
}

// Takes reports whether what came of the question is the person's to take.
func (d *Desk) Takes(q *ledger.Grant, who Person) bool {
	name, _, _ := strings.Cut(q.By, " (")
	return q.State == ledger.Spent && who.Is(RoleApprover) && !who.Is(RoleAgent) && !who.asked(q) && strings.EqualFold(name, who.Name)
}

// Stop freezes everything. Resume lets it go on.
func (d *Desk) Stop(ctx context.Context, who Person, note string) *schemas.Error {
	if !who.Commands() {
		return notYours("only somebody with the role admin may stop everything")
	}
	if err := d.Ledger.Freeze(ctx, who.by(), note); err != nil {
		return d.fault(err)
	}
	d.Watch.Kick()
	return nil
}

// Resume ends a freeze; it reports whether there was one.
func (d *Desk) Resume(ctx context.Context, who Person) (bool, *schemas.Error) {
	if !who.Commands() {
		return false, notYours("only somebody with the role admin may resume")
	}
	was, err := d.Ledger.Resume(ctx, who.by())
	if err != nil {
		return false, d.fault(err)
	}
	d.Watch.Kick()
	return was, nil
}

// fault says to a person what the ledger's error means.
func (d *Desk) fault(err error) *schemas.Error {
	e := &schemas.Error{Outcome: schemas.Denied, Message: err.Error(), Err: err}
	var f *ledger.FrozenError
	switch {
	case errors.As(err, &f):
		e.Outcome = schemas.Frozen
	case asStore(err):
		e.Outcome, e.Message = schemas.Unavailable, "the ledger cannot be used now, so nothing was changed"
		e.Next = "look into the server's log, which says what to do"
	}
	return e
}

// StatesPeople reports whether a yes to calls that ring so many people must state their number.
func StatesPeople(n int) bool { return n > stateAbove }
