package ledger

import "context"

// VerifyOptions say against what the chain is held.
type VerifyOptions struct {
	// Checkpoint holds signed notes that were kept elsewhere; nil: only those of the folder.
	Checkpoint []byte
	// Key is the verifier key of the notes, as in VerifyKeyFile, kept elsewhere; empty: that of the folder.
	Key string
}

// Report is what Verify found.
type Report struct {
	Findings []Finding
}

// Finding is one thing that is wrong.
type Finding struct {
	Text string
}

// Verify implements Ledger.
func (s *SQLite) Verify(ctx context.Context, o VerifyOptions) (Report, error) {
	return Report{}, nil
}
