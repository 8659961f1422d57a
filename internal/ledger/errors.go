package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
)

// ErrRejected matches every rejection: an error that says why a request was not accepted, and no failure of the store.
//
//	if errors.Is(err, ledger.ErrRejected) { … }
var ErrRejected = errors.New("rejected by the ledger")

// rejection is an error that ErrRejected matches.
type rejection string

func (r *rejection) Error() string { return string(*r) }

// Is makes errors.Is(r, ErrRejected) true.
func (*rejection) Is(target error) bool { return target == ErrRejected }

func newRejection(text string) error {
	r := rejection(text)
	return &r
}

// The rejections of an approval.
var (
	ErrNoApproval        = newRejection("no such approval request")
	ErrApprovalExpired   = newRejection("the approval request has expired")
	ErrApprovalUsed      = newRejection("the approval was used already")
	ErrApprovalDeclined  = newRejection("the request was declined")
	ErrApprovalRevoked   = newRejection("the approval request was revoked")
	ErrApprovalPending   = newRejection("the approval request has no answer yet")
	ErrApprovalMismatch  = newRejection("the approval is for another call: caller, action, payload or policy differ")
	ErrRecipientsChanged = newRejection("the recipients have changed since the approval")
	ErrTooManyPending    = newRejection("too many approval requests are pending")
	ErrAlreadyAnswered   = newRejection("somebody else has answered already")
	ErrNoHandover        = newRejection("nothing to hand over: it was taken or has expired")
	ErrNoLogin           = newRejection("invalid, used or expired login code")
)

// The rejections of an intent.
var (
	ErrNoIntent       = newRejection("no such intent is recorded")
	ErrAlreadySettled = newRejection("the intent already has an outcome")
	ErrOutcomeKnown   = newRejection("the intent is in flight or its outcome is known; only an unknown one can be resolved")
)

// StoppedError refuses a call while a person has stopped the program.
type StoppedError struct{ EmergencyStop }

// Is makes errors.Is(e, ErrRejected) true.
func (*StoppedError) Is(target error) bool { return target == ErrRejected }

func (e *StoppedError) Error() string {
	s := fmt.Sprintf("%s stopped everything but reads and hanging up at %s", e.By, e.At.Format(time.RFC3339))
	if e.Note != "" {
		s += ": " + e.Note
	}
	return s
}

// ConflictError refuses a call because the same caller's same payload is in
// flight, may have run, or ran a moment ago. A grant whose Repeats is Prior.ID lets it run.
type ConflictError struct{ Intent Intent }

// Is makes errors.Is(e, ErrRejected) true.
func (*ConflictError) Is(target error) bool { return target == ErrRejected }

func (e *ConflictError) Error() string {
	p := e.Intent
	switch p.State {
	case Succeeded:
		return fmt.Sprintf("the same %s ran at %s (intent %s)", p.Action, p.Settled.Format(time.RFC3339), p.ID)
	case Unknown:
		return fmt.Sprintf("nobody knows whether the same %s of %s ran (intent %s)", p.Action, p.Prepared.Format(time.RFC3339), p.ID)
	}
	return fmt.Sprintf("the same %s is still running (intent %s)", p.Action, p.ID)
}

// StoreErrorKind says what is wrong with the store.
type StoreErrorKind string

// The kinds of trouble, a closed set.
const (
	DiskFull   StoreErrorKind = "disk_full"   // passes once there is room
	Locked     StoreErrorKind = "locked"      // another process holds the file; passes by itself
	ReadOnly   StoreErrorKind = "read_only"   // the file or the file system takes no writes
	Corrupt    StoreErrorKind = "corrupt"     // the file is damaged
	Foreign    StoreErrorKind = "foreign"     // the file is something else
	Outdated   StoreErrorKind = "outdated"    // an older version of the program wrote it, in a form that this one does not read
	Newer      StoreErrorKind = "newer"       // a newer version of the program wrote it
	MissingKey StoreErrorKind = "missing_key" // the master key is not there, or is another one
	Replaced   StoreErrorKind = "replaced"    // the file was moved away under the running program
	Closed     StoreErrorKind = "closed"
	Broken     StoreErrorKind = "broken" // anything else: an I/O error, no permission
)

// StoreError means that the store cannot be used now. Error is one sentence for a person; Err is the cause.
type StoreError struct {
	Kind StoreErrorKind
	// Path is the file that it is about.
	Path string
	Err  error
}

func (t *StoreError) Unwrap() error { return t.Err }

func (t *StoreError) Error() string {
	switch t.Kind {
	case DiskFull:
		return fmt.Sprintf("the disk of the ledger %s is full: make room, and it goes on by itself", t.Path)
	case Locked:
		return fmt.Sprintf("another process holds the ledger %s: try again in a moment, or end the program that keeps it open", t.Path)
	case ReadOnly:
		if t.Err == errForReading {
			return fmt.Sprintf("the ledger %s was opened for reading only", t.Path)
		}
		return fmt.Sprintf("the ledger %s cannot be written: give this user the right to write it and its folder", t.Path)
	case Corrupt:
		if errors.Is(t.Err, errEnd) {
			return fmt.Sprintf("the ledger %s takes nothing more: %v; keep a copy of its folder before you do anything else", t.Path, t.Err)
		}
		return fmt.Sprintf("the ledger %s is damaged: stop every sippet-mcp, keep a copy of the file, and put back a backup or begin with an empty folder", t.Path)
	case Foreign:
		return fmt.Sprintf("%s is not a ledger of sippet-mcp: choose another state folder", t.Path)
	case Outdated:
		return fmt.Sprintf("the state directory %s has the form of an older sippet-mcp, which this one does not read: keep it, and start with another one (--state-dir); %v", filepath.Dir(t.Path), t.Err)
	case Newer:
		return fmt.Sprintf("the ledger %s was written by a newer sippet-mcp: update this one", t.Path)
	case MissingKey:
		if errors.Is(t.Err, errNoKeychain) {
			return fmt.Sprintf("the key of the ledger is to be in the keychain, and %v: unlock it, start sippet-mcp in a session that has one, or keep the key in a file", t.Err)
		}
		if errors.Is(t.Err, errNotInKeychain) {
			return fmt.Sprintf("the keychain has no key of the ledger (account and service: %s): put it back from a backup, or begin with an empty folder", t.Path)
		}
		return fmt.Sprintf("the key %s of the ledger is missing or is another one: put it back from a backup, or begin with an empty folder", t.Path)
	case Replaced:
		return fmt.Sprintf("the ledger %s was moved or replaced while in use: restart sippet-mcp", t.Path)
	case Closed:
		return fmt.Sprintf("the ledger %s is closed", t.Path)
	}
	return fmt.Sprintf("the ledger %s cannot be used: %v", t.Path, t.Err)
}

// SQLite's primary result codes, https://sqlite.org/rescode.html.
var codes = map[int]StoreErrorKind{5: Locked, 6: Locked, 8: ReadOnly, 11: Corrupt, 13: DiskFull, 26: Corrupt}

// asStoreError makes an error of SQLite or of a file a *Trouble, and leaves ours and the context's alone.
func asStoreError(path string, err error) error {
	var t *StoreError
	var q *sqlite.Error
	switch {
	case err == nil, errors.As(err, &t), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &q):
		if k, ok := codes[q.Code()&0xff]; ok {
			return &StoreError{k, path, err}
		}
	case errors.Is(err, fs.ErrPermission):
		return &StoreError{ReadOnly, path, err}
	}
	return &StoreError{Broken, path, err}
}

// IsStoreError reports whether err is a failure of the store.
func IsStoreError(err error) bool {
	var s *StoreError
	return errors.As(err, &s)
}

// errUsage is wrapped by refusals of what a caller must not ask for.
var errUsage = newRejection("wrong use of the ledger")
