package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// sandboxState is the subfolder of the state directory for the sandbox's
// ledger: trying things out never mixes with the audit of what really ran.
const sandboxState = "sandbox"

// keeping says how a server's ledger is kept.
type keeping struct {
	retention time.Duration
	keychain  bool
}

func (k *keeping) flags(c *cobra.Command) {
	c.Flags().DurationVar(&k.retention, "retention", 0, "remove audit records older than this, such as 9480h for 13 months (0 keeps them)")
	c.Flags().BoolVar(&k.keychain, "keychain", false, "keep the ledger's master key in the system's keychain, not in a file")
}

// openLedger opens the ledger of the state directory, or the sandbox's beside
// it, and makes what is missing.
func openLedger(ctx context.Context, dir string, sandbox bool, keep keeping, log *slog.Logger) (*ledger.SQLite, error) {
	dir, err := makeState(dir)
	if err != nil {
		return nil, err
	}
	return ledger.Open(ctx, ledger.Options{Dir: ledgerDir(dir, sandbox), Retention: keep.retention, Keychain: keep.keychain, Log: log})
}

// ledgerDir is where in the state directory a ledger is.
func ledgerDir(dir string, sandbox bool) string {
	if sandbox {
		return filepath.Join(dir, sandboxState)
	}
	return dir
}

// ledgerOptions say which ledger a command asks.
type ledgerOptions struct {
	stateDir string
	sandbox  bool
}

func (o *ledgerOptions) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.stateDir, "state-dir", "", stateDirHelp)
	c.Flags().BoolVar(&o.sandbox, "sandbox", false, "ask the sandbox's ledger, not that of what really ran")
}

// with opens a ledger that is there and runs do with it.
func (o *ledgerOptions) with(ctx context.Context, p *program, do func(*ledger.SQLite) error) error {
	return o.opened(ctx, p, false, do)
}

// reading is with for what only looks: it works without the right to write, and leaves evidence as it is.
func (o *ledgerOptions) reading(ctx context.Context, p *program, do func(*ledger.SQLite) error) error {
	return o.opened(ctx, p, true, do)
}

// opened opens a ledger that is there. Where there is none it says so: an empty one made in passing would answer that
// nothing ran.
func (o *ledgerOptions) opened(ctx context.Context, p *program, readOnly bool, do func(*ledger.SQLite) error) error {
	log, err := newLogger(p, "warn")
	if err != nil {
		return err
	}
	dir := o.stateDir
	if dir == "" {
		if dir, err = makeState(""); err != nil {
			return err
		}
	}
	if here := ledgerDir(dir, o.sandbox); !hasLedger(here) {
		way := "with --sandbox"
		if o.sandbox {
			way = "without --sandbox"
		}
		if other := ledgerDir(dir, !o.sandbox); hasLedger(other) {
			return fmt.Errorf("nothing is recorded in %s yet; the other ledger, %s, is asked %s", here, other, way)
		}
		return fmt.Errorf("nothing is recorded in %s yet; another directory is named by --state-dir", here)
	}
	l, err := ledger.Open(ctx, ledger.Options{Dir: ledgerDir(dir, o.sandbox), ReadOnly: readOnly, Log: log})
	if err != nil {
		return damaged(err)
	}
	err = do(l)
	// Whatever do wrote is durable by now; closing adds a checkpoint.
	if e := l.Close(); e != nil && err == nil {
		log.Warn("closing the ledger", "err", e)
	}
	return damaged(err)
}

// hasLedger reports whether a folder has a ledger, or has lost one: that is for ledger.Open to say.
func hasLedger(dir string) bool {
	for _, name := range []string{ledger.File, ledger.CheckpointFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	return false
}

// damaged adds to a damaged ledger's error which record it is, where it is one: its own says what to do only.
func damaged(err error) error {
	var t *ledger.StoreError
	var store interface{ Code() int } // SQLite's own errors know the file only
	if errors.As(err, &t) && t.Kind == ledger.Corrupt && t.Err != nil && !errors.As(t.Err, &store) && !strings.Contains(t.Error(), t.Err.Error()) {
		return fmt.Errorf("%w (%w; `sippet-mcp audit verify` finds all that is wrong)", err, t.Err)
	}
	return err
}

// same gives the flags with which another command asks the same ledger.
func (o *ledgerOptions) same() string {
	s := ""
	if o.sandbox {
		s += " --sandbox"
	}
	if o.stateDir != "" {
		s += " --state-dir " + quote(absolute(o.stateDir))
	}
	return s
}
