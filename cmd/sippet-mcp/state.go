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

// sandboxState is the folder for the sandbox's ledger in the state directory. The sandbox has its
// own ledger, so that simulated calls never stand in the audit log of live ones.
const sandboxState = "sandbox"

// stateDirFlag defines --state-dir.
func stateDirFlag(c *cobra.Command, dir *string) {
	c.Flags().StringVar(dir, "state-dir", "", "state directory (default: sippet-mcp in the user's configuration directory)")
	bindVariables(c, "state-dir")
}

// sandboxFlag defines --sandbox.
func sandboxFlag(c *cobra.Command, chosen *bool, help string) {
	c.Flags().BoolVar(chosen, "sandbox", false, help)
	bindVariables(c, "sandbox")
}

// makeStateDir makes the state directory and returns its path; the default one for an empty path.
func makeStateDir(dir string) (string, error) {
	if dir == "" {
		base, err := os.UserConfigDir()
		if err != nil {
			return "", fmt.Errorf("no default state directory: %w; name one with --state-dir", err)
		}
		dir = filepath.Join(base, "sippet-mcp")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("making the state directory: %w", err)
	}
	return dir, nil
}

// keeping is how a server keeps its ledger.
type keeping struct {
	retention time.Duration
	keychain  bool
}

func (k *keeping) flags(c *cobra.Command) {
	c.Flags().DurationVar(&k.retention, "retention", 0, "remove audit records older than this, such as 9480h for 13 months (0 keeps them)")
	c.Flags().BoolVar(&k.keychain, "keychain", false, "keep the ledger's master key in the system's keychain instead of a file")
	bindVariables(c, "retention", "keychain")
}

// openLedger opens the live ledger of the state directory, or the sandbox's. It makes what is
// missing.
func openLedger(ctx context.Context, dir string, sandbox bool, keep keeping, log *slog.Logger) (*ledger.SQLite, error) {
	dir, err := makeStateDir(dir)
	if err != nil {
		return nil, err
	}
	return ledger.Open(ctx, ledger.Options{Dir: ledgerDir(dir, sandbox), Retention: keep.retention, Keychain: keep.keychain, Log: log})
}

// ledgerDir returns the folder of a ledger in the state directory.
func ledgerDir(dir string, sandbox bool) string {
	if sandbox {
		return filepath.Join(dir, sandboxState)
	}
	return dir
}

// ledgerOptions name an existing ledger.
type ledgerOptions struct {
	stateDir string
	sandbox  bool
}

func (o *ledgerOptions) flags(c *cobra.Command) {
	stateDirFlag(c, &o.stateDir)
	sandboxFlag(c, &o.sandbox, "use the sandbox's ledger instead of the live one")
}

// writing runs do with the ledger.
func (o *ledgerOptions) writing(ctx context.Context, p *program, do func(*ledger.SQLite) error) error {
	return o.run(ctx, p, false, do)
}

// reading runs do with the ledger opened read-only: no permission to write is needed, and a damaged
// ledger stays as it is.
func (o *ledgerOptions) reading(ctx context.Context, p *program, do func(*ledger.SQLite) error) error {
	return o.run(ctx, p, true, do)
}

// run opens a ledger that exists. It makes none: an empty ledger would report that nothing ran.
func (o *ledgerOptions) run(ctx context.Context, p *program, readOnly bool, do func(*ledger.SQLite) error) error {
	log, err := newLogger(p, "warn")
	if err != nil {
		return err
	}
	dir := o.stateDir
	if dir == "" {
		if dir, err = makeStateDir(""); err != nil {
			return err
		}
	}
	if here := ledgerDir(dir, o.sandbox); !hasLedger(here) {
		next := "add --sandbox"
		if o.sandbox {
			next = "leave --sandbox out"
		}
		if other := ledgerDir(dir, !o.sandbox); hasLedger(other) {
			return fmt.Errorf("nothing is recorded in %s yet, but in %s: %s", here, other, next)
		}
		return fmt.Errorf("nothing is recorded in %s yet; name another state directory with --state-dir", here)
	}
	l, err := ledger.Open(ctx, ledger.Options{Dir: ledgerDir(dir, o.sandbox), ReadOnly: readOnly, Log: log})
	if err != nil {
		return damaged(err)
	}
	err = do(l)
	// What do wrote is durable already; closing only adds a checkpoint.
	if e := l.Close(); e != nil && err == nil {
		log.Warn("the ledger could not be closed; what was recorded is safe", "cause", e)
	}
	return damaged(err)
}

// hasLedger reports whether a folder has a ledger, or has lost one. ledger.Open reports the latter.
func hasLedger(dir string) bool {
	for _, name := range []string{ledger.File, ledger.CheckpointFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	return false
}

// damaged adds the record to the error of a damaged ledger, unless the error names it already or
// the database itself is damaged.
func damaged(err error) error {
	var store *ledger.StoreError
	var database interface{ Code() int }
	if errors.As(err, &store) && store.Kind == ledger.Corrupt && store.Err != nil &&
		!errors.As(store.Err, &database) && !strings.Contains(store.Error(), store.Err.Error()) {
		return fmt.Errorf("%w (%w; `sippet-mcp audit verify` lists all faults)", err, store.Err)
	}
	return err
}
