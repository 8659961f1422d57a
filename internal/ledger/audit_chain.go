package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Phase is what a record is about.
type Phase string

// The phases, a closed set. An approved call leaves requested, answered, prepared and settled.
const (
	PhaseRequested  Phase = "requested"
	PhaseAnswered   Phase = "answered"
	PhaseUnanswered Phase = "unanswered" // what a client did with a request, no person's answer
	PhaseLifted     Phase = "lifted"     // a pause of new requests ended early
	PhasePrepared   Phase = "prepared"   // an intent: the call is about to be sent
	PhaseSent       Phase = "sent"
	PhaseSettled    Phase = "settled"
	PhaseAbandoned  Phase = "abandoned" // nobody settled it in time: the outcome is unknown
	PhaseResolved   Phase = "resolved"  // a person recorded the outcome
	PhaseRead       Phase = "read"
	PhaseRejected   Phase = "rejected"  // a call that did not run
	PhaseValidated  Phase = "validated" // a call that validate_action tested
	PhaseDropped    Phase = "dropped"   // Count events arrived faster than they could be written
	PhaseCounted    Phase = "counted"   // Count more calls like this one, of a caller that has used up half of its share
	PhaseStopped    Phase = "stopped"
	PhaseResumed    Phase = "resumed"
	PhaseTaken      Phase = "taken"  // a handover was shown to a person, and is destroyed
	PhaseLogin      Phase = "login"  // Caller logged in to the inbox; Note is the method
	PhaseLogout     Phase = "logout" // Caller logged out of the inbox
	PhaseErased     Phase = "erased" // the keys in Subjects were destroyed
	PhasePruned     Phase = "pruned" // the retention removed Count records up to Upto
)

// Phases are all phases, in the order in which help and errors list them: those of a call first.
var Phases = []Phase{
	PhaseRequested, PhaseAnswered, PhaseUnanswered, PhaseLifted, PhasePrepared, PhaseSent, PhaseSettled, PhaseAbandoned, PhaseResolved,
	PhaseRead, PhaseRejected, PhaseValidated, PhaseDropped, PhaseCounted, PhaseStopped, PhaseResumed, PhaseErased, PhasePruned,
	PhaseLogin, PhaseLogout, PhaseTaken, PhaseIssued, PhaseRevoked, PhaseRemoved, PhaseAttached,
}

// Record is one line of the audit log. Its JSON is canonical: these keys in this order, empty ones
// left out, one line without a line feed. The SHA-256 of the line, in hex, is Prev of the next one.
type Record struct {
	Seq   int64     `json:"seq"`
	Prev  string    `json:"prev"`
	Time  time.Time `json:"time"`
	Phase Phase     `json:"phase"`

	Intent       string        `json:"intent,omitempty"`
	ApprovalID   string        `json:"approval,omitempty"`
	Request      string        `json:"request,omitempty"`
	Caller       Actor         `json:"caller,omitzero"`
	Credential   string        `json:"credential,omitempty"`
	Client       string        `json:"client,omitempty"`
	Roles        []string      `json:"roles,omitempty"`
	Organisation string        `json:"organisation,omitempty"`
	Action       string        `json:"action,omitempty"`
	Class        schemas.Class `json:"class,omitempty"`
	// Fingerprint is a keyed hash of organisation and payload: calls of the same bytes have the same
	// one.
	Fingerprint string `json:"fingerprint,omitempty"`
	// Effect is a keyed hash of organisation and effect key: calls that do the same have the same
	// one. Affects are keyed hashes of the people to whom the call does what EffectKind says,
	// separated by spaces.
	Effect     string             `json:"effect,omitempty"`
	EffectKind schemas.EffectKind `json:"effectKind,omitempty"`
	Affects    string             `json:"affects,omitempty"`
	Decision   string             `json:"decision,omitempty"`
	Why        string             `json:"why,omitempty"`
	Rules      []string           `json:"rules,omitempty"`
	Policy     string             `json:"policy,omitempty"`
	// Exempted and Shadow are as in Call.
	Exempted []string `json:"exempted,omitempty"`
	Shadow   string   `json:"shadow,omitempty"`
	// Prefetch is as in Call.
	Prefetch bool `json:"prefetch,omitempty"`
	// Safe is as in Txn.
	Safe bool `json:"safe,omitempty"`
	// Recipients is a digest of the recipients.
	Recipients string `json:"recipients,omitempty"`
	// Refills are what an approval of the request adds to budgets.
	Refills []Refill `json:"refills,omitempty"`
	// Repeats is the earlier intent that a person approved to repeat.
	Repeats string `json:"repeats,omitempty"`
	// Scope is what an emergency stop stops. Person is the requester, or the person with the stopped
	// assistants. Shown is from when approvers see the request, in microseconds since
	// 1970. Quick is true if the answer came sooner than the card can be read.
	Scope  string `json:"scope,omitempty"`
	Person string `json:"person,omitempty"`
	Shown  int64  `json:"shown,omitempty"`
	Quick  bool   `json:"quick,omitempty"`
	// State is the new state of the approval request or the intent.
	State string `json:"state,omitempty"`
	// Expires is when a request or its approval ends, in microseconds since 1970.
	Expires int64 `json:"expires,omitempty"`
	// By is who answered, lifted a pause, took, resolved, stopped, resumed, logged in or erased.
	By      Actor           `json:"by,omitzero"`
	Note    string          `json:"note,omitempty"`
	Sent    bool            `json:"sent,omitempty"`
	Outcome schemas.Outcome `json:"outcome,omitempty"`
	Status  int             `json:"status,omitempty"`
	// Latency is in microseconds.
	Latency int64 `json:"latency,omitempty"`
	// Budgets are the budgets that the call debited, or that were returned. In PhasePruned they are
	// the budgets that no remaining record describes.
	Budgets []Balance `json:"budgets,omitempty"`
	// Count is the number of dropped or counted events, of approvals that an emergency stop revoked, of tokens
	// that were revoked with a person, or of subjects of a read beyond its bound or erased meanwhile.
	Count int64 `json:"count,omitempty"`
	// Upto is the last removed record, Hash its SHA-256 in hex.
	Upto int64  `json:"upto,omitempty"`
	Hash string `json:"hash,omitempty"`
	// Subjects are the ids of the subjects' keys.
	Subjects []string `json:"subjects,omitempty"`
	Sealed   *Sealed  `json:"sealed,omitempty"`

	// Private is what Sealed holds; nil if nothing was sealed or nothing can be read. ErasedCount is
	// how many keys of Sealed are destroyed: what belongs to those persons is not in Private.
	// SubjectNames are the subjects, without erased ones. Line is the record as it is stored. Fault says what is
	// wrong with a line that is not in the ledger's format: only Seq and Line are reliable then.
	// Only reading sets these fields.
	Private      *Private `json:"-"`
	ErasedCount  int      `json:"-"`
	SubjectNames []string `json:"-"`
	Line         []byte   `json:"-"`
	Fault        string   `json:"-"`
}

// Balance is a budget before and after a debit, in whole units.
type Balance struct {
	Budget string `json:"budget"`
	Key    string `json:"key,omitempty"`
	Before int64  `json:"before"`
	After  int64  `json:"after"`
	// Cost is the time in which the debited units grow back, in nanoseconds; 0 for returned units.
	Cost int64 `json:"cost,omitempty"`
	// Refill is the number of units that the call's approval added, Taken how many of such units the
	// call took, and Refilled how many are left until the budget is full.
	Refill   int64 `json:"refill,omitempty"`
	Taken    int64 `json:"taken,omitempty"`
	Refilled int64 `json:"refilled,omitempty"`
	// Full is when the budget is full again, in nanoseconds since 1970.
	Full int64 `json:"full"`
}

// binding returns what the record is about. The sealed part opens for this record only.
func (r *Record) binding() string {
	id := r.Intent
	if id == "" {
		id = r.ApprovalID
	}
	return string(r.Phase) + " " + id
}

// encode returns the record's line.
func (r *Record) encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// decodeRecord reads a line strictly: a line that encode would not have written is an error.
func decodeRecord(line []byte) (*Record, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	r := new(Record)
	if err := d.Decode(r); err != nil {
		return nil, err
	}
	canonical, err := r.encode()
	if err == nil && !bytes.Equal(canonical, line) {
		err = errors.New("it is not in canonical form")
	}
	r.Line = line
	return r, err
}

// genesis is Prev of the first record. It ties the log to its ledger.
func genesis(id string) [sha256.Size]byte { return sha256.Sum256([]byte("sippet-mcp ledger " + id)) }

// loadHead reads the head of the log, which another process may have moved.
func (t *tx) loadHead() (head, error) {
	var h head
	var line []byte
	found, err := t.row("SELECT seq, body FROM records ORDER BY seq DESC LIMIT 1", nil, &h.seq, &line)
	if err != nil {
		return h, err
	}
	h.hash = genesis(t.s.id)
	if found {
		h.hash = sha256.Sum256(line)
	}
	return h, nil
}

// errHeadChanged is the cause if the last record is not the one that was written last. Nothing may
// be written then: the next record would make the change look right.
var errHeadChanged = errors.New("the end of its audit log was changed or truncated; `sippet-mcp audit verify` shows where")

// checkHead compares the head of the log with the code that was written with it. A head that this
// process wrote needs no check: nobody else can make the same one.
func (t *tx) checkHead() error {
	if t.head == t.s.lastHead {
		return nil
	}
	var code string
	if _, err := t.row("SELECT value FROM meta WHERE name = 'head'", nil, &code); err != nil {
		return err
	}
	if code != t.s.seal.headCode(t.head) || t.head.seq < t.s.lastHead.seq {
		return &StoreError{Corrupt, t.s.path, errHeadChanged}
	}
	t.s.lastHead = t.head
	clear(t.s.shares) // another process wrote
	return nil
}

// append writes a record at the end of the log; it sets Seq, Prev and Time.
func (t *tx) append(r *Record) error {
	r.clipTexts()
	r.Seq, r.Prev, r.Time = t.head.seq+1, hex.EncodeToString(t.head.hash[:]), t.now
	line, err := r.encode()
	if err != nil {
		return fmt.Errorf("%w: the record cannot be encoded: %w", errUsage, err)
	}
	if _, err := t.exec("INSERT INTO records (seq, body) VALUES (?, ?)", r.Seq, string(line)); err != nil {
		return err
	}
	t.head = head{r.Seq, sha256.Sum256(line)}
	t.use(r, len(line))
	t.approvalsChanged = t.approvalsChanged || r.ApprovalID != "" || r.Phase == PhaseStopped || r.Phase == PhaseResumed || r.Phase == PhaseErased
	return nil
}

// headCode returns a code of the head that only the master key can make.
func (s *sealer) headCode(h head) string {
	return hex.EncodeToString(mac(s.head, fmt.Sprintf("%d %x", h.seq, h.hash)))
}

// clipTexts bounds the texts of a record and makes them valid UTF-8; else its line would not be
// canonical.
func (r *Record) clipTexts() {
	for _, p := range []*string{&r.Intent, &r.ApprovalID, &r.Request, &r.Credential, &r.Client, &r.Organisation, &r.Action, (*string)(&r.Class), &r.Fingerprint,
		&r.Scope, &r.Person, &r.Decision, &r.Why, &r.Policy, &r.Shadow, &r.Recipients, &r.Repeats, &r.State, &r.Note, &r.Hash, (*string)(&r.Outcome)} {
		*p = clip(*p)
	}
	r.Caller, r.By = r.Caller.clipped(), r.By.clipped()
	for _, list := range []*[]string{&r.Rules, &r.Exempted} {
		for i, rule := range *list {
			if clip(rule) != rule {
				*list = slices.Clone(*list) // the caller owns the list
				(*list)[i] = clip(rule)
			}
		}
	}
}

// callHashes are the keyed hashes of a call, for plain storage.
type callHashes struct{ payload, effect, affects string }

func (s *SQLite) hashes(c *Call) callHashes {
	h := callHashes{payload: s.seal.fingerprint(c.Organisation, c.Hash), affects: s.seal.affects(c.Organisation, c.Affects)}
	if c.EffectKey != "" {
		h.effect = s.seal.effect(c.Organisation, c.EffectKey)
	}
	return h
}

// record returns a new record with the plain fields of a call.
func (c *Call) record(phase Phase, h callHashes) *Record {
	return &Record{Phase: phase, Request: c.Request, Caller: c.Caller, Credential: c.Credential, Client: c.Client, Organisation: c.Organisation,
		Action: c.Action, Class: c.Class, Fingerprint: h.payload, Effect: h.effect, Affects: h.affects, Decision: c.Decision, Why: c.Why, Rules: c.Rules, Policy: c.Policy,
		Exempted: c.Exempted, Shadow: c.Shadow, Prefetch: c.Prefetch, Recipients: c.Recipients}
}
