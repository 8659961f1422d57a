package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

type verifyOptions struct {
	ledgerOptions
	checkpoint, key string
}

func newAuditVerify(p *program) *cobra.Command {
	o := &verifyOptions{}
	c := &cobra.Command{
		Use:   "verify",
		Short: "Check that the audit log is complete and unchanged",
		Long: `Read the whole audit log, compare it with the ledger's tables, and report every
fault with its record. Exit codes:
  0 no faults
  1 faults were found
  2 the log could not be verified: there is no ledger, or it cannot be read

Somebody who holds the state directory with its keys can cut off the end of the
log, write another log, or restore an old copy. Only a checkpoint that was kept
elsewhere shows that. So copy the files checkpoints and checkpoint.pub to another
machine regularly, and pass them with --checkpoint. Each copy covers the records
up to its newest checkpoint.`,
		Example: "  sippet-mcp audit verify",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runVerify(c.Context(), p, o) },
	}
	o.flags(c)
	c.Flags().StringVar(&o.checkpoint, "checkpoint", "", "a file of checkpoints that was kept elsewhere")
	c.Flags().StringVar(&o.key, "checkpoint-key", "", "its checkpoint.pub (default: the one beside it, else the ledger's own)")
	bindVariables(c, "checkpoint", "checkpoint-key")
	return c
}

func runVerify(ctx context.Context, p *program, o *verifyOptions) error {
	var r ledger.Report
	against, err := o.outside()
	if err == nil {
		err = o.reading(ctx, p, func(l *ledger.SQLite) (err error) {
			r, err = l.Verify(ctx, against)
			return err
		})
	}
	if err != nil {
		fmt.Fprintf(p.err, "sippet-mcp: the audit log could not be verified: %v\n", err)
		return exitCode(2)
	}
	if p.outTerminal {
		o.print(p, r)
	} else if err := writeJSON(p.out, o.report(r)); err != nil {
		return err
	}
	if len(r.Findings) > 0 {
		return exitCode(1)
	}
	return nil
}

// outside reads the checkpoints that were kept elsewhere. Without their key the ledger's own is
// used, which still detects a log that was written with other keys.
func (o *verifyOptions) outside() (v ledger.VerifyOptions, err error) {
	if o.checkpoint == "" {
		if o.key != "" {
			return v, errors.New("--checkpoint-key needs --checkpoint, the file of checkpoints")
		}
		return v, nil
	}
	if v.Checkpoint, err = os.ReadFile(o.checkpoint); err != nil {
		return v, fmt.Errorf("reading the checkpoints: %w", err)
	}
	beside := o.key == ""
	if beside {
		o.key = filepath.Join(filepath.Dir(o.checkpoint), ledger.VerifyKeyFile)
	}
	raw, err := os.ReadFile(o.key)
	if beside && errors.Is(err, fs.ErrNotExist) {
		return v, nil
	}
	if err != nil {
		return v, fmt.Errorf("reading the checkpoints' key: %w", err)
	}
	v.Key = string(raw)
	return v, nil
}

type fault struct {
	Kind   ledger.FindingKind `json:"kind"`
	Record int64              `json:"record,omitempty"`
	ID     string             `json:"id,omitempty"`
	Text   string             `json:"text"`
}

// report is a ledger.Report as JSON.
type report struct {
	OK          bool    `json:"ok"`
	Records     int64   `json:"records"`
	Hash        string  `json:"hash"`
	Intents     int     `json:"intents"`
	InFlight    int     `json:"inFlight"`
	Unknown     int     `json:"unknown"`
	Unsettled   int     `json:"unsettled,omitempty"`
	Checkpoints int     `json:"checkpoints"`
	Signed      int64   `json:"signed"`
	Unchecked   int     `json:"unchecked,omitempty"`
	Pruned      int64   `json:"pruned,omitempty"`
	Outside     bool    `json:"outside"`
	Erased      int     `json:"erased"`
	Faults      []fault `json:"faults"`
}

func (o *verifyOptions) report(r ledger.Report) report {
	all := make([]fault, 0, len(r.Findings))
	for _, f := range r.Findings {
		all = append(all, fault{f.Kind, f.Seq, f.ID, f.Text})
	}
	return report{OK: len(all) == 0, Records: r.Records, Hash: r.Hash, Intents: r.Intents, InFlight: r.InFlight, Unknown: r.Unknown, Unsettled: r.Unsettled,
		Checkpoints: r.Checkpoints, Signed: r.Signed, Unchecked: r.Unchecked, Pruned: r.Pruned, Outside: o.checkpoint != "", Erased: r.Erased, Faults: all}
}

func (o *verifyOptions) print(p *program, r ledger.Report) {
	paint := painter(p)
	for _, f := range r.Findings {
		about := "audit log"
		switch {
		case f.Seq != 0:
			about = fmt.Sprintf("record %d", f.Seq)
		case f.ID != "":
			about = string(f.Kind) + " " + schemas.Escape(f.ID, 40)
		}
		fmt.Fprintf(p.out, "%s %s: %s\n", paint(red, "fault"), about, schemas.Escape(f.Text, 500))
	}
	if len(r.Findings) > 0 {
		fmt.Fprintln(p.out)
	}
	fmt.Fprintf(p.out, "records      %d, the last with hash %s\n", r.Records, r.Hash)
	fmt.Fprintf(p.out, "intents      %d: %d in flight, %d with an unknown outcome\n", r.Intents, r.InFlight, r.Unknown)
	if r.Unsettled > 0 {
		fmt.Fprintf(p.out, "             %d in flight belong to ended processes: the next sippet-mcp that starts marks them unknown\n", r.Unsettled)
	}
	if r.Checkpoints > 0 {
		fmt.Fprintf(p.out, "checkpoints  %d match, the last one covers the log up to record %d\n", r.Checkpoints, r.Signed)
	} else {
		fmt.Fprintln(p.out, "checkpoints  none")
	}
	if r.Pruned > 0 {
		fmt.Fprintf(p.out, "pruned       the log up to record %d, older than the retention; %s can no longer be checked\n", r.Pruned, count(r.Unchecked, "checkpoint"))
	}
	fmt.Fprintf(p.out, "erased       %s\n\n", count(r.Erased, "personal key"))
	if n := len(r.Findings); n > 0 {
		fmt.Fprintln(p.out, paint(red, count(n, "fault")+": copy the state directory before you do anything else"))
	} else {
		fmt.Fprintln(p.out, paint(green, "No faults: the audit log is as it was written."))
	}
	if o.checkpoint == "" {
		fmt.Fprintln(p.out, "A log that was cut off by somebody with its keys passes too, unless a checkpoint was kept elsewhere: see --checkpoint.")
	}
}
