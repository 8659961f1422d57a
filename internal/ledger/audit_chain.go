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

// Phase says what a record tells of.
type Phase string

// The phases, a closed set. A call that a person agreed to leaves asked, answered, prepared and settled.
const (
	PhaseRequested Phase = "requested"
	PhaseAnswered  Phase = "answered"
	PhasePrepared  Phase = "prepared" // an intent: it is about to be sent
	PhaseSent      Phase = "sent"
	PhaseSettled   Phase = "settled"
	PhaseAbandoned Phase = "abandoned" // nobody settled it in time: nobody knows
	PhaseResolved  Phase = "resolved"  // a person found out how it ended
	PhaseRead      Phase = "read"
	PhaseRejected  Phase = "rejected" // a call that did not run
	PhaseDropped   Phase = "dropped"  // Count reads or refusals came too fast to be written
	PhaseStopped   Phase = "stopped"
	PhaseResumed   Phase = "resumed"
	PhaseTaken     Phase = "taken"  // what an action issued was shown to a person, and is destroyed here
	PhaseLogin     Phase = "login"  // Principal logged in to the inbox; Note says how
	PhaseLogout    Phase = "logout" // Principal logged out of it
	PhaseErased    Phase = "erased" // the keys in Subjects are destroyed
	PhasePruned    Phase = "pruned" // Count records up to Upto were removed, because they were older than the retention
)

// Record is one line of the audit chain. Its JSON is canonical: these keys in
// this order, empty ones left out, one line without a line feed. SHA-256 of
// the line, hex, is Prev of the next one.
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
	// Fingerprint is a keyed hash of upstream and payload: equal where both are.
	Fingerprint string   `json:"fingerprint,omitempty"`
	Decision    string   `json:"decision,omitempty"`
	Why         string   `json:"why,omitempty"`
	Rules       []string `json:"rules,omitempty"`
	Policy      string   `json:"policy,omitempty"`
	// Exempted are the rules that an exemption took away, Shadow what a policy that is only watched would have decided.
	Exempted []string `json:"exempted,omitempty"`
	Shadow   string   `json:"shadow,omitempty"`
	// Prefetch is as in Call.
	Prefetch bool `json:"prefetch,omitempty"`
	// Recipients is a digest of whom it reaches.
	Recipients string `json:"recipients,omitempty"`
	// Repeats is the earlier intent that a person agreed to repeat.
	Repeats string `json:"repeats,omitempty"`
	// Person is who asks, Inbox whether the question waits in the inbox, Quick whether the answer came sooner than the card can be read.
	Person string `json:"person,omitempty"`
	Inbox  bool   `json:"inbox,omitempty"`
	Quick  bool   `json:"quick,omitempty"`
	// State is the grant's or the intent's new state.
	State string `json:"state,omitempty"`
	// Expires is when a question or its answer ends, in microseconds since 1970.
	Expires int64 `json:"expires,omitempty"`
	// By is the person who answered, took, resolved, froze, resumed, logged in or erased.
	By      Actor           `json:"by,omitzero"`
	Note    string          `json:"note,omitempty"`
	Sent    bool            `json:"sent,omitempty"`
	Outcome schemas.Outcome `json:"outcome,omitempty"`
	Status  int             `json:"status,omitempty"`
	// Latency is in microseconds.
	Latency int64 `json:"latency,omitempty"`
	// Budgets are what the call took, or what was given back; of PhasePruned those whose last record was removed.
	Budgets []Balance `json:"budgets,omitempty"`
	// Count is how many events were dropped, how many grants a freeze voided, or how many subjects more than MaxSubjects a read had.
	Count int64 `json:"count,omitempty"`
	// Upto is the last record that was removed, Hash its SHA-256, hex.
	Upto int64  `json:"upto,omitempty"`
	Hash string `json:"hash,omitempty"`
	// Subjects are the ids of the keys of the persons concerned.
	Subjects []string `json:"subjects,omitempty"`
	Sealed   *Sealed  `json:"sealed,omitempty"`

	// Private is what Sealed holds, nil where nothing was sealed or a key is destroyed. People are the
	// subjects by name, without the erased. Line is the record as it is stored. Fault says what is wrong with the line,
	// which the ledger would not have written so: of the rest only Seq and Line can be relied on. Only reading sets them.
	Private      *Private `json:"-"`
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
	// Cost is the time in which what was taken grows back, in nanoseconds; 0 where something was given back.
	Cost int64 `json:"cost,omitempty"`
	// Full is when the budget is full again, in nanoseconds since 1970.
	Full int64 `json:"full"`
}

// binding names what the record is about, which its sealed part is bound to.
func (r *Record) binding() string {
	id := r.Intent
	if id == "" {
		id = r.ApprovalID
	}
	return string(r.Phase) + " " + id
}

// encode gives the record's line.
func (r *Record) encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// decodeRecord reads a line strictly: what encode would not have written so is an error.
func decodeRecord(line []byte) (*Record, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	r := new(Record)
	if err := d.Decode(r); err != nil {
		return nil, err
	}
	again, err := r.encode()
	if err == nil && !bytes.Equal(again, line) {
		err = errors.New("it is not in canonical form")
	}
	r.Line = line
	return r, err
}

// genesis is Prev of the first record: it ties the chain to its ledger.
func genesis(id string) [sha256.Size]byte { return sha256.Sum256([]byte("sippet-mcp ledger " + id)) }

// loadHead reads the end of the chain. Another process may have written since the last time.
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

// errEnd is the cause where the chain does not end as it was left: nothing may be written after it, for what comes next
// would make it look right again.
var errEnd = errors.New("the end of its audit chain was changed or cut off, and `sippet-mcp audit verify` shows where")

// checkEnd holds the end of the chain against the code that was written with it. Where this process wrote it there is
// nothing to look for: nobody else can have changed it back to what it was.
func (t *tx) checkEnd() error {
	if t.head == t.s.last {
		return nil
	}
	var code string
	if _, err := t.row("SELECT value FROM meta WHERE name = 'head'", nil, &code); err != nil {
		return err
	}
	if code != t.s.seal.headCode(t.head) || t.head.seq < t.s.last.seq {
		return &StoreError{Corrupt, t.s.path, errEnd}
	}
	t.s.last = t.head
	return nil
}

// append writes a record at the end of the chain; it sets Seq, Prev and Time.
func (t *tx) append(r *Record) error {
	r.tidy()
	r.Seq, r.Prev, r.Time = t.head.seq+1, hex.EncodeToString(t.head.hash[:]), t.now
	line, err := r.encode()
	if err != nil {
		return fmt.Errorf("%w: the record cannot be encoded: %w", errUsage, err)
	}
	if _, err := t.exec("INSERT INTO records (seq, body) VALUES (?, ?)", r.Seq, string(line)); err != nil {
		return err
	}
	t.head = head{r.Seq, sha256.Sum256(line)}
	t.approvalsChanged = t.approvalsChanged || r.ApprovalID != "" || r.Phase == PhaseStopped || r.Phase == PhaseResumed || r.Phase == PhaseErased
	return nil
}

// sealHead marks the end of the chain, once a transaction, with a code that
// only the master key can make: else its last records could be changed or cut
// off with nothing after them to show it.
func (t *tx) sealHead() error {
	_, err := t.exec("INSERT OR REPLACE INTO meta (name, value) VALUES ('head', ?)", t.s.seal.headCode(t.head))
	return err
}

func (s *sealer) headCode(h head) string {
	return hex.EncodeToString(mac(s.head, fmt.Sprintf("%d %x", h.seq, h.hash)))
}

// tidy bounds the texts of a record and makes them valid UTF-8; else its line would not be canonical.
func (r *Record) tidy() {
	for _, p := range []*string{&r.Intent, &r.ApprovalID, &r.Request, &r.Credential, &r.Client, &r.Organisation, &r.Action, (*string)(&r.Class), &r.Fingerprint,
		&r.Person, &r.Decision, &r.Why, &r.Policy, &r.Shadow, &r.Recipients, &r.Repeats, &r.State, &r.Note, &r.Hash, (*string)(&r.Outcome)} {
		*p = clip(*p)
	}
	r.Caller, r.By = r.Caller.clipped(), r.By.clipped()
	for _, list := range []*[]string{&r.Rules, &r.Exempted} {
		for i, rule := range *list {
			if clip(rule) != rule {
				*list = slices.Clone(*list) // they are the caller's
				(*list)[i] = clip(rule)
			}
		}
	}
}

// record begins the record of a call: the plain fields.
func (c *Call) record(phase Phase, fingerprint string) *Record {
	return &Record{Phase: phase, Request: c.Request, Caller: c.Caller, Credential: c.Credential, Client: c.Client, Organisation: c.Organisation,
		Action: c.Action, Class: c.Class, Fingerprint: fingerprint, Decision: c.Decision, Why: c.Why, Rules: c.Rules, Policy: c.Policy,
		Exempted: c.Exempted, Shadow: c.Shadow, Prefetch: c.Prefetch, Recipients: c.Recipients}
}
