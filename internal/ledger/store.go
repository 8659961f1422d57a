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

// The files of a ledger, all in its folder and readable by their owner only.
const (
	File           = "ledger.db" // with -wal and -shm beside it while in use
	MasterKeyFile  = "master.key"
	SigningKeyFile = "checkpoint.key"
	VerifyKeyFile  = "checkpoint.pub"
	CheckpointFile = "checkpoints"
)

// busyTimeout is how long a write waits for another process to finish its own.
const busyTimeout = 5 * time.Second

// FreshFor is how old the answer of Frozen may be.
const FreshFor = 250 * time.Millisecond

// Options are how a ledger is opened.
type Options struct {
	// Dir is the state folder; it is created where it is missing.
	Dir string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log takes what goes wrong in the background; nil means nowhere.
	Log *slog.Logger
	// Window is how long a success answers for the same payload again where the action is not repeatable; 0 means 10 minutes.
	Window time.Duration
	// Stale is the age at which an intent that nobody settled becomes unknown; 0 means the longest deadline and 30 seconds.
	Stale time.Duration
	// Records and Age say how often a checkpoint is signed: after so many records, or once so old; 0 means 1000 and a minute.
	Records int
	Age     time.Duration
	// Retention is how long records are kept. Older ones are removed from the start of the chain, every hour; what is not
	// over keeps its own and all after them, however old. 0 means for ever.
	Retention time.Duration
	// Keychain keeps the master key in the keychain of the operating system instead of MasterKeyFile.
	Keychain bool
	// ReadOnly opens what is there for reading, and leaves it as it is: nothing is made, swept, signed or removed, and what
	// would write gives a Trouble of the kind ReadOnly. It works where this user may only read. Intents that the next sweep
	// would make unknown are shown as unknown.
	ReadOnly bool
}

// SQLite is the ledger in a file. It is safe for concurrent use, and several
// processes may have the same folder open.
type SQLite struct {
	o    Options
	now  func() time.Time
	log  *slog.Logger
	path string
	file fs.FileInfo

	db   *sql.DB // reads
	seal *sealer
	id   string // of this ledger: the origin of its checkpoints
	sign note.Signer
	// unlogged is set where the file is read as one that nobody writes, see openForReading.
	unlogged bool

	// The writer's own.
	conn      *conn
	shared    bool // another process held the lock when this one last asked for it
	ops       chan *op
	last      head          // what it committed last
	conflicts conflictIndex // what may stand in the way of a payload

	cachedStop atomic.Pointer[cachedStop]
	tokens     atomic.Pointer[cachedTokens]
	storeError atomic.Pointer[StoreError] // what the last attempt to write met
	dirty      chan struct{}              // holds one where the log is to be scrubbed
	signed     atomic.Int64               // up to which record a checkpoint is known
	notes      chan Event
	dropped    atomic.Int64
	lateNotes  []string // of noting: subjects to erase that the store could not take yet

	once    sync.Once
	closing chan struct{} // closed: write what waits
	stop    chan struct{} // closed: take no more
	stopped chan struct{} // closed: the writer has ended
	noted   chan struct{} // closed: the notes are written
	ticked  chan struct{}
	pruned  chan struct{} // closed: nothing more is removed
}

var _ Ledger = (*SQLite)(nil)

// Open opens the ledger of a folder, and creates what is missing. Before it
// returns, the intents that a process left behind have become unknown.
func Open(ctx context.Context, o Options) (*SQLite, error) {
	if o.Dir == "" {
		return nil, errors.New("the ledger needs a state folder")
	}
	o.defaults()
	s := &SQLite{o: o, now: o.Now, log: o.Log, path: filepath.Join(o.Dir, File),
		ops: make(chan *op, maxBatch), notes: make(chan Event, maxNotes), dirty: make(chan struct{}, 1),
		closing: make(chan struct{}), stop: make(chan struct{}), stopped: make(chan struct{}), noted: make(chan struct{}), ticked: make(chan struct{}), pruned: make(chan struct{})}
	if o.ReadOnly {
		if err := s.openForReading(ctx); err != nil {
			if s.db != nil {
				s.db.Close()
			}
			return nil, asStoreError(s.path, err)
		}
		return s, nil
	}
	if err := s.open(ctx); err != nil {
		if s.conn != nil {
			s.conn.close()
		}
		if s.db != nil {
			s.db.Close()
		}
		return nil, asStoreError(s.path, err)
	}
	go s.writer()
	// Where the end of the chain was changed nothing is written, but what is there can be read.
	if err := s.sweep(ctx); err != nil && !errors.Is(err, errEnd) {
		close(s.stop)
		<-s.stopped
		s.conn.close()
		s.db.Close()
		return nil, err
	}
	go s.runNotes()
	go s.tick()
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
	if err := vanished(s.o.Dir); err != nil {
		return err
	}
	if err := create(s.path); err != nil {
		return err
	}
	var err error
	if s.file, err = os.Stat(s.path); err != nil {
		return err
	}
	// secure_delete: a destroyed key must not lie on in a free page. wal_autocheckpoint: a page that many commits change is copied once.
	dsn := uri(s.path, fmt.Sprintf("_pragma=busy_timeout(%d)&_pragma=synchronous(FULL)&_pragma=secure_delete(ON)&_pragma=wal_autocheckpoint(4000)", busyTimeout.Milliseconds()))
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
	if err := enableWAL(ctx, c, s.path); err != nil {
		return err
	}
	if err := createSchema(ctx, c, s.path, s.initialise); err != nil {
		return err
	}
	// The writer waits for the lock in its own way.
	s.conn, err = connect(ctx, dsn+"&_pragma=busy_timeout(0)")
	return err
}

// create makes the empty file before SQLite does, which would let everybody
// read it; -wal and -shm get the same mode. It never opens a file that others
// may have open: closing it again would give away the locks of this process.
func create(path string) error {
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
	// A file system without links.
	f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// initialise reads or makes what a ledger has once: its id and its keys. It runs
// in the transaction that creates the tables, so no other process does the same now.
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
	if s.sign, err = openSigner(ctx, conn, s.o.Dir, s.id, fresh); err != nil || !fresh {
		return err
	}
	// An empty chain has its code, too, so that no code is never right.
	_, err = conn.ExecContext(ctx, "INSERT INTO meta (name, value) VALUES ('head', ?)", s.seal.headCode(head{0, genesis(s.id)}))
	return err
}

// tick sweeps and signs in the background, until the ledger closes.
func (s *SQLite) tick() {
	defer close(s.ticked)
	sweep, sign := time.NewTicker(min(15*time.Second, s.o.Stale)), time.NewTicker(s.o.Age)
	defer sweep.Stop()
	defer sign.Stop()
	probe := time.NewTicker(probeEvery)
	defer probe.Stop()
	for {
		var err error
		select {
		case <-s.stop:
			return
		case <-sweep.C:
			err = s.sweep(context.Background())
		case <-sign.C:
			err = s.checkpoint(context.Background())
		case <-probe.C:
			s.probe()
		case <-s.dirty:
			s.scrub(context.Background())
		}
		if err != nil {
			s.log.Warn("the ledger's upkeep failed, it is tried again", "cause", err)
		}
	}
}

// Close writes what waits, signs a last checkpoint and closes the file.
func (s *SQLite) Close() error {
	var err error
	s.once.Do(func() {
		if s.o.ReadOnly {
			close(s.stop)
			err = asStoreError(s.path, s.db.Close())
			return
		}
		close(s.closing)
		<-s.noted
		<-s.pruned
		err = s.checkpoint(context.Background())
		close(s.stop)
		<-s.ticked
		<-s.stopped
		s.conn.close()
		if e := s.db.Close(); err == nil {
			err = asStoreError(s.path, e)
		}
	})
	return err
}
