package ledger

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// IntentState is the state of an intent.
type IntentState string

// The states. An intent begins prepared and ends in one of the last four. Only unknown can still
// change.
const (
	Prepared  IntentState = "prepared" // durable; the process has not reported more
	Sent      IntentState = "sent"     // the request is on the wire
	Succeeded IntentState = "succeeded"
	Failed    IntentState = "failed"   // Sippet rejected it
	NotSent   IntentState = "not_sent" // nothing left this machine
	Unknown   IntentState = "unknown"  // it may have run
)

// Intent is one run of an action that changes something.
type Intent struct {
	ID, Request                      string
	Caller                           Actor
	Credential, Organisation, Action string
	Class                            schemas.Class
	EffectKind                       schemas.EffectKind
	// ApprovalID is the approval that it used; empty if it needed none.
	ApprovalID string
	State      IntentState
	// Sent reports whether any byte may have left this machine. It is set with the outcome.
	Sent              bool
	Outcome           schemas.Outcome
	Status            int
	Latency           time.Duration
	Prepared, Settled time.Time
	// By resolved the intent, with this Note.
	By   Actor
	Note string
	// Only Intent, FindConflicting and FindChanges set Payload, Replaced, Result and Fault. They are
	// nil if nothing was kept, or a subject was erased.
	Payload, Replaced, Result, Fault []byte

	seq, settledSeq int64
	keys, affects   string
	// debited is the number of debits that could be returned.
	debited int
}

// IntentFilter selects intents; zero fields select all.
type IntentFilter struct {
	State IntentState
	// Open selects intents that are in flight or unknown.
	Open   bool
	Caller string
	Action string
	Since  time.Time
	Limit  int
}

const intentColumns = `id, request, caller, credential, organisation, action, class, effect_kind, affects, approval_id, state, sent, outcome, status, latency,
	prepared, settled, resolved_by, note, seq, settled_seq, keys, debited`

// scanIntent reads a row of intentColumns.
func scanIntent(scan func(...any) error) (*Intent, error) {
	in := new(Intent)
	var latency, prepared, settled int64
	var caller, by string
	err := scan(&in.ID, &in.Request, &caller, &in.Credential, &in.Organisation, &in.Action, &in.Class, &in.EffectKind, &in.affects, &in.ApprovalID, &in.State, &in.Sent, &in.Outcome,
		&in.Status, &latency, &prepared, &settled, &by, &in.Note, &in.seq, &in.settledSeq, &in.keys, &in.debited)
	in.Caller, in.By = parseActor(caller), parseActor(by)
	in.Latency = time.Duration(latency) * time.Microsecond
	in.Prepared, in.Settled = fromMicros(prepared), fromMicros(settled)
	return in, err
}

// conflictQuery finds an intent that conflicts with the same call.
const conflictQuery = "SELECT " + intentColumns + ` FROM intents WHERE seq = ? AND effect = ? AND caller = ?
	AND (state IN ('prepared', 'sent', 'unknown') OR state = 'succeeded' AND settled > ? AND ?)`

func (s *SQLite) conflictArgs(seq int64, x *Txn, effect string, now time.Time) []any {
	return []any{seq, effect, x.Caller.column(), micros(now.Add(-s.o.Window)), x.Repeats}
}

// conflictKey returns the first half of a hash of an effect, by which the index of conflicts finds it.
func conflictKey(effect string) int64 {
	n, _ := strconv.ParseUint(effect[:16], 16, 64) // it is hex
	return int64(n)
}

// numberedID returns an id that begins with the number of a record, followed by 80 random bits. An
// intent is found by that number.
func numberedID(seq int64) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(seq)<<16)
	rand.Read(b[6:]) // never fails
	return hex.EncodeToString(b[:])
}

// intentQuery finds the intent with an id.
const intentQuery = "SELECT " + intentColumns + " FROM intents WHERE seq = ? AND id = ?"

func intentArgs(id string) []any {
	seq, err := strconv.ParseInt(id[:min(12, len(id))], 16, 64)
	if err != nil {
		seq = 0 // there is none
	}
	return []any{seq, id}
}

// Intent implements Ledger.
func (s *SQLite) Intent(ctx context.Context, id string) (Intent, error) {
	in, err := s.readIntent(ctx, intentQuery, intentArgs(id)...)
	if err != nil || in == nil {
		if err == nil {
			err = ErrNoIntent
		}
		return Intent{}, err
	}
	return *in, nil
}

func (s *SQLite) readIntent(ctx context.Context, query string, args ...any) (in *Intent, err error) {
	err = s.rows(ctx, query, args, func(scan func(...any) error) (err error) {
		in, err = scanIntent(scan)
		return err
	})
	if err != nil || in == nil {
		return nil, err
	}
	single := []Intent{*in}
	if err := s.markAbandoned(ctx, single); err != nil {
		return nil, err
	}
	in = &single[0]
	ring := s.keyring(ctx)
	for _, seq := range []int64{in.seq, in.settledSeq} {
		r, err := s.recordAt(ctx, seq, ring)
		if err != nil {
			return nil, err
		}
		if r == nil || r.Private == nil || r.Erased() {
			continue // what lacks a part must not be taken for the whole
		}
		if r.Private.Payload != nil {
			in.Payload = r.Private.Payload
		}
		if r.Private.Replaced != nil {
			in.Replaced = r.Private.Replaced
		}
		if r.Private.Result != nil {
			in.Result = r.Private.Result
		}
		if r.Private.Fault != nil {
			in.Fault = r.Private.Fault
		}
	}
	return in, nil
}

// Intents implements Ledger.
func (s *SQLite) Intents(ctx context.Context, f IntentFilter) ([]Intent, error) {
	where, args := []string{"1"}, []any{}
	add := func(cond string, v any) { where, args = append(where, cond), append(args, v) }
	switch {
	case f.State == Unknown && s.o.ReadOnly:
		f.Open = true // and see below
	case f.State != "":
		add("state = ?", string(f.State))
	}
	if f.Open {
		where = append(where, "state IN ('prepared', 'sent', 'unknown')")
	}
	if f.Caller != "" {
		add("caller->>'name' = ?", f.Caller)
	}
	if f.Action != "" {
		add("action = ?", f.Action)
	}
	if !f.Since.IsZero() {
		add("prepared >= ?", micros(f.Since))
	}
	limit := -1
	if f.Limit > 0 && !s.o.ReadOnly {
		limit = f.Limit
	}
	var all []Intent
	query := fmt.Sprintf("SELECT %s FROM intents WHERE %s ORDER BY seq DESC LIMIT %d", intentColumns, strings.Join(where, " AND "), limit)
	err := s.rows(ctx, query, args, func(scan func(...any) error) error {
		in, err := scanIntent(scan)
		all = append(all, *in)
		return err
	})
	if err != nil || !s.o.ReadOnly {
		return all, err
	}
	if err := s.markAbandoned(ctx, all); err != nil {
		return nil, err
	}
	if f.State != "" {
		all = slices.DeleteFunc(all, func(in Intent) bool { return in.State != f.State })
	}
	if f.Limit > 0 && len(all) > f.Limit {
		all = all[:f.Limit]
	}
	return all, nil
}

// markAbandoned makes abandoned intents unknown in the result of a ledger that is only read, where
// no sweep does so. Else a call would look as if it were still running after its process died.
func (s *SQLite) markAbandoned(ctx context.Context, all []Intent) error {
	if !s.o.ReadOnly {
		return nil
	}
	ids, err := s.abandoned(ctx)
	for i := range all {
		if slices.Contains(ids, all[i].ID) {
			all[i].State, all[i].Sent, all[i].Outcome = Unknown, true, schemas.OutcomeUnknown
		}
	}
	return err
}

// Commit implements Ledger.
func (s *SQLite) Commit(ctx context.Context, x Txn) (Intent, error) {
	for i := range x.Debits {
		if err := x.Debits[i].check(); err != nil {
			return Intent{}, err
		}
	}
	if x.Class == schemas.Read && x.ApprovalID == "" && len(x.Debits) == 0 || x.Class == "" || x.Action == "" || x.Hash == "" || x.EffectKey == "" {
		return Intent{}, fmt.Errorf("%w: an intent needs an action, its class, hash and effect key, and for a read an approval or a debit", errUsage)
	}
	in := Intent{Request: x.Request, Caller: x.Caller, Credential: x.Credential, Organisation: x.Organisation,
		Action: x.Action, Class: x.Class, EffectKind: x.EffectKind, ApprovalID: x.ApprovalID, State: Prepared}
	hashes := s.hashes(&x.Call)
	if x.ApprovalID != "" && len(x.Payload) > maxKeptTwice {
		x.Payload = nil
	}
	if len(x.Replaced) > maxReplaced {
		x.Replaced = nil
	}
	// Encode before the change is queued: all changes wait for the one that runs.
	private, err := Private{Payload: x.Payload, Card: x.Card, Replaced: x.Replaced, Hash: x.Hash}.divide(x.RecipientList)
	if err != nil {
		return Intent{}, err
	}
	needs := wholeReserve
	if x.Action == HangUp {
		needs = halfReserve
	}
	err = s.writeWith(ctx, needs, func(t *tx) error { return t.commitCall(&x, hashes, private, &in) })
	if err != nil {
		return Intent{}, err
	}
	return in, nil
}

func (t *tx) commitCall(x *Txn, hashes callHashes, private unsealed, in *Intent) error {
	if err := t.checkToken(x.Credential, x.Action); err != nil {
		return err
	}
	if err := t.checkKey(x.Key, x.Organisation, x.Action); err != nil {
		return err
	}
	// An emergency stop lets reads run, and a read with debits only is one.
	if x.Class != schemas.Read || x.ApprovalID != "" {
		if err := t.checkStopped(x.Caller, x.Action, x.EffectKind, x.Safe); err != nil {
			return err
		}
	}
	var approval *approvalRow
	var rejected error
	if x.ApprovalID != "" {
		want := &ApprovalRequest{ID: x.ApprovalID, Requester: x.Caller, Credential: x.Credential, Organisation: x.Organisation,
			Action: x.Action, Hash: x.Hash, Recipients: x.Recipients}
		if approval, rejected = t.approval(want); rejected != nil && !errors.Is(rejected, ErrRejected) {
			return rejected
		}
	}
	repeats := ""
	if approval != nil && rejected == nil {
		repeats = approval.repeats
	}
	// Report a conflict before a rejected approval: a caller who repeats a call with its used
	// approval needs the outcome of the call.
	if x.Action != HangUp && !x.Safe && x.Class != schemas.Read {
		conflict, err := t.findConflicting(x, hashes.effect)
		if err != nil {
			return err
		}
		if conflict != nil && conflict.ID != repeats {
			return &ConflictError{*conflict}
		}
	}
	if rejected != nil {
		return rejected
	}
	// A person may have been erased since the gate looked at the card.
	if approval != nil && x.Action != HangUp {
		if keys, err := t.requestKeys(approval); err != nil || keys == nil {
			if err == nil {
				err = ErrApprovalErased
			}
			return err
		}
	}
	if err := t.checkUnknown(x, hashes.affects); err != nil {
		return err
	}
	debits, balances, err := t.debit(x.Debits, approval)
	if err != nil {
		return err
	}
	in.ID = numberedID(t.head.seq + 1)
	r := x.record(PhasePrepared, hashes)
	r.Intent, r.State, r.Repeats, r.ApprovalID = in.ID, string(Prepared), repeats, x.ApprovalID
	r.Budgets, r.EffectKind, r.Safe = balances, x.EffectKind, x.Safe
	if approval != nil {
		r.By = parseActor(approval.answeredBy)
		const query = "UPDATE approvals SET state = 'used', intent = ?, last_seq = ? WHERE id = ? AND state = 'approved'"
		if n, err := t.exec(query, in.ID, t.head.seq+1, approval.id); err != nil || n != 1 {
			if err == nil {
				err = ErrApprovalUsed
			}
			return err
		}
	}
	keys, err := t.subjectKeys(x.Subjects)
	if err != nil {
		return err
	}
	in.keys = t.keyList(x.Subjects, keys)
	r.Sealed = t.seal(keys, private, r.binding())
	if err := t.append(r); err != nil {
		return err
	}
	in.Prepared, in.seq, in.debited = t.now, r.Seq, len(balances)
	t.s.conflicts.add(in.seq, conflictKey(hashes.effect))
	if err := t.storeDebits(in.seq, debits, balances); err != nil {
		return err
	}
	if err := t.checkCommitShare(x, hashes.effect); err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO intents (id, request, caller, credential, organisation, action, class, fingerprint,
		effect, conflict_key, effect_kind, affects, approval_id, process, keys, seq, prepared, debited, state)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'prepared')`,
		in.ID, clip(x.Request), x.Caller.column(), x.Credential, x.Organisation, x.Action, string(x.Class), hashes.payload,
		hashes.effect, conflictKey(hashes.effect), string(x.EffectKind), hashes.affects, x.ApprovalID, process, in.keys, in.seq, micros(in.Prepared), in.debited)
	return err
}

// intent reads one intent; nil if there is none.
func (t *tx) intent(query string, args ...any) (in *Intent, err error) {
	err = t.rows(query, args, func(scan func(...any) error) (err error) {
		in, err = scanIntent(scan)
		return err
	})
	return in, err
}
