package ledger

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Ledger is what the program remembers. [SQLite] keeps it in a file; another
// backend implements this whole interface. There is no method that spends a
// grant, debits a budget or writes an intent alone: Commit does all of it or
// none of it, and a store that cannot is no Ledger.
//
// A method's error is one of this package's (see error.go); a *Trouble means
// that the store cannot be used now and that nothing was changed.
// All methods are safe for concurrent use, also by several processes.
type Ledger interface {
	// CreateApproval stores a question that waits for a person, and revokes an open one with the same binding, and a yes that is
	// not spent: with a new card the old answer is void.
	// g needs ID, the binding, Expires, Payload and Card. ErrTooManyPending where MaxPending of the principal or
	// MaxPendingTotal wait, *StoppedError while frozen.
	CreateApproval(ctx context.Context, g ApprovalRequest) error
	// AnswerApproval stores what a person said to the question that fits want, or that want was read from here. A yes counts only
	// while the question waits, and ErrAlreadyAnswered says that another one gave it; a no also takes back a yes that is not spent.
	AnswerApproval(ctx context.Context, want ApprovalRequest, r Reply) error
	// CheckApproval says whether Commit would take the grant that fits want now; nil or one of the grant errors.
	CheckApproval(ctx context.Context, want ApprovalRequest) error
	// Approval gives one grant with all that is sealed of it; ErrNoApproval where there is none.
	Approval(ctx context.Context, id string) (ApprovalRequest, error)
	// LatestApproval gives the last question about want's payload by the same principal with the same credential, under whichever
	// policy and however it ended; ErrNoApproval where there is none.
	LatestApproval(ctx context.Context, want ApprovalRequest) (ApprovalRequest, error)
	// Approvals lists questions, without what only Grant gives: Request, Client, Why, Rules, Subjects and what is sealed.
	Approvals(ctx context.Context, f ApprovalFilter) ([]ApprovalRequest, error)
	// MarkReported notes that the caller has heard what came of a question.
	MarkReported(ctx context.Context, id string) error
	// ApprovalsVersion changes whenever a question does, or what became of one, or a freeze, or somebody is erased; not when a
	// question expires. It is cheap.
	ApprovalsVersion(ctx context.Context) (int64, error)
	// ApprovalsChanged gives the questions of the inbox that changed, or what became of them, since a version.
	ApprovalsChanged(ctx context.Context, since int64) ([]string, error)

	// FindConflicting tells what is known of x's payload by the same principal at the same upstream: an intent that is in flight,
	// one whose outcome is unknown, or, where the action is not repeatable, one that succeeded within the window. nil
	// where none is, and for a read. It looks at Principal, Upstream, Class, Hash and Repeatable.
	FindConflicting(ctx context.Context, x Txn) (*Intent, error)
	// Commit makes a call durable before anything is sent: in one transaction it spends x.Grant, debits x.Debits and
	// writes the intent and its audit record. A read needs none, and is taken only with a grant or debits. It refuses with
	// a *StoppedError, a *ConflictError, a grant error or a *LimitError, in this order, having changed nothing.
	Commit(ctx context.Context, x Txn) (Intent, error)
	// BudgetLeft tells how many units a budget holds now, and how long it takes to be full again, without taking any. It looks at
	// all of d but Cost.
	BudgetLeft(ctx context.Context, d Debit) (left int64, refill time.Duration, err error)
	// Settle stores how an intent ended, before the answer leaves. NotSent, and nothing else, gives back the grant and what
	// was debited.
	// ErrAlreadySettled where it has ended already, ErrNoIntent where there is none.
	Settle(ctx context.Context, s Settlement) error
	// Intent gives one intent with its payload and result.
	Intent(ctx context.Context, id string) (Intent, error)
	// Intents lists intents, newest first, without payload and result.
	Intents(ctx context.Context, f IntentFilter) ([]Intent, error)
	// Resolve closes an intent whose outcome is unknown: as is Succeeded or Failed, by is the person who found out.
	Resolve(ctx context.Context, id string, as IntentState, note string, by Actor) error

	// RecordEvent writes an event to the audit chain a moment later. It never blocks; what does not fit is counted in a record.
	RecordEvent(e Event)
	// Records reads the audit chain, oldest first. A line that cannot be read does not end it, see Record.Fault.
	Records(ctx context.Context, f Filter) ([]Record, error)
	// Verify reads the whole chain and says what is wrong with it, and where.
	Verify(ctx context.Context, o VerifyOptions) (Report, error)
	// Erase destroys the key of a subject: nothing that was sealed under it can be read again, and the chain still verifies.
	// It reports whether the ledger knew the subject.
	Erase(ctx context.Context, subject string, by Actor) (bool, error)

	// Stop stops everything but reads and HangUp, on every process, and revokes all open grants.
	Stop(ctx context.Context, by Actor, note string) error
	// Resume ends a freeze. It reports whether there was one.
	Resume(ctx context.Context, by Actor) (bool, error)
	// CurrentStop gives the freeze that holds, nil where none does. It is cheap, and at most FreshFor old.
	CurrentStop(ctx context.Context) (*EmergencyStop, error)
	// StoreError gives the *Trouble that the last attempt to write met, nil where it succeeded. It is cheap. While there is
	// one the ledger tries again by itself, every second or as soon as a lock lets it.
	StoreError() error

	Close() error

	// CreateToken makes a token of t's Person, Roles, Interactive, Policy, KeyFile and Expires, and gives its secret, which
	// is kept nowhere. A name that differs from a known one by its case is refused.
	CreateToken(ctx context.Context, t Token, by Actor) (secret string, made Token, err error)
	// Tokens lists all tokens, oldest first.
	Tokens(ctx context.Context) ([]Token, error)
	// RevokeToken ends a token on every process, within FreshFor, and voids its open questions and unused yeses.
	// ErrTokenUnknown where there is none, ErrTokenRevoked where that was done.
	RevokeToken(ctx context.Context, id string, by Actor) error
	// RemovePerson revokes all tokens of a person, and voids the questions they asked and the yeses they gave that are not
	// used. It gives how many of each there were; ErrNoPerson where nobody of that name ever had a token.
	RemovePerson(ctx context.Context, person string, by Actor) (tokens, approvals int, err error)
	// Authenticate says whose token the secret is: ErrTokenUnknown, ErrTokenExpired or ErrTokenRevoked where it lets nobody
	// in, ErrNoTokens where none was ever issued. With an expired or revoked one it tells whose it was. It is cheap, and its
	// answer at most FreshFor old.
	Authenticate(ctx context.Context, secret string) (Token, error)

	// CreateLogin makes a code that logs a person in once, and gives its secret, which is kept nowhere.
	CreateLogin(ctx context.Context, l Login, by Actor) (secret string, err error)
	// FindLogin says what a secret of CreateLogin or Redeem is, without using it; ErrNoLogin where it lets nobody in.
	FindLogin(ctx context.Context, secret string) (Login, error)
	// RedeemLogin takes a code, and makes a session for whom it was made; ErrNoLogin where it is none or was taken.
	RedeemLogin(ctx context.Context, code string, lasts time.Duration) (secret string, l Login, err error)
	// CreateSession makes a session for whoever showed a token.
	CreateSession(ctx context.Context, t Token, lasts time.Duration) (secret string, l Login, err error)
	// EndSession ends a session.
	EndSession(ctx context.Context, secret string) error
	// TakeHandover gives what an action issued, once: it is destroyed before it is given. ErrNoHandover where there is nothing.
	TakeHandover(ctx context.Context, approval string, by Actor) ([]byte, error)
	// HandoverExpires tells until when something waits to be taken; zero where nothing does.
	HandoverExpires(ctx context.Context, approval string) (time.Time, error)
	// SharedSecret gives 32 bytes that all processes on this ledger know and nobody else, another for each purpose.
	SharedSecret(purpose string) []byte
	// ID names the ledger; it is no secret.
	ID() string
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
