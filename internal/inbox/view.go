package inbox

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/approval"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// frame is what every page has.
type frame struct {
	Title     string
	Simulated bool
	// Me is who is logged in; empty where nobody is.
	Me       string
	Commands bool
	Pending  int
	Stop     *ledger.EmergencyStop
	Stamp    string // for logging out
}

func (i *Inbox) frame(v *visit, title string) frame {
	f := frame{Title: title, Simulated: i.Simulated}
	if v != nil {
		f.Me, f.Commands, f.Stamp = v.who.Name, v.who.MayStop(), i.stamps.make(v.secret, "logout", i.Now())
	}
	return f
}

// cardView is a card as the page shows it: of one question, or of several that one caller asked within a minute.
type cardView struct {
	ID    string
	Lines []lineView
	// Heading is the one question's sentence, or how many of what are asked.
	Heading   string
	Class     schemas.Class
	Approve   bool // it needs another person
	Simulated bool
	Effect    string
	Undo      string
	Requester string
	Client    string
	Asked     time.Time
	Expires   time.Time
	// People is how many people all lines together ring, where a yes must state it.
	People int
	// Barred is why this person cannot answer; empty where they can. Stale says that they must log in again for a yes.
	Barred string
	Stale  bool
}

// lineView is one question of a card.
type lineView struct {
	ID    string
	Stamp string
	// Gone is true where the card went with somebody who was erased: it can only be refused.
	Gone bool
	approval.Card
	More     int // how many more are rung than To names
	Approved string
}

// Many reports whether the card has several lines.
func (c *cardView) Many() bool { return len(c.Lines) > 1 }

const (
	// maxShown is how many questions a page shows, more than a person can answer with care; the others wait behind them.
	maxShown = 60
	// maxTogether is how many are on one card, and together how far apart they may have been asked.
	maxTogether = 20
	together    = time.Minute
)

// cards groups what waits for the visitor, the oldest first; more is how many questions are left out, those that have the
// most time left.
func (i *Inbox) cards(ctx context.Context, s *snapshot, v *visit) (cards []cardView, count, more int, err error) {
	type key struct{ principal, credential, upstream, action, needs, policy string }
	type group struct {
		first time.Time
		all   []*ledger.ApprovalRequest
	}
	latest := map[key]*group{}
	var groups []*group
	var shown []*ledger.ApprovalRequest
	now := i.Now()
	for n := range s.open {
		if q := &s.open[n]; q.Open(now) && v.who.MaySee(q) {
			shown = append(shown, q)
		}
	}
	if count = len(shown); count > maxShown {
		// What has a day can wait behind what has five minutes.
		more = count - maxShown
		slices.SortStableFunc(shown, func(a, b *ledger.ApprovalRequest) int { return a.Expires.Compare(b.Expires) })
		shown = shown[:maxShown]
		slices.SortStableFunc(shown, func(a, b *ledger.ApprovalRequest) int { return a.Requested.Compare(b.Requested) })
	}
	for _, q := range shown {
		k := key{q.Requester.String(), q.Credential, q.Organisation, q.Action, q.Needs, q.Policy}
		g := latest[k]
		if g == nil || q.State != ledger.Pending || q.Requested.Sub(g.first) >= together || len(g.all) == maxTogether {
			g = &group{first: q.Requested}
			groups = append(groups, g)
			if q.State == ledger.Pending {
				latest[k] = g
			}
		}
		g.all = append(g.all, q)
	}
	for _, g := range groups {
		c, err := i.card(ctx, s, v, g.all)
		if err != nil {
			return nil, 0, 0, err
		}
		cards = append(cards, *c)
	}
	return cards, count, more, nil
}

func (i *Inbox) card(ctx context.Context, s *snapshot, v *visit, all []*ledger.ApprovalRequest) (*cardView, error) {
	q := all[0]
	c := &cardView{ID: q.ID, Approve: q.Needs == rules.Approve.String(), Simulated: i.Simulated, Requester: q.Requester.String(),
		Asked: q.Requested, Expires: q.Expires, Stale: approval.NeedsFresh(q.Action) && !v.who.Fresh}
	if why := v.who.CheckAnswer(q); why != nil {
		c.Barred = why.Message
	}
	title := q.Action
	if a, err := schemas.Find(q.Action); err == nil {
		c.Class, c.Effect, c.Undo, title = a.Class, a.Effect, a.Reversal(), a.Title
	}
	people := 0
	for _, q := range all {
		o, err := s.card(ctx, q.ID)
		if err != nil {
			return nil, err
		}
		l := i.line(v, o)
		people += l.RecipientCount
		c.Client = l.Client
		if q.Expires.Before(c.Expires) {
			c.Expires = q.Expires
		}
		c.Lines = append(c.Lines, l)
	}
	if approval.MustStateNumber(people) {
		c.People = people
	}
	if c.Effect == "" { // a read's is the card's own
		c.Effect = c.Lines[0].Effect
	}
	c.Heading = fmt.Sprintf("%d requests: %s", len(all), title)
	if len(all) == 1 {
		c.Heading = c.Lines[0].Sentence
	}
	return c, nil
}

func (i *Inbox) line(v *visit, o *openedRequest) lineView {
	l := lineView{ID: o.ID, Stamp: i.stamps.make(v.secret, o.ID, i.Now())}
	if o.card == nil {
		l.Gone, l.Sentence = true, "What this was about is gone, with somebody whose data was erased. It can only be denied."
		return l
	}
	l.Card = *o.card
	if n := l.RecipientCount - len(l.To); l.RecipientCount > 0 && n > 0 {
		l.More = n
	}
	if o.State == ledger.Approved {
		l.Approved = approval.PersonName(o.By)
	}
	return l
}

// endedView is a decided question as the page shows it.
type endedView struct {
	ID       string
	Sentence string
	Asked    string // by whom
	OutcomeView
	Quick bool
	// Take is true where the visitor can take what was issued; Stamp is for that. Stale is true where they must log in again first.
	Take, Stale bool
	Stamp       string
	Until       time.Time
}

func (i *Inbox) endedOf(v *visit, o *openedRequest) endedView {
	e := endedView{ID: o.ID, Asked: o.Requester.String(), Quick: o.Quick}
	if o.card != nil {
		e.Sentence = o.card.Sentence
	} else {
		e.Sentence = "(gone with somebody whose data was erased)"
	}
	e.OutcomeView = DescribeOutcome(&o.ApprovalRequest, o.ran, i.Now())
	if !o.held.IsZero() && v.who.MayTakeHandover(&o.ApprovalRequest) {
		e.Take, e.Stale, e.Until, e.Stamp = true, !v.who.Fresh, o.held, i.stamps.make(v.secret, "take-"+o.ID, i.Now())
	}
	return e
}

// OutcomeView is what came of a question.
type OutcomeView struct {
	At time.Time
	// Tone is yes, no, warn or quiet; Status says in a few words what came of it, Detail more of it.
	Tone, Status, Detail string
	// Running is true while it runs: what comes of it is not known yet.
	Running bool
}

// DescribeOutcome says what came of a question until now. ran is the intent on which the yes was spent; nil where there is none.
func DescribeOutcome(o *ledger.ApprovalRequest, ran *ledger.Intent, now time.Time) OutcomeView {
	who := approval.PersonName(o.By)
	e := OutcomeView{At: o.Answered}
	switch {
	case o.Open(now):
		e.At, e.Tone, e.Status = o.Requested, "quiet", "waits for an answer"
		if o.State == ledger.Approved {
			e.At, e.Tone, e.Status = o.Answered, "yes", who+" agreed; it is about to run"
		}
	case o.State == ledger.Declined:
		e.Tone, e.Status, e.Detail = "no", who+" said no", schemas.Escape(o.Note, 500)
	case o.State == ledger.Revoked && o.Outcome != "" && o.Outcome != schemas.Declined:
		e.Tone, e.Status, e.Detail = "warn", who+" agreed, and it did not run: "+words(string(o.Outcome)), ledger.ErrorMessage(o.Fault)
	case o.State == ledger.Revoked:
		if e.Tone, e.Status = "quiet", "withdrawn"; o.By != (ledger.Actor{}) {
			e.Status = "taken back by " + who
		}
		if e.At.IsZero() {
			e.At = o.Requested
		}
	case o.State == ledger.Used && ran != nil:
		e.Tone, e.Status, e.Detail = ranAs(who, ran)
		e.Running = ran.State == ledger.Prepared || ran.State == ledger.Sent
	case o.State == ledger.Used:
		e.Tone, e.Status = "quiet", who+" agreed; how it ended is not kept any more"
	case o.State == ledger.Approved:
		e.Tone, e.Status = "warn", who+" agreed, and nobody ran it in time"
	default:
		e.At, e.Tone, e.Status = o.Expires, "quiet", "nobody answered in time"
	}
	return e
}

// ranAs says how a run ended that somebody agreed to.
func ranAs(who string, in *ledger.Intent) (tone, status, detail string) {
	switch in.State {
	case ledger.Succeeded:
		return "yes", who + " agreed, and it ran", ""
	case ledger.Failed:
		return "warn", who + " agreed, and Sippet refused it", ledger.ErrorMessage(in.Fault)
	case ledger.NotSent:
		return "warn", who + " agreed, and nothing was sent", ""
	case ledger.Unknown:
		return "warn", who + " agreed, and nobody knows whether it ran", "Look whether it took effect, and close it with: sippet-mcp audit resolve " + in.ID + " --as succeeded|failed --note TEXT"
	}
	return "yes", who + " agreed, and it is running", ""
}

func words(s string) string { return strings.ReplaceAll(s, "_", " ") }
