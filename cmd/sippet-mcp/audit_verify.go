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
		Short: "Check that nobody changed, cut or forged the audit",
		Long: `Read the whole chain of records, hold it against what the program obeys, and say
what is wrong and where. Exit code:
  0 everything is as it was written
  1 something is not
  2 it could not be checked: no ledger is there, or it cannot be opened or read

Without a checkpoint from elsewhere nobody can see that somebody who holds the
directory with its keys cut the end off, wrote another chain, or put an old
copy back. So copy the files checkpoints and checkpoint.pub to another machine
from time to time, and give them with --checkpoint. What was recorded after
the newest of them is covered by the next copy only.`,
		Example: `  sippet-mcp audit verify
  sippet-mcp audit verify --checkpoint /mnt/elsewhere/checkpoints`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runVerify(c.Context(), p, o) },
	}
	o.flags(c)
	c.Flags().StringVar(&o.checkpoint, "checkpoint", "", "file of checkpoints that was kept elsewhere")
	c.Flags().StringVar(&o.key, "checkpoint-key", "", "the checkpoint.pub that was kept with it (default: beside the file, else the ledger's own)")
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
		fmt.Fprintf(p.err, "sippet-mcp: it could not be checked: %v\n", err)
		return exitCode(2)
	}
	if p.outTerminal {
		o.show(p, r)
	} else if err := writeJSON(p.out, o.report(r)); err != nil {
		return err
	}
	if len(r.Findings) > 0 {
		return exitCode(1)
	}
	return nil
}

// outside reads what was kept elsewhere. With the key of the folder itself it still finds much: whoever wrote another
// chain there with other keys cannot make the old notes fit them.
func (o *verifyOptions) outside() (v ledger.VerifyOptions, err error) {
	if o.checkpoint == "" {
		if o.key != "" {
			return v, errors.New("--checkpoint-key belongs to --checkpoint, which names the file of checkpoints")
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

// report is what verify found, as a pipe gets it. The keys are ledger.Report's.
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

func (o *verifyOptions) show(p *program, r ledger.Report) {
	paint := painter(p)
	for _, f := range r.Findings {
		where := "the whole"
		switch {
		case f.Seq != 0:
			where = fmt.Sprintf("record %d", f.Seq)
		case f.ID != "":
			where = string(f.Kind) + " " + schemas.Escape(f.ID, 40)
		}
		fmt.Fprintf(p.out, "%s %s: %s\n", paint(red, "fault"), where, schemas.Escape(f.Text, 500))
	}
	if len(r.Findings) > 0 {
		fmt.Fprintln(p.out)
	}
	fmt.Fprintf(p.out, "records      %d, the last has hash %s\n", r.Records, r.Hash)
	fmt.Fprintf(p.out, "intents      %d: %d in flight, %d of which nobody knows how they ended\n", r.Intents, r.InFlight, r.Unknown)
	if r.Unsettled > 0 {
		fmt.Fprintf(p.out, "             %d of those in flight nobody will settle: the next sippet-mcp that starts makes them unknown\n", r.Unsettled)
	}
	if r.Checkpoints > 0 {
		fmt.Fprintf(p.out, "checkpoints  %d agree, the last one covers record %d and all before it\n", r.Checkpoints, r.Signed)
	} else {
		fmt.Fprintln(p.out, "checkpoints  none")
	}
	if r.Pruned > 0 {
		fmt.Fprintf(p.out, "removed      the records up to %d, older than the retention; %s of them cannot be checked any more\n", r.Pruned, count(r.Unchecked, "checkpoint"))
	}
	fmt.Fprintf(p.out, "erased       %s of persons\n\n", count(r.Erased, "key"))
	if n := len(r.Findings); n > 0 {
		fmt.Fprintln(p.out, paint(red, count(n, "fault")+": keep a copy of the directory before you do anything else"))
	} else {
		fmt.Fprintln(p.out, paint(green, "Everything is as it was written."))
	}
	if o.checkpoint == "" {
		fmt.Fprintln(p.out, "That somebody who holds the keys cut off the end cannot be seen without a checkpoint kept elsewhere: see --checkpoint.")
	}
}
