package ledger

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Ledger stores what the program must remember. [SQLite] keeps it in a file. Another backend
// implements all of it. No method uses an approval, debits a budget or writes an intent alone:
// Commit does all of it or none of it.
//
// The errors of all methods are those of this package (see errors.go). A *StoreError means that the
// store cannot be used now and that nothing was changed; every other error is a rejection, see
// [ErrRejected]. All methods are safe for concurrent use, by several processes too.
type Ledger interface {
	ApprovalStore
	IntentStore
	BudgetStore
	AuditStore
	StopStore
	OrganisationStore
	TokenStore
	LoginStore
	HandoverStore

	// StoreError returns the *StoreError of the last attempt to write; nil if it succeeded. It is
	// cheap. While there is an error the ledger retries by itself, every second or as soon as a
	// lock allows.
	StoreError() error
	// FailingSince returns when the attempts to write began to fail. It means nothing while
	// StoreError is nil.
	FailingSince() time.Time
	// SharedSecret returns 32 bytes that all processes of this ledger share and nobody else knows,
	// different for each purpose.
	SharedSecret(purpose string) []byte
	// ID names the ledger. It is not a secret.
	ID() string
	Close() error
}

// ApprovalStore stores approval requests and their answers.
type ApprovalStore interface {
	// CreateApproval stores a pending request. It revokes any pending request, or unused approval,
	// of the same requester with the same EffectKey. r needs ID, EffectKey, the binding, Expires, Payload and Card. It returns
	// a *PendingError if too many are pending, a *PausedError during a pause, and a *StoppedError
	// during an emergency stop that covers the call.
	CreateApproval(ctx context.Context, r ApprovalRequest) error
	// AnswerApproval stores a person's reply to the request that want matches, or that want was
	// read from. An approval counts only while the request is pending; ErrAlreadyAnswered if
	// another person answered. Declined and Revoked also withdraw an unused approval.
	AnswerApproval(ctx context.Context, want ApprovalRequest, r Reply) error
	// CheckApproval reports whether Commit would accept the approval that want matches: nil or an
	// approval error.
	CheckApproval(ctx context.Context, want ApprovalRequest) error
	// Approval returns one request with its sealed parts; ErrNoApproval if there is none.
	Approval(ctx context.Context, id string) (ApprovalRequest, error)
	// LatestApproval returns the last request for the same call as want, which has an EffectKey or was
	// read from the ledger, by the same requester with the
	// same credential, in any state; ErrNoApproval if there is none. Its payload may be another.
	LatestApproval(ctx context.Context, want ApprovalRequest) (ApprovalRequest, error)
	// RecordUnanswered records what a client did with an open request instead of passing on a
	// person's answer: it changes no state. ErrNoApproval if the request is not open.
	RecordUnanswered(ctx context.Context, id string, e ClientEvent) error
	// TakeOver makes this process the one that runs the call of an open request, if the process
	// that was to run it has ended. It reports whether this process is the one now.
	TakeOver(ctx context.Context, id string) (bool, error)
	// Approvals lists requests without what only Approval returns: Request, Client, Why, Rules,
	// Subjects and the sealed parts.
	Approvals(ctx context.Context, f ApprovalFilter) ([]ApprovalRequest, error)
	// Pauses lists the pauses of new requests that are in force.
	Pauses(ctx context.Context) ([]Pause, error)
	// LiftPause ends the pause of the requester and action of a request, by its id; ErrNoPause if there
	// is none.
	LiftPause(ctx context.Context, id string, by Actor) error
	// MarkReported records that the requester has received the outcome.
	MarkReported(ctx context.Context, id string) error
	// ApprovalsVersion returns a number that changes with any request, the outcome of one, an
	// emergency stop or an erasure, but not when a request expires. It is cheap.
	ApprovalsVersion(ctx context.Context) (int64, error)
	// ApprovalsChanged returns the ids of the requests that changed, themselves or their outcome,
	// since a version.
	ApprovalsChanged(ctx context.Context, since int64) ([]string, error)
}

// IntentStore stores the durable record of each effect.
type IntentStore interface {
	// FindConflicting returns an intent with x's EffectKey by the same caller in the same
	// organisation that is in flight, has an unknown outcome or, if x.Repeats, succeeded within the
	// window; nil if there is none, and for a read. It uses Caller, Organisation, Class, EffectKey
	// and Repeats.
	FindConflicting(ctx context.Context, x Txn) (*Intent, error)
	// FindUnknown returns the last intent of any caller in x's organisation with x's EffectKind and
	// an unknown outcome that affects one of x.Affects; nil if there is none.
	FindUnknown(ctx context.Context, x Txn) (*Intent, error)
	// FindChanges returns what a caller changed, newest first, with payload, result and replaced
	// values. more is how many changes beyond the limit it did not read.
	FindChanges(ctx context.Context, f ChangeFilter) (all []Change, more int, err error)
	// FindLatest returns, for each of x.Affects, the last intent since a time with x's EffectKind by
	// any caller in x's organisation that ran or may have run. It has no payload and result. Who was
	// not affected is left out.
	FindLatest(ctx context.Context, x Txn, since time.Time) (map[string]Intent, error)
	// Commit makes a call durable before anything is sent. In one transaction it uses x.ApprovalID,
	// debits x.Debits and writes the intent and its audit record. A read is accepted with an
	// approval or debits only. Commit rejects with a *StoppedError, a *ConflictError, an approval
	// error, an *UnknownError or a *LimitError, in this order; then nothing has changed.
	Commit(ctx context.Context, x Txn) (Intent, error)
	// Settle stores the outcome of an intent, before the answer leaves. Only NotSent returns the
	// approval and the debits. ErrAlreadySettled if it has an outcome, ErrNoIntent if there is
	// none.
	Settle(ctx context.Context, s Settlement) error
	// Intent returns one intent with its payload and result; ErrNoIntent if there is none.
	Intent(ctx context.Context, id string) (Intent, error)
	// Intents lists intents, newest first, without payload and result.
	Intents(ctx context.Context, f IntentFilter) ([]Intent, error)
	// Resolve records the outcome of an intent with an unknown result: as is Succeeded or Failed,
	// by is who found out.
	Resolve(ctx context.Context, id string, as IntentState, note string, by Actor) error
}

// BudgetStore reads budgets; Commit debits them, and events debit budgets of reading.
type BudgetStore interface {
	// BudgetLeft returns the units that a budget holds now, and the time until it is full, without
	// taking any. It uses all fields of d but Cost and Refill.
	BudgetLeft(ctx context.Context, d Debit) (left int64, refill time.Duration, err error)
	// StartReading begins a call of which the answer shows at most so many persons, which are debited
	// after it: see [Reading]. It returns a *LimitError if a budget holds nothing. It writes nothing.
	// It uses all fields of the debits but Cost, which is 0.
	StartReading(ctx context.Context, debits []Debit, most int64) (*Reading, error)
}

// AuditStore writes and reads the audit log.
type AuditStore interface {
	// RecordEvent writes an event to the audit log a moment later. It never blocks; events that do
	// not fit are counted in a record.
	RecordEvent(e Event)
	// Records reads the audit log, oldest first. An unreadable line does not end it, see
	// Record.Fault.
	Records(ctx context.Context, f Filter) ([]Record, error)
	// Verify reads the whole log and returns what is wrong with it, and where.
	Verify(ctx context.Context, o VerifyOptions) (Report, error)
	// Erase destroys the keys of a subject: what they sealed can never be read again, and the log
	// still verifies. It reports whether the ledger knew the subject.
	Erase(ctx context.Context, subject string, by Actor) (bool, error)
}

// StopStore stores the emergency stops. Several with different scopes can be in force.
type StopStore interface {
	// Stop stops the calls of a scope in every process, except reads, HangUp and what is Safe,
	// and revokes their pending requests and unused approvals. During a stop of the same scope it adds no other stop.
	Stop(ctx context.Context, scope StopScope, by Actor, note string) error
	// Resume ends the emergency stop of a scope, all of them if scope is zero. It returns those that
	// it ended.
	Resume(ctx context.Context, scope StopScope, by Actor) ([]EmergencyStop, error)
	// CurrentStops returns the emergency stops in force, the widest first, in a slice that must not
	// be changed. It is cheap, and at most FreshFor old.
	CurrentStops(ctx context.Context) ([]EmergencyStop, error)
	// People returns the names of those who ever had a token or asked for an approval, sorted.
	People(ctx context.Context) ([]string, error)
}

// OrganisationStore stores the organisations of Sippet, with the API keys that are attached to them.
type OrganisationStore interface {
	// OpenOrganisation returns the id of the organisation of an API key. A key that is new to the
	// ledger gets an organisation of its own; alone reports whether there are other keys. It returns an
	// *UnresolvedError for a new key while calls of another organisation at the same host have no known
	// outcome: a person must say where the key belongs.
	OpenOrganisation(ctx context.Context, key string) (id string, alone bool, err error)
	// AttachKey makes a key one of the organisation's; if organisation is empty, of a new one's. If it
	// was another's, it revokes the pending requests and unused approvals of that one, and returns their
	// number; an *UnresolvedError if calls of that one have no known outcome. ErrNoOrganisation or
	// ErrOtherHost if it cannot be attached.
	AttachKey(ctx context.Context, key, organisation string, by Actor) (revoked int, err error)
	// Organisations lists those that have a key or made a call, oldest first.
	Organisations(ctx context.Context) ([]Organisation, error)
}

// TokenStore stores the access tokens of HTTP clients.
type TokenStore interface {
	// CreateToken creates a token from t's Person, Roles, Interactive, Policy, KeyFile and Expires.
	// It returns the secret, which is stored nowhere. A name that differs from a known one by case
	// only is rejected.
	CreateToken(ctx context.Context, t Token, by Actor) (secret string, created Token, err error)
	// Tokens lists all tokens, oldest first.
	Tokens(ctx context.Context) ([]Token, error)
	// RevokeToken ends a token in every process, within FreshFor, and revokes its pending requests
	// and unused approvals. ErrTokenUnknown if there is none, ErrTokenRevoked if it was revoked
	// before.
	RevokeToken(ctx context.Context, id string, by Actor) error
	// RemovePerson revokes a person's tokens, their pending requests, and the unused approvals that
	// they gave or asked for. It returns how many of each; ErrNoPerson if nobody of that name ever
	// had a token.
	RemovePerson(ctx context.Context, person string, by Actor) (tokens, approvals int, err error)
	// Authenticate returns the token of a secret. ErrTokenUnknown, ErrTokenExpired or
	// ErrTokenRevoked if it is not accepted (an expired or revoked token is returned with the
	// error), ErrNoTokens if none was ever issued. It is cheap, and its answer at most FreshFor
	// old.
	Authenticate(ctx context.Context, secret string) (Token, error)
	// Callers returns how many people have a token that is neither revoked nor expired. It is cheap,
	// and its answer at most FreshFor old.
	Callers(ctx context.Context) (int64, error)
}

// LoginStore stores the sessions of the inbox and its single-use login codes.
type LoginStore interface {
	// CreateLogin creates a single-use login code and returns its secret, which is stored nowhere.
	CreateLogin(ctx context.Context, l Login, by Actor) (secret string, err error)
	// FindLogin returns the login of a secret of CreateLogin, RedeemLogin or CreateSession without
	// using it; ErrNoLogin if it is invalid, used or expired.
	FindLogin(ctx context.Context, secret string) (Login, error)
	// RedeemLogin uses a code and creates a session for its person; ErrNoLogin if it is invalid,
	// used or expired.
	RedeemLogin(ctx context.Context, code string, lasts time.Duration) (secret string, l Login, err error)
	// CreateSession creates a session for the person of a token.
	CreateSession(ctx context.Context, t Token, lasts time.Duration) (secret string, l Login, err error)
	// EndSession ends a session.
	EndSession(ctx context.Context, secret string) error
}

// HandoverStore stores credentials that actions issued, until the person who approved takes them.
type HandoverStore interface {
	// TakeHandover returns what the approved call issued, once: it is deleted before it is
	// returned. ErrNoHandover if there is nothing.
	TakeHandover(ctx context.Context, approval string, by Actor) ([]byte, error)
	// HandoverExpires returns until when something can be taken; zero if there is nothing.
	HandoverExpires(ctx context.Context, approval string) (time.Time, error)
}

// HangUp is the action that an emergency stop, an earlier run and a revoked token never reject,
// whether or not the call is Safe. Our own safety rules must never keep a call going.
const HangUp = "end_call"

// Call is what is known about a call before it runs. The plain fields are stored as they are.
// Payload, Card and Replaced are sealed, and Subjects become key ids. No field may hold a secret.
type Call struct {
	// Request is the request's id in the program's logs.
	Request string
	// Caller makes the call. Credential is the id of the token they showed, Client the name of
	// their program.
	Caller             Actor
	Credential, Client string
	// Organisation is the id of the organisation that the call goes to. The same payload for another
	// organisation is another call. Key is the name of the API key by which it goes there, which is
	// not stored; empty for a simulated organisation.
	Organisation, Key string
	Action            string
	Class             schemas.Class
	// Hash is schemas.Payload.Hash, which approvals are bound to. EffectKey is
	// schemas.Payload.EffectKey, by which the same call is found.
	Hash, EffectKey string
	// EffectKind is what the call does to people, and Affects are those people, such as `contact:`
	// and an id. Both are empty if it does nothing to anybody.
	EffectKind schemas.EffectKind
	Affects    []string
	// Decision is what the policy decided, Why the reason, Rules the rules that decided, and Policy
	// the version of the policy.
	Decision, Why string
	Rules         []string
	Policy        string
	// Exempted are the rules that an exemption disabled. Shadow is what the shadow policy would
	// have decided.
	Exempted []string
	Shadow   string
	// Prefetch marks a read by the gate for another call, to resolve its recipients or to fill its
	// card. No caller asked for it, and no policy decided it.
	Prefetch bool
	// Recipients is a digest of the recipients of an outbound call; empty if there are none.
	Recipients string
	// Subjects are the persons that the call is about, such as `contact:` and an id. Their keys
	// seal the private fields.
	Subjects []string
	// RecipientList are the recipients as far as they are known, all of them Subjects. What belongs
	// to one of several is sealed under their key alone.
	RecipientList []Recipient
	// Payload is the request body, Card what a person saw, Replaced what an update overwrites. Each
	// is JSON or nil.
	Payload, Card, Replaced []byte
}

// Txn is a call that is about to run.
type Txn struct {
	Call
	// ApprovalID is the approval that the call uses; empty if it needs none.
	ApprovalID string
	// Debits are what the call takes from budgets: all of them or, with a *LimitError, none. A call
	// with an approval takes what is left of a budget with a Refill.
	Debits []Debit
	// Repeats is schemas.Action.Repeats.
	Repeats bool
	// Safe is true if the call is in the safe direction. An emergency stop lets it run, and an
	// earlier run does not prevent it. HangUp always runs, Safe or not.
	Safe bool
}

// Debit is what a call takes from a budget. The budget holds at most Burst units and is full at
// first; one unit grows back in every Interval. A budget needs no declaration.
type Debit struct {
	// Budget is the budget's name. Key is the share of it that this debit is taken from. Both may
	// be any text and are stored in the audit log as they are.
	Budget string `json:"budget"`
	Key    string `json:"key"`
	// Cost is the number of units, at least 1.
	Cost     int64         `json:"cost"`
	Interval time.Duration `json:"interval"`
	Burst    int64         `json:"burst"`
	// Refill is how many units an approval of a call over the budget adds to it; 0 if such a call is
	// rejected.
	Refill int64 `json:"refill,omitempty"`
}

// Refill is what the approval of a call over a budget adds to it, as its card says. An approval adds it
// once, and only while the budget holds too little for the call. What is added ends when the budget is
// full again, and a budget never holds more than its burst and one refill.
type Refill struct {
	Budget string `json:"budget"`
	Key    string `json:"key,omitempty"`
	Units  int64  `json:"units"`
}

// Settlement is the outcome of an intent.
type Settlement struct {
	// Intent is the id of the intent.
	Intent string
	// State is Succeeded, Failed, NotSent or Unknown; or Sent, which is not final.
	State IntentState
	// Sent is rpc.Result.Sent, Status rpc.Result.Status.
	Sent   bool
	Status int
	// Outcome is what the caller receives.
	Outcome schemas.Outcome
	Latency time.Duration
	// Result is Sippet's answer, kept sealed for a repeated call. It is dropped if it is larger
	// than 64 KiB, or if the action issues a credential.
	Result []byte
	// Fault is the error of a failed call, as JSON, kept sealed for a repeated call.
	Fault []byte
	// Handover is an answer that is shown once, to the person who approved, and stored nowhere
	// else. It is destroyed at HandoverUntil.
	Handover      []byte
	HandoverUntil time.Time
	// CreatedSubject is the subject that the call created. Before it had an id, the call's first
	// subject had a Provisional name. Its keys, and those of the approval request, now belong to
	// CreatedSubject.
	CreatedSubject string
	// Erased are subjects that no longer exist, such as a deleted contact. Settle destroys their
	// keys.
	Erased []string
}

// Provisional begins the name of a subject that an action is about to create, such as `new:` and
// the request's id.
const Provisional = "new:"

// Event is a call that has no intent: a read, or a call that did not run.
type Event struct {
	Call
	Outcome schemas.Outcome
	Status  int
	Latency time.Duration
	// FindSubjects returns the subjects of the answer, and those that Sippet reports as erased. The
	// former are added to Subjects, the keys of the latter are destroyed. It is called once, later,
	// on another goroutine; it is not called for an event that is dropped. nil means that there is
	// nothing to find.
	FindSubjects func() (subjects, erased []string)
	// Validated is true if the call was only tested, by validate_action.
	Validated bool
	// Debits are what the call takes from budgets of reading, as [Reading.Show] returned them.
	Debits []Debit
}

// maxSubjects bounds the subjects of one event. Its record counts the others.
const maxSubjects = 500

// maxResult bounds a result that is stored.
const maxResult = 64 << 10

// NewID returns 128 random bits in hex.
func NewID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// clip bounds a text from outside the program and makes it valid UTF-8.
func clip(s string) string {
	const most = 500
	if len(s) > most {
		s = s[:most-len("…")] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func micros(t time.Time) int64 { return t.UnixMicro() }

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}
