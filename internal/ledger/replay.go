package ledger

import (
	"context"
	"database/sql"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// replay follows the chain and knows, from it alone, where each intent and
// grant must stand. The tables are what the program obeys; the chain is what
// can be trusted: where they differ, somebody changed a table.
type replay struct {
	intents map[string]*replayed
	grants  map[string]*replayed
	frozen  bool
	freezes int
	budgets budgets
	// asked is the last grant of each binding: asking anew voids the one before.
	asked  map[binding]*replayed
	tokens map[string]*replayedToken
}

// binding is what a grant is bound to, as its records tell.
type binding struct{ principal, credential, action, print, policy string }

// replayed is an intent or a grant as the chain tells of it.
type replayed struct {
	state                    string
	principal, action, print string
	credential               string // of a grant
	policy, repeats, reach   string // of a grant
	needs, person            string // of a grant
	inbox                    bool   // of a grant
	expires                  int64  // of a grant
	grant                    string // that an intent spent
	owner                    string // of an intent, as its row says
	took                     []Balance
	at                       int64
	seq                      int64
	freezes                  int  // how many there had been
	over                     bool // a grant had run out when everything was stopped: older versions revoked it all the same
	anew                     bool // a grant with the same binding was asked later
	seen                     bool
}

func newReplay() *replay {
	return &replay{intents: map[string]*replayed{}, grants: map[string]*replayed{}, asked: map[binding]*replayed{}, budgets: budgets{},
		tokens: map[string]*replayedToken{}}
}

func (p *replay) record(v *verifier, r *Record) {
	switch r.Phase {
	case PhaseAsked:
		of := binding{r.Principal, r.Credential, r.Action, r.Print, r.Policy}
		if old := p.asked[of]; old != nil {
			old.anew = true
			if (old.state == string(Waiting) || old.state == string(Granted)) && old.expires > micros(r.Time) {
				old.state = string(Revoked)
			}
		}
		g := &replayed{state: string(Waiting), principal: r.Principal, credential: r.Credential, action: r.Action, print: r.Print,
			policy: r.Policy, repeats: r.Repeats, reach: r.Reach, expires: r.Expires, seq: r.Seq,
			needs: r.Decision, person: r.Person, inbox: r.Inbox}
		p.grants[r.Grant], p.asked[of] = g, g
	case PhasePruned:
		v.pruned = r
		p.budgets.carried(v, r)
	case PhaseAnswered:
		g := p.grants[r.Grant]
		if g == nil || g.state != string(Waiting) && (g.state != string(Granted) || r.State == string(Granted)) {
			v.find(WrongGrant, r.Seq, r.Grant, "record %d answers a question that was not open", r.Seq)
			return
		}
		g.state = r.State
		if r.Expires != 0 {
			g.expires = r.Expires
		}
	case PhasePrepared:
		p.prepared(v, r)
	case PhaseSent, PhaseSettled, PhaseSwept, PhaseResolved:
		p.moved(v, r)
	case PhaseFrozen:
		if !p.frozen {
			p.freezes++
		}
		p.frozen = true
		for _, g := range p.grants {
			switch {
			case g.state != string(Waiting) && g.state != string(Granted):
			case g.expires > micros(r.Time):
				g.state = string(Revoked)
			default:
				g.over = true
			}
		}
	case PhaseResumed:
		p.frozen = false
	case PhaseIssued, PhaseRevoked:
		p.token(v, r)
	}
}

func (p *replay) prepared(v *verifier, r *Record) {
	v.report.Intents++
	p.under(v, r)
	if p.intents[r.Intent] != nil {
		v.find(WrongIntent, r.Seq, r.Intent, "intent %s was prepared twice", r.Intent)
	}
	if p.frozen && r.Action != HangUp && (r.Class != schemas.Read || r.Grant != "") {
		v.find(WrongFreeze, r.Seq, r.Intent, "intent %s was prepared while everything was stopped", r.Intent)
	}
	if r.Grant != "" {
		g := p.grants[r.Grant]
		if g == nil || g.state != string(Granted) || g.print != r.Print || g.reach != r.Reach || g.principal != r.Principal || g.action != r.Action {
			v.find(WrongGrant, r.Seq, r.Grant, "record %d spends a yes that nobody gave to this call", r.Seq)
		} else {
			g.state = string(Spent)
		}
	}
	p.budgets.taken(v, r)
	p.intents[r.Intent] = &replayed{took: r.Budgets, state: r.State, principal: r.Principal, action: r.Action, print: r.Print, grant: r.Grant,
		at: micros(r.Time), seq: r.Seq, freezes: p.freezes}
}

func (p *replay) moved(v *verifier, r *Record) {
	in := p.intents[r.Intent]
	if in == nil && v.begun(r.Intent) {
		return
	}
	open := in != nil && (in.state == string(Prepared) || in.state == string(Sent))
	unknown := in != nil && in.state == string(Unknown)
	if !open && !(unknown && (r.Phase == PhaseSettled || r.Phase == PhaseResolved)) {
		v.find(WrongIntent, r.Seq, r.Intent, "record %d tells how an intent ended that was not open", r.Seq)
		return
	}
	in.state = r.State
	if len(in.took) > 0 || len(r.Budgets) > 0 {
		p.budgets.ended(v, r, in.took)
	}
	if g := p.grants[in.grant]; g != nil && r.Phase == PhaseSettled && r.State == string(NotSent) && g.state == string(Spent) {
		if g.state = string(Granted); p.frozen || p.freezes > in.freezes || g.anew {
			g.state = string(Revoked)
		}
	}
}

// intents holds the table of intents against the chain.
func (v *verifier) intents(ctx context.Context, conn *sql.Conn) error {
	rows, err := conn.QueryContext(ctx, "SELECT id, seq, principal, action, print, grant_id, state, prepared, owner FROM intents")
	if err != nil {
		return err
	}
	err = eachRow(rows, func(scan func(...any) error) error {
		var id string
		var row replayed
		if err := scan(&id, &row.seq, &row.principal, &row.action, &row.print, &row.grant, &row.state, &row.at, &row.owner); err != nil {
			return err
		}
		in := v.replay.intents[id]
		switch {
		case in == nil:
			v.find(WrongIntent, 0, id, "intent %s is in no record", id)
			return nil
		case in.state != row.state:
			v.find(WrongIntent, in.seq, id, "intent %s is %s, but its last record says %s", id, row.state, in.state)
		case in.principal != clip(row.principal) || in.action != clip(row.action) || in.print != row.print || in.grant != row.grant || in.at != row.at || in.seq != row.seq:
			v.find(WrongIntent, in.seq, id, "intent %s is not as its record says", id)
		}
		in.seen, in.owner = true, row.owner
		return nil
	})
	for id, in := range v.replay.intents {
		if !in.seen {
			v.find(WrongIntent, in.seq, id, "intent %s has a record, but is gone", id)
		}
		switch Progress(in.state) {
		case Unknown:
			v.report.Unknown++
		case Prepared, Sent:
			v.report.InFlight++
			switch late := v.now-in.at > v.s.o.Stale.Microseconds(); {
			case v.s.o.ReadOnly && (late || gone(in.owner)):
				v.report.Unsettled++ // perhaps nobody was there to sweep it
			case late:
				v.find(WrongIntent, in.seq, id, "intent %s has no outcome", id)
			}
		}
	}
	return err
}

// grants holds the table of grants against the chain.
func (v *verifier) grants(ctx context.Context, conn *sql.Conn) error {
	rows, err := conn.QueryContext(ctx, "SELECT id, seq, principal, credential, action, print, policy, reach, repeats, expires, state, needs, person, inbox FROM grants")
	if err != nil {
		return err
	}
	err = eachRow(rows, func(scan func(...any) error) error {
		var id string
		var row replayed
		if err := scan(&id, &row.seq, &row.principal, &row.credential, &row.action, &row.print, &row.policy, &row.reach, &row.repeats, &row.expires, &row.state, &row.needs, &row.person, &row.inbox); err != nil {
			return err
		}
		g := v.replay.grants[id]
		switch {
		case g == nil:
			v.find(WrongGrant, 0, id, "grant %s is in no record", id)
			return nil
		case g.state != row.state && !(g.over && row.state == string(Revoked)):
			v.find(WrongGrant, g.seq, id, "grant %s is %s, but its last record says %s", id, row.state, g.state)
		case g.seq != row.seq || g.principal != clip(row.principal) || g.credential != clip(row.credential) || g.action != clip(row.action) || g.print != row.print ||
			g.policy != clip(row.policy) || g.reach != clip(row.reach) || g.repeats != clip(row.repeats) || g.expires != row.expires ||
			g.needs != clip(row.needs) || g.person != clip(row.person) || g.inbox != row.inbox:
			v.find(WrongGrant, g.seq, id, "grant %s is not as its record says", id)
		}
		g.seen = true
		return nil
	})
	for id, g := range v.replay.grants {
		if !g.seen {
			v.find(WrongGrant, g.seq, id, "grant %s has a record, but is gone", id)
		}
	}
	return err
}

// freeze holds the freeze that the program obeys against the chain.
func (v *verifier) freeze(ctx context.Context, conn *sql.Conn) error {
	var frozen bool
	if err := conn.QueryRowContext(ctx, "SELECT count(*) > 0 FROM freezes WHERE resumed IS NULL").Scan(&frozen); err != nil {
		return err
	}
	if frozen != v.replay.frozen {
		v.find(WrongFreeze, 0, "", "whether everything is stopped is not as the chain says")
	}
	return nil
}
