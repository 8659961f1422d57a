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

// ErrRejected matches every rejection: an error that says why a request was not accepted, and no
// failure of the store.
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
	ErrApprovalErased    = newRejection("a person on the card was erased, so the request can only be declined")
	ErrApprovalPending   = newRejection("the approval request has no answer yet")
	ErrApprovalMismatch  = newRejection("the approval is for another call: caller, action or payload differ")
	ErrRecipientsChanged = newRejection("the recipients have changed since the approval")
	ErrAlreadyAnswered   = newRejection("somebody else has answered already")
	ErrNoPause           = newRejection("no requests of this caller for the action are paused")
	ErrNoHandover        = newRejection("nothing to hand over: it was taken or has expired")
	ErrNoLogin           = newRejection("invalid, used or expired login code")
)

// The rejections of an intent.
var (
	ErrNoIntent       = newRejection("no such intent is recorded")
	ErrAlreadySettled = newRejection("the intent already has an outcome")
	ErrOutcomeKnown   = newRejection("the intent is in flight or its outcome is known; only an unknown one can be resolved")
)

// StoppedError rejects a call during an emergency stop that covers it.
type StoppedError struct{ EmergencyStop }

// Is makes errors.Is(e, ErrRejected) true.
func (*StoppedError) Is(target error) bool { return target == ErrRejected }

func (e *StoppedError) Error() string {
	s := fmt.Sprintf("%s stopped %s at %s, and %s", e.By, e.StopScope, e.At.Format(time.RFC3339), e.Continues())
	if e.Note != "" {
		s += ": " + e.Note
	}
	return s
}

// ConflictError rejects a call because the same call is in flight, may have run, or ran
// recently. An approval with Repeats set to Intent.ID lets it run again.
type ConflictError struct{ Intent Intent }

// Is makes errors.Is(e, ErrRejected) true.
func (*ConflictError) Is(target error) bool { return target == ErrRejected }

func (e *ConflictError) Error() string {
	in := e.Intent
	switch in.State {
	case Succeeded:
		return fmt.Sprintf("the same %s ran at %s (intent %s)", in.Action, in.Settled.Format(time.RFC3339), in.ID)
	case Unknown:
		return fmt.Sprintf("the outcome of the same %s at %s is unknown (intent %s)", in.Action, in.Prepared.Format(time.RFC3339), in.ID)
	}
	return fmt.Sprintf("the same %s is still running (intent %s)", in.Action, in.ID)
}

// UnknownError rejects a call that no person approved: another call did the same to one of these
// people, or not. An approval lets it run.
type UnknownError struct{ Intent Intent }

// Is makes errors.Is(e, ErrRejected) true.
func (*UnknownError) Is(target error) bool { return target == ErrRejected }

func (e *UnknownError) Error() string {
	return fmt.Sprintf("the outcome of %s at %s for one of the same people is unknown (intent %s)", e.Intent.Action, e.Intent.Prepared.Format(time.RFC3339), e.Intent.ID)
}

// StoreErrorKind says what is wrong with the store.
type StoreErrorKind string

// The kinds of store errors, a closed set.
const (
	DiskFull   StoreErrorKind = "disk_full"   // passes when the disk has room
	Locked     StoreErrorKind = "locked"      // another process has locked the file; passes by itself
	ReadOnly   StoreErrorKind = "read_only"   // the file or the file system is read-only
	Corrupt    StoreErrorKind = "corrupt"     // the file is damaged
	Foreign    StoreErrorKind = "foreign"     // the file belongs to another program
	Outdated   StoreErrorKind = "outdated"    // an older version of the program wrote the file
	Newer      StoreErrorKind = "newer"       // a newer version of the program wrote the file
	MissingKey StoreErrorKind = "missing_key" // the master key is missing or wrong
	Replaced   StoreErrorKind = "replaced"    // the file was moved while it was open
	Closed     StoreErrorKind = "closed"
	Broken     StoreErrorKind = "broken" // anything else: an I/O error, no permission
)

// StoreError means that the store cannot be used now. Error returns one sentence for a person; Err
// is the cause.
type StoreError struct {
	Kind StoreErrorKind
	// Path is the file or key that the error is about.
	Path string
	Err  error
}

func (e *StoreError) Unwrap() error { return e.Err }

func (e *StoreError) Error() string {
	switch e.Kind {
	case DiskFull:
		return fmt.Sprintf("the disk of the ledger %s is full: free some space (4 MiB at least), and the ledger continues by itself", e.Path)
	case Locked:
		return fmt.Sprintf("the ledger %s is locked by another process: try again, or end the program that keeps it locked", e.Path)
	case ReadOnly:
		if e.Err == errReadOnly {
			return fmt.Sprintf("the ledger %s is open for reading only", e.Path)
		}
		return fmt.Sprintf("the ledger %s cannot be written: allow this user to write it and its directory", e.Path)
	case Corrupt:
		if errors.Is(e.Err, errHeadChanged) {
			return fmt.Sprintf("the ledger %s accepts no more changes: %v; first keep a copy of its directory", e.Path, e.Err)
		}
		return fmt.Sprintf("the ledger %s is damaged: stop every sippet-mcp, keep a copy of the file, then restore a backup or start with an empty state directory", e.Path)
	case Foreign:
		return fmt.Sprintf("%s is not a ledger of sippet-mcp: choose another state directory (--state-dir)", e.Path)
	case Outdated:
		return fmt.Sprintf("the state directory %s was written by an older sippet-mcp, and this version cannot read it: keep it, and start with another one (--state-dir); %v", filepath.Dir(e.Path), e.Err)
	case Newer:
		return fmt.Sprintf("the ledger %s was written by a newer sippet-mcp: update this one", e.Path)
	case MissingKey:
		if errors.Is(e.Err, errNoKeychain) {
			return fmt.Sprintf("the ledger's key cannot be read from the keychain: %v; unlock it, start sippet-mcp in a session with a keychain, or keep the key in a file", e.Err)
		}
		if errors.Is(e.Err, errNotInKeychain) {
			return fmt.Sprintf("the keychain has no key for the ledger (account and service: %s): restore it from a backup, or start with an empty state directory", e.Path)
		}
		return fmt.Sprintf("the ledger's key %s is missing or wrong: restore it from a backup, or start with an empty state directory", e.Path)
	case Replaced:
		return fmt.Sprintf("the ledger %s was moved or replaced while it was open: restart sippet-mcp", e.Path)
	case Closed:
		return fmt.Sprintf("the ledger %s is closed", e.Path)
	}
	return fmt.Sprintf("the ledger %s cannot be used: %v", e.Path, e.Err)
}

// SQLite's primary result codes, https://sqlite.org/rescode.html.
var codes = map[int]StoreErrorKind{5: Locked, 6: Locked, 8: ReadOnly, 11: Corrupt, 13: DiskFull, 26: Corrupt}

// noSharedMemory is SQLite's code if the -shm file has no room. The first to open the ledger makes it.
const noSharedMemory = 10 | 19<<8

// asStoreError wraps an error of SQLite or of a file in a *StoreError. It returns a *StoreError and
// the context's errors unchanged.
func asStoreError(path string, err error) error {
	var e *StoreError
	var q *sqlite.Error
	switch {
	case err == nil, errors.As(err, &e), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &q):
		if q.Code() == noSharedMemory {
			return &StoreError{DiskFull, path, err}
		}
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

// errUsage is wrapped by the errors of a wrong use of this package.
var errUsage = newRejection("invalid use of the ledger")
