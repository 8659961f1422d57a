package main

import (
	"context"
	"log/slog"
	"path/filepath"

	"github.com/sippet-ai/sippet-mcp/ledger"
)

// sandboxState is the subfolder of the state directory for the sandbox's
// ledger: trying things out never mixes with the audit of what really ran.
const sandboxState = "sandbox"

// openLedger opens the ledger of the state directory, or the sandbox's beside
// it, and makes what is missing.
func openLedger(ctx context.Context, dir string, sandbox bool, log *slog.Logger) (*ledger.SQLite, error) {
	dir, err := makeState(dir)
	if err != nil {
		return nil, err
	}
	if sandbox {
		dir = filepath.Join(dir, sandboxState)
	}
	return ledger.Open(ctx, ledger.Options{Dir: dir, Log: log})
}
