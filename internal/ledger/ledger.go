package ledger

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Ledger stores what the program must remember. [SQLite] keeps it in a file. Another backend implements all of it. No
// method uses an approval, debits a budget or writes an intent alone: Commit does all of it or none of it.
//
// The errors of all methods are those of this package (see errors.go). A *StoreError means that the store cannot be used
// now and that nothing was changed; every other error is a rejection, see [ErrRejected].
// All methods are safe for concurrent use, by several processes too.
type Ledger interface {
	ApprovalStore
	IntentStore
	BudgetStore
	AuditStore
	StopStore
	TokenStore
	LoginStore
	HandoverStore

	// StoreError returns the *StoreError of the last attempt to write; nil if it succeeded. It is cheap. While there is an
	// error the ledger retries by itself, every second or as soon as a lock allows.
	StoreError() error
	// SharedSecret returns 32 bytes that all processes of this ledger share and nobody else knows, different for each
	// purpose.
	SharedSecret(purpose string) []byte
	// ID names the ledger. It is not a secret.
	ID() string
	Close() error
}

// ApprovalStore stores approval requests and their answers.
type ApprovalStore interface {
	// CreateApproval stores a pending request. It revokes any pending request, or unused approval, with the same binding.
	// r needs ID, the binding, Expires, Payload and Card. It returns ErrTooManyPending if MaxPending requests of the
	// requester or MaxPendingTotal are pending, and a *StoppedError during an emergency stop.
	CreateApproval(ctx context.Context, r ApprovalRequest) error
	// AnswerApproval stores a person's reply to the request that want matches, or that want was read from. An approval
	// counts only while the request is pending; ErrAlreadyAnswered if another person answered. Declined and Revoked also
	// withdraw an unused approval.
	AnswerApproval(ctx context.Context, want ApprovalRequest, r Reply) error
	// CheckApproval reports whether Commit would accept the approval that want matches: nil or an approval error.
	CheckApproval(ctx context.Context, want ApprovalRequest) error
	// Approval returns one request with its sealed parts; ErrNoApproval if there is none.
	Approval(ctx context.Context, id string) (ApprovalRequest, error)
	// LatestApproval returns the last request for want's payload by the same requester with the same credential, under any
	// policy and in any state; ErrNoApproval if there is none.
	LatestApproval(ctx context.Context, want ApprovalRequest) (ApprovalRequest, error)
	// Approvals lists requests without what only Approval returns: Request, Client, Why, Rules, Subjects and the sealed
	// parts.
	Approvals(ctx context.Context, f ApprovalFilter) ([]ApprovalRequest, error)
	// MarkReported records that the requester has received the outcome.
	MarkReported(ctx context.Context, id string) error
	// ApprovalsVersion returns a number that changes with any request, the outcome of one, an emergency stop or an
	// erasure, but not when a request expires. It is cheap.
	ApprovalsVersion(ctx context.Context) (int64, error)
	// ApprovalsChanged returns the ids of the inbox's requests that changed, themselves or their outcome, since a version.
	ApprovalsChanged(ctx context.Context, since int64) ([]string, error)
}

// IntentStore stores the durable record of each effect.
type IntentStore interface {
	// FindConflicting returns an intent for x's payload by the same caller in the same organisation that is in flight, has
	// an unknown outcome or, if the action is not idempotent, succeeded within the window; nil if there is none, and for
	// a read. It uses Caller, Organisation, Class, Hash and Idempotent.
	FindConflicting(ctx context.Context, x Txn) (*Intent, error)
	// Commit makes a call durable before anything is sent. In one transaction it uses x.ApprovalID, debits x.Debits and
	// writes the intent and its audit record. A read is accepted with an approval or debits only. Commit rejects with a
	// *StoppedError, a *ConflictError, an approval error or a *LimitError, in this order; then nothing has changed.
	Commit(ctx context.Context, x Txn) (Intent, error)
	// Settle stores the outcome of an intent, before the answer leaves. Only NotSent returns the approval and the debits.
	// ErrAlreadySettled if it has an outcome, ErrNoIntent if there is none.
	Settle(ctx context.Context, s Settlement) error
	// Intent returns one intent with its payload and result; ErrNoIntent if there is none.
	Intent(ctx context.Context, id string) (Intent, error)
	// Intents lists intents, newest first, without payload and result.
	Intents(ctx context.Context, f IntentFilter) ([]Intent, error)
	// Resolve records the outcome of an intent with an unknown result: as is Succeeded or Failed, by is who found out.
	Resolve(ctx context.Context, id string, as IntentState, note string, by Actor) error
}

// BudgetStore reads budgets; Commit debits them.
type BudgetStore interface {
	// BudgetLeft returns the units that a budget holds now, and the time until it is full, without taking any. It uses
	// all fields of d but Cost.
	BudgetLeft(ctx context.Context, d Debit) (left int64, refill time.Duration, err error)
}

// AuditStore writes and reads the audit log.
type AuditStore interface {
	// RecordEvent writes an event to the audit log a moment later. It never blocks; events that do not fit are counted in
	// a record.
	RecordEvent(e Event)
	// Records reads the audit log, oldest first. An unreadable line does not end it, see Record.Fault.
	Records(ctx context.Context, f Filter) ([]Record, error)
	// Verify reads the whole log and returns what is wrong with it, and where.
	Verify(ctx context.Context, o VerifyOptions) (Report, error)
	// Erase destroys the keys of a subject: what they sealed can never be read again, and the log still verifies. It
	// reports whether the ledger knew the subject.
	Erase(ctx context.Context, subject string, by Actor) (bool, error)
}

// StopStore stores the emergency stop.
type StopStore interface {
	// Stop stops everything but reads and HangUp, in every process, and revokes all open approvals.
	Stop(ctx context.Context, by Actor, note string) error
	// Resume ends the emergency stop. It reports whether there was one.
	Resume(ctx context.Context, by Actor) (bool, error)
	// CurrentStop returns the emergency stop in force; nil without one. It is cheap, and at most FreshFor old.
	CurrentStop(ctx context.Context) (*EmergencyStop, error)
}

// TokenStore stores the access tokens of HTTP clients.
type TokenStore interface {
	// CreateToken creates a token from t's Person, Roles, Interactive, Policy, KeyFile and Expires. It returns the secret,
	// which is stored nowhere. A name that differs from a known one by case only is rejected.
	CreateToken(ctx context.Context, t Token, by Actor) (secret string, made Token, err error)
	// Tokens lists all tokens, oldest first.
	Tokens(ctx context.Context) ([]Token, error)
	// RevokeToken ends a token in every process, within FreshFor, and revokes its pending requests and unused approvals.
	// ErrTokenUnknown if there is none, ErrTokenRevoked if it was revoked before.
	RevokeToken(ctx context.Context, id string, by Actor) error
	// RemovePerson revokes a person's tokens, their pending requests, and the unused approvals that they gave or asked
	// for. It returns how many of each; ErrNoPerson if nobody of that name ever had a token.
	RemovePerson(ctx context.Context, person string, by Actor) (tokens, approvals int, err error)
	// Authenticate returns the token of a secret. ErrTokenUnknown, ErrTokenExpired or ErrTokenRevoked if it is not
	// accepted (an expired or revoked token is returned with the error), ErrNoTokens if none was ever issued. It is cheap,
	// and its answer at most FreshFor old.
	Authenticate(ctx context.Context, secret string) (Token, error)
}

// LoginStore stores the sessions of the inbox and its single-use login codes.
type LoginStore interface {
	// CreateLogin creates a single-use login code and returns its secret, which is stored nowhere.
	CreateLogin(ctx context.Context, l Login, by Actor) (secret string, err error)
	// FindLogin returns the login of a secret of CreateLogin, RedeemLogin or CreateSession without using it; ErrNoLogin
	// if it is invalid, used or expired.
	FindLogin(ctx context.Context, secret string) (Login, error)
	// RedeemLogin uses a code and creates a session for its person; ErrNoLogin if it is invalid, used or expired.
	RedeemLogin(ctx context.Context, code string, lasts time.Duration) (secret string, l Login, err error)
	// CreateSession creates a session for the person of a token.
	CreateSession(ctx context.Context, t Token, lasts time.Duration) (secret string, l Login, err error)
	// EndSession ends a session.
	EndSession(ctx context.Context, secret string) error
}

// HandoverStore keeps what an action issued until the person who approved it takes it.
type HandoverStore interface {
	// TakeHandover returns what the approved call issued, once: it is deleted before it is returned. ErrNoHandover if
	// there is nothing.
	TakeHandover(ctx context.Context, approval string, by Actor) ([]byte, error)
	// HandoverExpires returns until when something can be taken; zero if there is nothing.
	HandoverExpires(ctx context.Context, approval string) (time.Time, error)
}

// HangUp is the one action that neither a freeze nor an earlier attempt stops:
// our own safety must never keep a call going.
const HangUp = "end_call"

// Call is what is known of a call before it runs. The plain fields are written
// as they are; Payload, Card and Replaced are sealed, and Subjects become ids.
// No field may hold a secret.
type Call struct {
	// Request is the id of the request in the logs.
	Request string
	// Caller is who asks, Credential the id of the credential they showed, Client what the program calls itself.
	Caller             Actor
	Credential, Client string
	// Organisation names the organisation that it goes to. The same payload to another one is another call.
	Organisation string
	Action       string
	Class        schemas.Class
	// Hash is schemas.Payload.Hash.
	Hash string
	// Decision, Why, Rules and Policy say what was decided, by which rules of which version.
	Decision, Why string
	Rules         []string
	Policy        string
	// Exempted are the rules that an exemption took away, Shadow what a policy that is only watched would have decided.
	Exempted []string
	Shadow   string
	// Prefetch marks a read that the gate made for another call, to resolve its recipients or to fill its card. No caller
	// asked for it, and no policy decided it.
	Prefetch bool
	// Recipients is a digest of whom an outbound call reaches; empty where it reaches nobody.
	Recipients string
	// Subjects are the persons whom the call concerns, such as `contact:` and an id. They own what is sealed.
	Subjects []string
	// Payload is the request body, Card what a person saw, Replaced what an update overwrites; JSON or nil.
	Payload, Card, Replaced []byte
}

// Txn is a call that is about to run.
type Txn struct {
	Call
	// ApprovalID is the id of the yes that it spends; empty where none was due.
	ApprovalID string
	// Debits are what it takes from budgets: all of them or, with a *LimitError, nothing.
	Debits []Debit
	// Idempotent is schemas.Action.Repeatable.
	Idempotent bool
}

// Debit is what a call takes from a budget. The budget holds Burst units at most and starts with so many; one grows
// back every Interval. It is kept as soon as something was taken, and needs no declaration.
type Debit struct {
	// Budget is its name, Key whose share of it; both are anything, and in the chain as they are.
	Budget string `json:"budget"`
	Key    string `json:"key"`
	// Cost is how many units are taken, at least 1.
	Cost     int64         `json:"cost"`
	Interval time.Duration `json:"interval"`
	Burst    int64         `json:"burst"`
}

// Settlement is how an intent ended.
type Settlement struct {
	// Intent is the intent's id.
	Intent string
	// State is Succeeded, Failed, NotSent or Unknown; or Sent, which ends nothing.
	State IntentState
	// Sent is rpc.Result.Sent, Status rpc.Result.Status.
	Sent   bool
	Status int
	// Outcome is the word that the caller gets.
	Outcome schemas.Outcome
	Latency time.Duration
	// Result is Sippet's answer, kept sealed for a call that is repeated. It is
	// dropped where it is larger than MaxResult or the action issues a credential.
	Result []byte
	// Fault is why it failed, as JSON, kept sealed for a call that is repeated.
	Fault []byte
	// Handover is Sippet's answer where it is shown once to the person who agreed, and kept nowhere else; it is
	// destroyed at Until.
	Handover      []byte
	HandoverUntil time.Time
	// CreatedSubject is the subject that the call's first subject turned out to be: one that has no id before it is created is
	// named Provisional and something of its own, and its keys, that of the question too, are from now on those of Becomes.
	CreatedSubject string
	// Erased are subjects that are no more, such as a contact that the call deleted: their keys are destroyed with it.
	Erased []string
}

// Provisional begins the name of a subject that is about to be created, such as `new:` and the id of the request.
const Provisional = "new:"

// Event is a call that leaves no intent: a read, or one that did not run.
type Event struct {
	Call
	Outcome schemas.Outcome
	Status  int
	Latency time.Duration
	// FindSubjects looks for subjects in the answer, and for those that Sippet says are erased: the former are added to Subjects,
	// the keys of the latter destroyed. It is called once, later, on another goroutine, and not at all where the event is
	// dropped; nil where there is nothing to look for.
	FindSubjects func() (subjects, erased []string)
}

// MaxSubjects is how many subjects one event names; how many more there were its record counts.
const MaxSubjects = 500

// MaxResult is the most of an answer that is kept.
const MaxResult = 64 << 10

// NewID gives 128 random bits, hex.
func NewID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// clip bounds a text that somebody else chose, and makes it valid UTF-8.
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
