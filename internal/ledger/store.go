package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// The files of a ledger. All are in the state directory and readable by their owner only.
const (
	File           = "ledger.db" // with -wal and -shm while it is open
	MasterKeyFile  = "master.key"
	SigningKeyFile = "checkpoint.key"
	VerifyKeyFile  = "checkpoint.pub"
	CheckpointFile = "checkpoints"
	ReserveFile    = "reserve"
)

// busyTimeout is how long a write waits for another process to finish its own.
const busyTimeout = 5 * time.Second

// FreshFor bounds the age of what CurrentStops and Authenticate return.
const FreshFor = 250 * time.Millisecond

// Options configure a ledger.
type Options struct {
	// Dir is the state directory. Open creates it if it is missing.
	Dir string
	// Now is the clock; nil for time.Now.
	Now func() time.Time
	// Log receives errors of the background work; nil discards them.
	Log *slog.Logger
	// Window is how long a success conflicts with the same payload if the action is not idempotent;
	// 0 for 10 minutes.
	Window time.Duration
	// Stale is the age at which an unsettled intent is abandoned; 0 for the longest deadline and 30
	// seconds.
	Stale time.Duration
	// A checkpoint is signed after Records records, or after Age; 0 for 1000 and a minute.
	Records int
	Age     time.Duration
	// Retention is how long records are kept. Older ones are removed from the start of the log,
	// every hour. Records of unfinished calls, and all later records, are kept. 0 keeps all.
	Retention time.Duration
	// Keychain stores the master key in the keychain of the operating system instead of
	// MasterKeyFile.
	Keychain bool
	// ReadOnly opens an existing ledger for reading and changes nothing. A method that writes
	// returns a *StoreError of the kind ReadOnly. It works for a user who may only read. Abandoned
	// intents are shown as unknown.
	ReadOnly bool
}

// SQLite is the ledger in a file. It is safe for concurrent use, and several processes may open the
// same state directory.
type SQLite struct {
	o    Options
	now  func() time.Time
	log  *slog.Logger
	path string
	// reservePath is the path of the reserve.
	reservePath string
	file        fs.FileInfo

	db     *sql.DB // reads
	seal   *sealer
	id     string // the ledger's id, part of the origin of its checkpoints
	signer note.Signer
	// immutable is true if the file is read as one that nobody writes, see openReadOnly.
	immutable bool

	// The fields of the writer.
	conn      *conn
	contended bool // another process held the lock at the last attempt
	ops       chan *op
	lastHead  head          // the head of its last commit
	conflicts conflictIndex // the intents that may conflict
	// shares are when the shares of callers are whole again, as far as they were read. They are right
	// while the head is lastHead.
	shares map[string]int64
	counts map[eventKind]int64 // events that are only counted

	cachedStops   atomic.Pointer[cachedStops]
	tokens        atomic.Pointer[cachedTokens]
	storeError    atomic.Pointer[StoreError] // the error of the last attempt to write
	failingSince  atomic.Int64               // when such attempts began to fail, in microseconds; 0 before
	scrubRequests chan struct{}              // holds one if the write-ahead log must be scrubbed
	signed        atomic.Int64               // the last record with a checkpoint
	events        chan queuedEvent
	dropped       atomic.Int64
	readings      readings
	unerased      []string     // subjects to erase that the store could not accept yet
	countedSince  atomic.Int64 // when the first of counts was counted, in nanoseconds since 1970; 0 without one

	once       sync.Once
	closing    chan struct{} // closed when Close begins
	closed     chan struct{} // closed when no more changes are accepted
	writerDone chan struct{} // closed when the writer has ended
	eventsDone chan struct{} // closed when the events are written
	upkeepDone chan struct{}
	pruneDone  chan struct{} // closed when the pruning has ended
}

var _ Ledger = (*SQLite)(nil)

// Open opens the ledger of a state directory and creates what is missing. Before it returns,
// abandoned intents have become unknown.
func Open(ctx context.Context, o Options) (*SQLite, error) {
	if o.Dir == "" {
		return nil, errors.New("the ledger needs a state directory")
	}
	o.defaults()
	s := &SQLite{o: o, now: o.Now, log: o.Log, path: filepath.Join(o.Dir, File), reservePath: filepath.Join(o.Dir, ReserveFile), shares: map[string]int64{}, counts: map[eventKind]int64{},
		ops: make(chan *op, maxBatch), events: make(chan queuedEvent, maxQueuedEvents), scrubRequests: make(chan struct{}, 1),
		closing: make(chan struct{}), closed: make(chan struct{}), writerDone: make(chan struct{}),
		eventsDone: make(chan struct{}), upkeepDone: make(chan struct{}), pruneDone: make(chan struct{})}
	if o.ReadOnly {
		if err := s.openReadOnly(ctx); err != nil {
			if s.db != nil {
				s.db.Close()
			}
			return nil, asStoreError(s.path, err)
		}
		return s, nil
	}
	if err := s.openWithReserve(ctx); err != nil {
		s.closeFiles()
		return nil, asStoreError(s.path, err)
	}
	go s.runWriter()
	// If the head of the log was changed, nothing is written, but the ledger can be read. On a full
	// disk an emergency stop can be made.
	if err := s.sweep(ctx); err != nil && !errors.Is(err, errHeadChanged) && !noRoom(err) {
		close(s.closed)
		<-s.writerDone
		s.conn.close()
		s.db.Close()
		return nil, err
	}
	go s.runEvents()
	go s.runUpkeep()
	go s.runPruning()
	return s, nil
}

func (o *Options) defaults() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Window <= 0 {
		o.Window = 10 * time.Minute
	}
	if o.Stale <= 0 {
		for _, a := range schemas.Actions() {
			o.Stale = max(o.Stale, a.Deadline())
		}
		o.Stale += 30 * time.Second
	}
	if o.Records <= 0 {
		o.Records = 1000
	}
	if o.Age <= 0 {
		o.Age = time.Minute
	}
}

func (s *SQLite) open(ctx context.Context) error {
	if err := os.MkdirAll(s.o.Dir, 0o700); err != nil {
		return err
	}
	if err := s.checkPermission(); err != nil {
		return err
	}
	if err := checkMissing(s.o.Dir); err != nil {
		return err
	}
	if err := createFile(s.path); err != nil {
		return err
	}
	var err error
	if s.file, err = os.Stat(s.path); err != nil {
		return err
	}
	// secure_delete: a destroyed key must not stay in a free page. wal_autocheckpoint: a page that
	// many commits change is copied once.
	dsn := uri(s.path, fmt.Sprintf("_pragma=busy_timeout(%d)&_pragma=synchronous(FULL)&_pragma=secure_delete(ON)"+
		"&_pragma=wal_autocheckpoint(4000)", busyTimeout.Milliseconds()))
	if s.db, err = sql.Open("sqlite", dsn); err != nil {
		return err
	}
	s.db.SetMaxIdleConns(4)
	s.db.SetMaxOpenConns(4)
	c, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	// Write-ahead logging changes the file, so another program's or version's is detected before.
	var unusable *StoreError
	if _, err := checkSchema(ctx, c, s.path); errors.As(err, &unusable) {
		return err
	}
	if err := enableWAL(ctx, c, s.path); err != nil {
		return err
	}
	if err := createSchema(ctx, c, s.path, s.initialise); err != nil {
		return err
	}
	// The writer waits for the lock itself, see lock.
	s.conn, err = openConn(ctx, dsn+"&_pragma=busy_timeout(0)")
	return err
}

// closeFiles closes what open opened before it failed.
func (s *SQLite) closeFiles() {
	if s.conn != nil {
		s.conn.close()
	}
	if s.db != nil {
		s.db.Close()
	}
	s.conn, s.db = nil, nil
}

// createFile creates the empty file before SQLite does, which would make it readable by everybody;
// -wal and -shm inherit the mode. It never opens a file that may be open elsewhere in this process:
// closing it would release the locks of the process.
func createFile(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	temp := path + "." + NewID()
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(temp)
	if err := f.Close(); err != nil {
		return err
	}
	err = os.Link(temp, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	// The file system has no links.
	f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// initialise reads or creates what a ledger has once: its id and its keys. It runs in the
// transaction that creates the tables, so no other process does the same now.
func (s *SQLite) initialise(ctx context.Context, conn *sql.Conn) error {
	err := conn.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = 'id'").Scan(&s.id)
	fresh := errors.Is(err, sql.ErrNoRows)
	if err != nil && !fresh {
		return err
	}
	if fresh {
		s.id = NewID()
		if _, err := conn.ExecContext(ctx, "INSERT INTO meta (name, value) VALUES ('id', ?)", s.id); err != nil {
			return err
		}
	}
	if err = s.openSealer(ctx, conn, fresh); err != nil {
		return err
	}
	if s.signer, err = openSigner(ctx, conn, s.o.Dir, s.id, fresh); err != nil || !fresh {
		return err
	}
	// An empty log has a code too, so that a missing code is always wrong.
	_, err = conn.ExecContext(ctx, "INSERT INTO meta (name, value) VALUES ('head', ?)", s.seal.headCode(head{0, genesis(s.id)}))
	return err
}

// runUpkeep sweeps, signs, probes and scrubs in the background until the ledger closes.
func (s *SQLite) runUpkeep() {
	defer close(s.upkeepDone)
	sweep, sign := time.NewTicker(min(15*time.Second, s.o.Stale)), time.NewTicker(s.o.Age)
	defer sweep.Stop()
	defer sign.Stop()
	probe := time.NewTicker(probeEvery)
	defer probe.Stop()
	for {
		var err error
		select {
		case <-s.closed:
			return
		case <-sweep.C:
			err = s.sweep(context.Background())
		case <-sign.C:
			if err = s.checkpoint(context.Background()); noRoom(err) {
				err = nil // the next checkpoint covers it
			}
		case <-probe.C:
			s.probe()
		case <-s.scrubRequests:
			s.scrub(context.Background())
		}
		if err != nil {
			s.log.Warn("the ledger's upkeep failed; it is retried", "cause", err)
		}
	}
}

// Close writes what is queued, signs a last checkpoint and closes the file.
func (s *SQLite) Close() error {
	var err error
	s.once.Do(func() {
		if s.o.ReadOnly {
			close(s.closed)
			err = asStoreError(s.path, s.db.Close())
			return
		}
		close(s.closing)
		<-s.eventsDone
		<-s.pruneDone
		err = s.checkpoint(context.Background())
		close(s.closed)
		<-s.upkeepDone
		<-s.writerDone
		s.conn.close()
		if e := s.db.Close(); err == nil {
			err = asStoreError(s.path, e)
		}
		// A read that was cancelled a moment ago may still hold its connection, and so the files.
		for end := time.Now().Add(time.Second); s.db.Stats().OpenConnections > 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
	})
	return err
}

// SharedSecret implements Ledger.
func (s *SQLite) SharedSecret(purpose string) []byte { return derive(s.seal.secrets, purpose) }

// Dir returns the state directory.
func (s *SQLite) Dir() string { return s.o.Dir }

// ID implements Ledger.
func (s *SQLite) ID() string { return s.id }
