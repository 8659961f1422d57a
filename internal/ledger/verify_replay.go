package ledger

import (
	"context"
	"database/sql"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// replay derives the state of each intent and approval request from the log alone. The program
// obeys the tables, but only the log is protected. Where the two differ, somebody changed a table.
type replay struct {
	intents   map[string]*replayedIntent
	approvals map[string]*replayedApproval
	stops     []replayedStop // all of the log, the oldest first
	budgets   budgetReplay
	// requested is the last request of each binding: it replaces the earlier ones.
	requested map[binding]*replayedApproval
	tokens    map[string]*replayedToken
	keys      map[string]*replayedKey // the API keys
	pauses    map[pauseKey]*replayedPause
}

// binding is what identifies the same call of an approval request, as its record says.
type binding struct {
	requester                  Actor
	credential, action, effect string
}

// replayedApproval is an approval request as the log describes it.
type replayedApproval struct {
	state                             string
	requester                         Actor
	credential, action, fingerprint   string
	effect                            string
	kind                              schemas.EffectKind
	policy, recipients, needs, person string
	repeats                           string
	refills                           []Refill
	expires, shown, seq               int64
	superseded                        bool // there is a later request with the same binding
	ran                               bool // a call used it
	inTable                           bool
}

// replayedIntent is an intent as the log describes it.
type replayedIntent struct {
	state               string
	caller              Actor
	action, fingerprint string
	effect, kind        string
	affects             string
	approval            string // the id of the approval that it used
	process             string // from its row
	debited             []Balance
	at, seq             int64
	stops               int // the number of emergency stops before it
	inTable             bool
}

func newReplay() *replay {
	return &replay{intents: map[string]*replayedIntent{}, approvals: map[string]*replayedApproval{},
		requested: map[binding]*replayedApproval{}, budgets: budgetReplay{}, tokens: map[string]*replayedToken{}, keys: map[string]*replayedKey{},
		pauses: map[pauseKey]*replayedPause{}}
}

func (p *replay) apply(v *verifier, r *Record) {
	switch r.Phase {
	case PhaseRequested:
		if p.pause(r.Caller, r.Action).until > micros(r.Time) && r.Action != HangUp {
			v.add(WrongApproval, r.Seq, r.ApprovalID, "record %d requests what could not be asked for at the time", r.Seq)
		}
		key := binding{r.Caller, r.Credential, r.Action, r.Effect}
		if old := p.requested[key]; old != nil {
			old.superseded = true
			if (old.state == string(Pending) || old.state == string(Approved)) && old.expires > micros(r.Time) {
				old.state = string(Revoked)
			}
		}
		request := &replayedApproval{state: string(Pending), requester: r.Caller, credential: r.Credential, action: r.Action, fingerprint: r.Fingerprint,
			effect: r.Effect, kind: r.EffectKind, policy: r.Policy, repeats: r.Repeats, recipients: r.Recipients, expires: r.Expires, seq: r.Seq,
			needs: r.Decision, person: r.Person, shown: r.Shown, refills: r.Refills}
		p.approvals[r.ApprovalID], p.requested[key] = request, request
	case PhasePruned:
		v.pruned = r
		p.budgets.applyPruned(v, r)
	case PhaseAnswered:
		request := p.approvals[r.ApprovalID]
		if request == nil || request.state != string(Pending) && (request.state != string(Approved) || r.State == string(Approved)) {
			v.add(WrongApproval, r.Seq, r.ApprovalID, "record %d answers an approval request that was not open", r.Seq)
			return
		}
		request.state = r.State
		switch pause := p.pause(request.requester, request.action); ApprovalState(r.State) {
		case Declined:
			pause.decline(micros(r.Time))
		case Approved:
			pause.streak = streak{}
		}
		if r.Expires != 0 {
			request.expires = r.Expires
		}
	case PhaseLifted:
		*p.pause(r.Caller, r.Action) = replayedPause{lifted: r.Seq}
	case PhaseUnanswered:
		if request := p.approvals[r.ApprovalID]; request == nil || request.state != string(Pending) && request.state != string(Approved) {
			v.add(WrongApproval, r.Seq, r.ApprovalID, "record %d is about an approval request that was not open", r.Seq)
		}
	case PhasePrepared:
		p.applyPrepared(v, r)
	case PhaseRead, PhaseRejected, PhaseValidated, PhaseDropped:
		p.budgets.applyShown(v, r)
	case PhaseSent, PhaseSettled, PhaseAbandoned, PhaseResolved:
		p.applyOutcome(v, r)
	case PhaseStopped, PhaseResumed:
		p.applyStop(r)
	case PhaseIssued, PhaseRevoked:
		p.applyToken(v, r)
	case PhaseAttached:
		p.applyAttached(r)
	}
}

func (p *replay) applyPrepared(v *verifier, r *Record) {
	v.report.Intents++
	p.checkRevoked(v, r)
	if p.intents[r.Intent] != nil {
		v.add(WrongIntent, r.Seq, r.Intent, "intent %s was prepared twice", r.Intent)
	}
	p.checkStopped(v, r)
	request := p.approvals[r.ApprovalID]
	if r.ApprovalID != "" {
		if request == nil || request.state != string(Approved) || request.fingerprint != r.Fingerprint ||
			request.recipients != r.Recipients || request.requester != r.Caller || request.action != r.Action {
			v.add(WrongApproval, r.Seq, r.ApprovalID, "record %d uses an approval that nobody gave for this call", r.Seq)
		} else {
			request.state = string(Used)
		}
	}
	p.budgets.applyDebits(v, r, request)
	if request != nil {
		request.ran = true
	}
	p.intents[r.Intent] = &replayedIntent{debited: r.Budgets, state: r.State, caller: r.Caller, action: r.Action, fingerprint: r.Fingerprint, approval: r.ApprovalID,
		effect: r.Effect, kind: string(r.EffectKind), affects: r.Affects, at: micros(r.Time), seq: r.Seq, stops: len(p.stops)}
}

func (p *replay) applyOutcome(v *verifier, r *Record) {
	in := p.intents[r.Intent]
	if in == nil && v.isPruned(r.Intent) {
		return
	}
	open := in != nil && (in.state == string(Prepared) || in.state == string(Sent))
	unknown := in != nil && in.state == string(Unknown)
	if !open && !(unknown && (r.Phase == PhaseSettled || r.Phase == PhaseResolved)) {
		v.add(WrongIntent, r.Seq, r.Intent, "record %d settles an intent that was not open", r.Seq)
		return
	}
	in.state = r.State
	if len(in.debited) > 0 || len(r.Budgets) > 0 {
		p.budgets.applyOutcome(v, r, in.debited)
	}
	if request := p.approvals[in.approval]; request != nil && r.Phase == PhaseSettled && r.State == string(NotSent) && request.state == string(Used) {
		if request.state = string(Approved); p.stoppedSince(in) || request.superseded {
			request.state = string(Revoked)
		}
	}
}

// checkIntents compares the table of intents with the log.
func (v *verifier) checkIntents(ctx context.Context, conn *sql.Conn) error {
	rows, err := conn.QueryContext(ctx, "SELECT id, seq, caller, action, fingerprint, effect, effect_kind, affects, approval_id, state, prepared, process FROM intents")
	if err != nil {
		return err
	}
	err = eachRow(rows, func(scan func(...any) error) error {
		var id, caller string
		var row replayedIntent
		if err := scan(&id, &row.seq, &caller, &row.action, &row.fingerprint, &row.effect, &row.kind, &row.affects, &row.approval, &row.state, &row.at, &row.process); err != nil {
			return err
		}
		in := v.replay.intents[id]
		switch {
		case in == nil:
			v.add(WrongIntent, 0, id, "intent %s has no record", id)
			return nil
		case in.state != row.state:
			v.add(WrongIntent, in.seq, id, "intent %s is %s, but its last record says %s", id, row.state, in.state)
		case in.caller != parseActor(caller) || in.action != clip(row.action) || in.fingerprint != row.fingerprint ||
			in.effect != row.effect || in.kind != row.kind || in.affects != row.affects || in.approval != row.approval || in.at != row.at || in.seq != row.seq:
			v.add(WrongIntent, in.seq, id, "intent %s differs from its record", id)
		}
		in.inTable, in.process = true, row.process
		return nil
	})
	for id, in := range v.replay.intents {
		if !in.inTable {
			v.add(WrongIntent, in.seq, id, "intent %s has a record, but is missing from its table", id)
		}
		switch IntentState(in.state) {
		case Unknown:
			v.report.Unknown++
		case Prepared, Sent:
			v.report.InFlight++
			switch late := v.now-in.at > v.s.o.Stale.Microseconds(); {
			case v.s.o.ReadOnly && (late || processEnded(in.process)):
				v.report.Unsettled++ // no process has swept it yet
			case late:
				v.add(WrongIntent, in.seq, id, "intent %s has no outcome", id)
			}
		}
	}
	return err
}

// checkApprovals compares the table of approval requests with the log.
func (v *verifier) checkApprovals(ctx context.Context, conn *sql.Conn) error {
	rows, err := conn.QueryContext(ctx, `SELECT id, seq, requester, credential, action, fingerprint, effect, policy, recipients, repeats,
		refills, expires, state, needs, person, shown FROM approvals`)
	if err != nil {
		return err
	}
	err = eachRow(rows, func(scan func(...any) error) error {
		var id, requester, refills string
		var row replayedApproval
		if err := scan(&id, &row.seq, &requester, &row.credential, &row.action, &row.fingerprint, &row.effect, &row.policy, &row.recipients,
			&row.repeats, &refills, &row.expires, &row.state, &row.needs, &row.person, &row.shown); err != nil {
			return err
		}
		request := v.replay.approvals[id]
		switch {
		case request == nil:
			v.add(WrongApproval, 0, id, "approval request %s has no record", id)
			return nil
		case request.state != row.state:
			v.add(WrongApproval, request.seq, id, "approval request %s is %s, but its last record says %s", id, row.state, request.state)
		case request.seq != row.seq || request.requester != parseActor(requester) || request.credential != clip(row.credential) ||
			request.action != clip(row.action) || request.fingerprint != row.fingerprint || request.effect != row.effect || request.policy != clip(row.policy) ||
			request.recipients != clip(row.recipients) || request.repeats != clip(row.repeats) || encodeRefills(request.refills) != refills || request.expires != row.expires ||
			request.needs != clip(row.needs) || request.person != clip(row.person) || request.shown != row.shown:
			v.add(WrongApproval, request.seq, id, "approval request %s differs from its record", id)
		}
		request.inTable = true
		return nil
	})
	for id, request := range v.replay.approvals {
		if !request.inTable {
			v.add(WrongApproval, request.seq, id, "approval request %s has a record, but is missing from its table", id)
		}
	}
	return err
}
