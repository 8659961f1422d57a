package inbox

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"
	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// frame is the part that all pages share.
type frame struct {
	Title     string
	Simulated bool
	// Me is who is logged in; empty if nobody is.
	Me      string
	Pending int
	// Stops are the emergency stops in force that they may see.
	Stops []stopView
	Stamp string // for logging out
	// Salt and Key are those of the proof that the page asks the server for, see ownerPath.
	Salt, Key string
}

func (i *Inbox) frame(v *visit, title string) frame {
	f := frame{Title: title, Simulated: i.Simulated, Salt: ledger.NewID()}
	f.Key = hex.EncodeToString(proofKey(i.Ledger, f.Salt))
	if v != nil {
		f.Me, f.Stamp = v.person.Name, i.stamps.Make(v.secret, "logout", i.Now())
	}
	return f
}

// cardView is a card as a page shows it: of one request, or of several that one caller made within
// a minute.
type cardView struct {
	ID    string // of the first line
	Lines []lineView
	// Heading is the title of the one request, or the number of requests and their action.
	Heading   string
	Class     schemas.Class
	Approve   bool // it needs another person
	Simulated bool
	Effect    string
	Undo      string
	Requester string
	Client    string
	Requested time.Time
	Expires   time.Time
	// People is how many people the ticked lines together reach. AskPeople is true if an approval of
	// all lines must state such a number.
	People    int
	AskPeople bool
	// Unticked is true if a line is not ticked.
	Unticked bool
	// Barred is why this person cannot answer; empty if they can. Over is true if nobody can.
	Barred string
	Over   bool
	// All is how many requests of this requester the person can answer.
	All int
	// Stale is true if they must log in again before they can approve.
	Stale bool
	// ApproveButton and DeclineButton are the texts of the two buttons.
	ApproveButton, DeclineButton string
}

// lineView is one request of a card.
type lineView struct {
	ID    string
	Stamp string
	// Erased is true if the card, or a part of it, was erased with a person's data. Such a request
	// can only be declined. ErasedText says how many of its persons were erased; empty if the whole
	// card is gone.
	Erased     bool
	ErasedText string
	approval.Card
	More       int    // how many recipients are not in To
	ApprovedBy string // empty while it is pending
	// Departed is since when the requester's program no longer waits; zero if it does.
	Departed time.Time
}

// Ticked reports whether the line of a card with several is ticked before anybody has read it. What
// the requester made look harmless, and what is odd, is not.
func (l lineView) Ticked() bool { return !l.Own && !l.Invisible && len(l.Warnings) == 0 }

// Many reports whether the card has several lines.
func (c *cardView) Many() bool { return len(c.Lines) > 1 }

const (
	// maxShown is how many requests a page shows: more than a person can answer with care.
	maxShown = 60
	// maxTogether is how many requests share a card, and together the longest time between the
	// first and the last.
	maxTogether = 20
	together    = time.Minute
)

// cards returns the cards of the requests that are pending for the visitor, the oldest first, and
// the number of those requests. more is how many of them are not on a card: the last that mostUrgent
// sorts. A request has a card until it expires, also after its program has ended.
func (i *Inbox) cards(ctx context.Context, s *snapshot, v *visit) (cards []cardView, count, more int, err error) {
	type key struct{ requester, credential, organisation, action, needs, policy string }
	type group struct {
		first time.Time
		all   []*ledger.ApprovalRequest
	}
	latest := map[key]*group{}
	var groups []*group
	var shown []*ledger.ApprovalRequest
	now, own := i.Now(), map[ledger.Actor]int{}
	for n := range s.open {
		if req := &s.open[n]; req.Open(now) && v.person.MaySee(req, now) {
			shown = append(shown, req)
			if req.State == ledger.Pending && v.person.CheckAnswer(req) == nil {
				own[req.Requester]++
			}
		}
	}
	if count = len(shown); count > maxShown {
		more = count - maxShown
		shown = mostUrgent(shown)[:maxShown]
	}
	for n := range s.ended {
		if req := &s.ended[n]; isOver(req, now) && v.person.MaySee(req, now) {
			shown = append(shown, req)
		}
	}
	slices.SortStableFunc(shown, func(a, b *ledger.ApprovalRequest) int { return a.Requested.Compare(b.Requested) })
	for _, req := range shown {
		k := key{req.Requester.String(), req.Credential, req.Organisation, req.Action, req.Needs, req.Policy}
		g := latest[k]
		if g == nil || req.State != ledger.Pending || req.Requested.Sub(g.first) >= together || len(g.all) == maxTogether {
			g = &group{first: req.Requested}
			groups = append(groups, g)
			if req.State == ledger.Pending {
				latest[k] = g
			}
		}
		g.all = append(g.all, req)
	}
	for _, g := range groups {
		c, err := i.card(ctx, s, v, g.all)
		if err != nil {
			return nil, 0, 0, err
		}
		if c.Barred == "" && c.Lines[0].ApprovedBy == "" {
			c.All = own[g.all[0].Requester]
		}
		cards = append(cards, *c)
	}
	return cards, count, more, nil
}

// mostUrgent sorts requests: those of each caller and class by the time that they have left, because
// one with a day left can wait behind one with five minutes, and the first of each before the second
// of any, so that no caller and no class hides the others.
func mostUrgent(all []*ledger.ApprovalRequest) []*ledger.ApprovalRequest {
	type lane struct {
		requester ledger.Actor
		class     schemas.Class
	}
	slices.SortStableFunc(all, func(a, b *ledger.ApprovalRequest) int { return a.Expires.Compare(b.Expires) })
	before, turn := map[lane]int{}, map[string]int{}
	for _, req := range all {
		l := lane{requester: req.Requester}
		if a, err := schemas.Find(req.Action); err == nil {
			l.class = a.Class
		}
		before[l]++
		turn[req.ID] = before[l]
	}
	slices.SortStableFunc(all, func(a, b *ledger.ApprovalRequest) int { return turn[a.ID] - turn[b.ID] })
	return all
}

func (i *Inbox) card(ctx context.Context, s *snapshot, v *visit, all []*ledger.ApprovalRequest) (*cardView, error) {
	first := all[0]
	c := &cardView{ID: first.ID, Approve: first.Needs == rules.Approve.String(), Simulated: i.Simulated,
		Requester: first.Requester.String(), Requested: first.Requested, Expires: first.Expires,
		Stale: approval.NeedsFresh(first.Action) && !v.person.Fresh}
	if why := v.person.CheckAnswer(first); why != nil {
		c.Barred = why.Message
	}
	if c.Over = isOver(first, i.Now()); c.Over {
		c.Barred = "This cannot be approved any more: the program that asked has ended. Nothing ran"
	}
	c.ApproveButton, c.DeclineButton = schemas.Buttons(first.Action)
	if len(all) > 1 {
		c.ApproveButton, c.DeclineButton = "Approve what is ticked", "Decline what is ticked"
	}
	title := first.Action
	if a, err := schemas.Find(first.Action); err == nil {
		c.Class, c.Effect, c.Undo, title = a.Class, a.Effect, a.Reversal(), a.Title
	}
	people := 0 // of all lines
	for _, req := range all {
		o, err := s.card(ctx, req.ID)
		if err != nil {
			return nil, err
		}
		l := i.line(v, o)
		if people += l.RecipientCount; len(all) == 1 || l.Ticked() {
			c.People += l.RecipientCount
		} else {
			c.Unticked = true
		}
		c.Client = l.Client
		if req.Expires.Before(c.Expires) {
			c.Expires = req.Expires
		}
		c.Lines = append(c.Lines, l)
	}
	c.AskPeople = approval.MustStateNumber(people)
	if c.Effect == "" { // a read has its effect on the card only
		c.Effect = c.Lines[0].Effect
	}
	c.Heading = fmt.Sprintf("%d requests: %s", len(all), title)
	if len(all) == 1 {
		c.Heading = c.Lines[0].Title
	}
	return c, nil
}

func (i *Inbox) line(v *visit, o *openedRequest) lineView {
	l := lineView{ID: o.ID, Stamp: i.stamps.Make(v.secret, o.ID, i.Now())}
	if o.card == nil {
		l.Erased, l.Title = true, "The card was erased together with a person's data. You can only decline this request."
		return l
	}
	l.Card = *o.card
	if o.Erased > 0 {
		l.Erased, l.ErasedText = true, ledger.ErasedText(o.Erased)
	}
	if n := l.RecipientCount - len(l.To); l.RecipientCount > 0 && n > 0 {
		l.More = n
	}
	switch o.State {
	case ledger.Approved:
		l.ApprovedBy = approval.PersonName(o.By)
	case ledger.Pending:
		l.Departed = o.Departed
	}
	return l
}

// endedView is a decided request as a page shows it.
type endedView struct {
	ID        string
	Title     string
	Requester string
	approval.Outcome
	Quick bool
	// Take is true if the visitor can take what was issued, until Until. Stale is true if they must
	// log in again first.
	Take, Stale bool
	Until       time.Time
	Stamp       string // for taking
}

func (i *Inbox) endedOf(v *visit, o *openedRequest) endedView {
	e := endedView{ID: o.ID, Requester: o.Requester.String(), Quick: o.Quick,
		Title: "(erased together with a person's data)"}
	if o.card != nil {
		e.Title = o.card.Title
		if o.Erased > 0 {
			e.Title += " (" + ledger.ErasedText(o.Erased) + ")"
		}
	}
	e.Outcome = approval.DescribeOutcome(&o.ApprovalRequest, o.run, i.Now())
	if !o.heldUntil.IsZero() && v.person.MayTakeHandover(&o.ApprovalRequest) {
		e.Take, e.Stale, e.Until, e.Stamp = true, !v.person.Fresh, o.heldUntil, i.stamps.Make(v.secret, "take-"+o.ID, i.Now())
	}
	return e
}
