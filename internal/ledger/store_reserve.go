package ledger

import (
	"context"
	crand "crypto/rand"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"syscall"

	"modernc.org/sqlite"
)

// The reserve is a file that only keeps room on the disk. When the disk is full, an emergency stop
// and the like shrink it and write with the room that this frees. Until it has its full size again,
// no process makes any other change: the room belongs to the changes that must not fail. Its size
// is the one thing that all processes look at, so nothing else must be remembered. It is changed
// under the write lock of the ledger, and so by one process at a time.

const (
	reserveSize = 4 << 20
	// reserveStep is what a change that finds no room frees at once. Another program that fills
	// the disk gets no more than that in the meantime.
	reserveStep = 256 << 10
)

// The sizes below which the reserve does not fall for a change, and without which it is not made.
const (
	wholeReserve = int64(reserveSize) // any ordinary change
	// halfReserve is for hanging up, logging in and taking a token away: the first may be repeated
	// by a model without end, and must leave room for the stop.
	halfReserve = int64(reserveSize) / 2
	// noReserve is for the emergency stop, its end, and the outcomes of calls that are in flight.
	noReserve = int64(0)
)

// errReserve is the cause if a change is not made because the reserve is short.
var errReserve = errors.New("what room there is, is kept for the emergency stop and for outcomes of calls")

// reserve returns the size of the reserve, at most wholeReserve; 0 if there is none.
func (s *SQLite) reserve() int64 {
	info, err := os.Stat(s.reservePath)
	if err != nil {
		return 0
	}
	return min(info.Size(), wholeReserve)
}

// release frees a step of the reserve, if there is any.
func (s *SQLite) release() error {
	size := s.reserve()
	if size == 0 {
		return nil
	}
	return os.Truncate(s.reservePath, max(0, size-reserveStep))
}

// fill makes the reserve as large as it should be, or as the disk allows. Bytes that must be written
// are random, so that a file system that compresses keeps room for all of them.
func (s *SQLite) fill() error {
	size := s.reserve()
	missing := wholeReserve - size
	if missing <= 0 {
		return nil
	}
	f, err := os.OpenFile(s.reservePath, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if allocate(f, size, missing) == nil {
		return f.Close()
	}
	var seed [32]byte
	crand.Read(seed[:]) // never fails
	random := rand.NewChaCha8(seed)
	block := make([]byte, 64<<10)
	for err == nil && missing > 0 {
		block = block[:min(missing, int64(len(block)))]
		random.Read(block) // never fails
		_, err = f.Write(block)
		missing -= int64(len(block))
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if isFull(err) {
		return nil
	}
	return err
}

// refill makes the reserve whole again after it was used, as far as the disk allows. The write-ahead
// log is copied to the file first: then the next change overwrites it, and needs hardly any room.
func (s *SQLite) refill() {
	_ = s.conn.rows("PRAGMA wal_checkpoint(PASSIVE)", nil, func(func(...any) error) error { return nil })
	t := &tx{s: s}
	if t.lock() != nil {
		return // the probe tries again
	}
	err := s.fill()
	t.rollback()
	if err != nil {
		s.log.Warn("the room that the ledger keeps for an emergency stop could not be made whole again", "cause", err)
	}
}

// openWithReserve opens the ledger. On a full disk even that needs a little room, and the program may
// be the one that is to make the emergency stop.
func (s *SQLite) openWithReserve(ctx context.Context) error {
	err := s.open(ctx)
	for noRoom(err) && s.reserve() > 0 {
		s.closeFiles()
		if s.release() != nil {
			break
		}
		err = s.open(ctx)
	}
	if err == nil {
		err = s.fill()
	}
	return err
}

// isFull reports whether the error of a file says that the disk is full, or a quota of it.
func isFull(err error) bool {
	var number syscall.Errno
	if runtime.GOOS == "windows" && errors.As(err, &number) {
		const handleDiskFull, diskFull = 39, 112
		return number == handleDiskFull || number == diskFull
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// noRoom reports whether a change, or the opening of the ledger, may have failed for lack of room. A
// quota that is used up is a failed write to SQLite, of which it does not know the cause.
func noRoom(err error) bool {
	var e *StoreError
	var q *sqlite.Error
	const writeFailed = 10 | 3<<8
	return errors.As(err, &e) && e.Kind == DiskFull || errors.As(err, &q) && (q.Code() == writeFailed || q.Code() == noSharedMemory)
}
