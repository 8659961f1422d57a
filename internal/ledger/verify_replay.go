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
	intents   map[string]*replayed
	approvals map[string]*replayed
	stopped   bool
	stops     int
	budgets   budgets
	// requested is the last grant of each binding: asking anew voids the one before.
	requested map[binding]*replayed
	tokens    map[string]*replayedToken
}

// binding is what a grant is bound to, as its records tell.
type binding struct {
	requester                               Actor
	credential, action, fingerprint, policy string
}

// replayed is an intent or a grant as the chain tells of it.
type replayed struct {
	state                       string
	caller                      Actor
	action, fingerprint         string
	credential                  string // of a grant
	policy, repeats, recipients string // of a grant
	needs, person               string // of a grant
	inbox                       bool   // of a grant
	expires                     int64  // of a grant
	approval                    string // that an intent spent
	process                     string // of an intent, as its row says
	debited                     []Balance
	at                          int64
	seq                         int64
	stops                       int  // how many there had been
	finished                    bool // a grant had run out when everything was stopped: older versions revoked it all the same
	superseded                  bool // a grant with the same binding was asked later
	seen                        bool
}

func newReplay() *replay {
	return &replay{intents: map[string]*replayed{}, approvals: map[string]*replayed{}, requested: map[binding]*replayed{}, budgets: budgets{},
		tokens: map[string]*replayedToken{}}
}

func (p *replay) record(v *verifier, r *Record) {
	switch r.Phase {
	case PhaseRequested:
		of := binding{r.Caller, r.Credential, r.Action, r.Fingerprint, r.Policy}
		if old := p.requested[of]; old != nil {
			old.superseded = true
			if (old.state == string(Pending) || old.state == string(Approved)) && old.expires > micros(r.Time) {
				old.state = string(Revoked)
			}
		}
		g := &replayed{state: string(Pending), caller: r.Caller, credential: r.Credential, action: r.Action, fingerprint: r.Fingerprint,
			policy: r.Policy, repeats: r.Repeats, recipients: r.Recipients, expires: r.Expires, seq: r.Seq,
			needs: r.Decision, person: r.Person, inbox: r.Inbox}
		p.approvals[r.ApprovalID], p.requested[of] = g, g
	case PhasePruned:
		v.pruned = r
		p.budgets.carried(v, r)
	case PhaseAnswered:
		g := p.approvals[r.ApprovalID]
		if g == nil || g.state != string(Pending) && (g.state != string(Approved) || r.State == string(Approved)) {
			v.find(WrongApproval, r.Seq, r.ApprovalID, "record %d answers a question that was not open", r.Seq)
			return
		}
		g.state = r.State
		if r.Expires != 0 {
			g.expires = r.Expires
		}
	case PhasePrepared:
		p.prepared(v, r)
	case PhaseSent, PhaseSettled, PhaseAbandoned, PhaseResolved:
		p.moved(v, r)
	case PhaseStopped:
		if !p.stopped {
			p.stops++
		}
		p.stopped = true
		for _, g := range p.approvals {
			switch {
			case g.state != string(Pending) && g.state != string(Approved):
			case g.expires > micros(r.Time):
				g.state = string(Revoked)
			default:
				g.finished = true
			}
		}
	case PhaseResumed:
		p.stopped = false
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
	if p.stopped && r.Action != HangUp && (r.Class != schemas.Read || r.ApprovalID != "") {
		v.find(WrongStop, r.Seq, r.Intent, "intent %s was prepared while everything was stopped", r.Intent)
	}
	if r.ApprovalID != "" {
		g := p.approvals[r.ApprovalID]
		if g == nil || g.state != string(Approved) || g.fingerprint != r.Fingerprint || g.recipients != r.Recipients || g.caller != r.Caller || g.action != r.Action {
			v.find(WrongApproval, r.Seq, r.ApprovalID, "record %d spends a yes that nobody gave to this call", r.Seq)
		} else {
			g.state = string(Used)
		}
	}
	p.budgets.taken(v, r)
	p.intents[r.Intent] = &replayed{debited: r.Budgets, state: r.State, caller: r.Caller, action: r.Action, fingerprint: r.Fingerprint, approval: r.ApprovalID,
		at: micros(r.Time), seq: r.Seq, stops: p.stops}
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
	if len(in.debited) > 0 || len(r.Budgets) > 0 {
		p.budgets.ended(v, r, in.debited)
	}
	if g := p.approvals[in.approval]; g != nil && r.Phase == PhaseSettled && r.State == string(NotSent) && g.state == string(Used) {
		if g.state = string(Approved); p.stopped || p.stops > in.stops || g.superseded {
			g.state = string(Revoked)
		}
	}
}

// intents holds the table of intents against the chain.
func (v *verifier) intents(ctx context.Context, conn *sql.Conn) error {
	rows, err := conn.QueryContext(ctx, "SELECT id, seq, caller, action, fingerprint, approval_id, state, prepared, process FROM intents")
	if err != nil {
		return err
	}
	err = eachRow(rows, func(scan func(...any) error) error {
		var id, caller string
		var row replayed
		if err := scan(&id, &row.seq, &caller, &row.action, &row.fingerprint, &row.approval, &row.state, &row.at, &row.process); err != nil {
			return err
		}
		in := v.replay.intents[id]
		switch {
		case in == nil:
			v.find(WrongIntent, 0, id, "intent %s is in no record", id)
			return nil
		case in.state != row.state:
			v.find(WrongIntent, in.seq, id, "intent %s is %s, but its last record says %s", id, row.state, in.state)
		case in.caller != parseActor(caller) || in.action != clip(row.action) || in.fingerprint != row.fingerprint || in.approval != row.approval || in.at != row.at || in.seq != row.seq:
			v.find(WrongIntent, in.seq, id, "intent %s is not as its record says", id)
		}
		in.seen, in.process = true, row.process
		return nil
	})
	for id, in := range v.replay.intents {
		if !in.seen {
			v.find(WrongIntent, in.seq, id, "intent %s has a record, but is gone", id)
		}
		switch IntentState(in.state) {
		case Unknown:
			v.report.Unknown++
		case Prepared, Sent:
			v.report.InFlight++
			switch late := v.now-in.at > v.s.o.Stale.Microseconds(); {
			case v.s.o.ReadOnly && (late || gone(in.process)):
				v.report.Unsettled++ // perhaps nobody was there to sweep it
			case late:
				v.find(WrongIntent, in.seq, id, "intent %s has no outcome", id)
			}
		}
	}
	return err
}

// approvals holds the table of grants against the chain.
func (v *verifier) approvals(ctx context.Context, conn *sql.Conn) error {
	rows, err := conn.QueryContext(ctx, "SELECT id, seq, requester, credential, action, fingerprint, policy, recipients, repeats, expires, state, needs, person, inbox FROM approvals")
	if err != nil {
		return err
	}
	err = eachRow(rows, func(scan func(...any) error) error {
		var id, requester string
		var row replayed
		if err := scan(&id, &row.seq, &requester, &row.credential, &row.action, &row.fingerprint, &row.policy, &row.recipients, &row.repeats, &row.expires, &row.state, &row.needs, &row.person, &row.inbox); err != nil {
			return err
		}
		g := v.replay.approvals[id]
		switch {
		case g == nil:
			v.find(WrongApproval, 0, id, "grant %s is in no record", id)
			return nil
		case g.state != row.state && !(g.finished && row.state == string(Revoked)):
			v.find(WrongApproval, g.seq, id, "grant %s is %s, but its last record says %s", id, row.state, g.state)
		case g.seq != row.seq || g.caller != parseActor(requester) || g.credential != clip(row.credential) || g.action != clip(row.action) || g.fingerprint != row.fingerprint ||
			g.policy != clip(row.policy) || g.recipients != clip(row.recipients) || g.repeats != clip(row.repeats) || g.expires != row.expires ||
			g.needs != clip(row.needs) || g.person != clip(row.person) || g.inbox != row.inbox:
			v.find(WrongApproval, g.seq, id, "grant %s is not as its record says", id)
		}
		g.seen = true
		return nil
	})
	for id, g := range v.replay.approvals {
		if !g.seen {
			v.find(WrongApproval, g.seq, id, "grant %s has a record, but is gone", id)
		}
	}
	return err
}

// stops holds the freeze that the program obeys against the chain.
func (v *verifier) stops(ctx context.Context, conn *sql.Conn) error {
	var stop bool
	if err := conn.QueryRowContext(ctx, "SELECT count(*) > 0 FROM stops WHERE resumed IS NULL").Scan(&stop); err != nil {
		return err
	}
	if stop != v.replay.stopped {
		v.find(WrongStop, 0, "", "whether everything is stopped is not as the chain says")
	}
	return nil
}
