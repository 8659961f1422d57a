package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

type exportOptions struct {
	ledgerOptions
	period
	out string
}

func newAuditExport(p *program) *cobra.Command {
	o := &exportOptions{}
	c := &cobra.Command{
		Use:   "export",
		Short: "Write the audit log as it is stored",
		Long: `Write the records exactly as they are stored, one JSON object per line. Sealed
parts stay sealed.

The "prev" of a line is the SHA-256, in hex, of the line before it without its
line feed. So sha256sum is enough to check the hash chain:
  sed -n 1p audit.jsonl | tr -d '\n' | sha256sum
  sed -n 2p audit.jsonl | jq -r .prev`,
		Example: "  sippet-mcp audit export --out audit.jsonl",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runExport(c.Context(), p, o) },
	}
	o.ledgerOptions.flags(c)
	o.period.flags(c)
	c.Flags().StringVar(&o.out, "out", "", "write to this new file (default: standard output)")
	return c
}

func runExport(ctx context.Context, p *program, o *exportOptions) error {
	since, until, err := o.times(time.Now())
	if err != nil {
		return err
	}
	f := ledger.Filter{Since: since, Until: until, Limit: exportPage}
	return o.reading(ctx, p, func(l *ledger.SQLite) error {
		if o.out != "" {
			return o.exportFile(ctx, p, l, f)
		}
		// A terminal would obey control characters. Nobody hashes what it shows.
		_, faults, err := export(ctx, l, f, p.out, p.outTerminal)
		o.printFaults(p, faults)
		return err
	})
}

func (o *exportOptions) exportFile(ctx context.Context, p *program, l *ledger.SQLite, f ledger.Filter) error {
	file, err := os.OpenFile(o.out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("creating the export: %w", err)
	}
	n, faults, err := export(ctx, l, f, file, false)
	if err == nil {
		err = file.Sync()
	}
	if e := file.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("the export %s is incomplete: %w", o.out, err)
	}
	fmt.Fprintf(p.err, "%s written to %s\n", count(n, "record"), o.out)
	o.printFaults(p, faults)
	return nil
}

// maxFaults is how many invalid records are named one by one.
const maxFaults = 10

// printFaults names the invalid records of an export. They are exported too, as evidence.
func (o *exportOptions) printFaults(p *program, faults []string) {
	for _, f := range faults[:min(len(faults), maxFaults)] {
		fmt.Fprintf(p.err, "sippet-mcp: %s\n", f)
	}
	if len(faults) > 0 {
		fmt.Fprintf(p.err, "sippet-mcp: %s exported as stored; `sippet-mcp audit verify%s` reports every fault\n", count(len(faults), "invalid record"), o.same())
	}
}

// exportPage is how many records are held in memory at once.
const exportPage = 1000

// export writes the lines of all records that f selects. It returns how many, and what is wrong
// with the invalid ones. With escape it writes control characters as escapes.
func export(ctx context.Context, l *ledger.SQLite, f ledger.Filter, to io.Writer, escape bool) (n int, faults []string, err error) {
	w := bufio.NewWriter(to)
	for {
		page, err := l.Records(ctx, f)
		for _, r := range page {
			line := append(r.Line, '\n')
			if escape {
				line = visible(line)
			}
			if _, err := w.Write(line); err != nil {
				return n, faults, err
			}
			if r.Fault != "" {
				faults = append(faults, fmt.Sprintf("record %d: %s", r.Seq, schemas.Escape(r.Fault, 200)))
			}
			f.After = r.Seq
			n++
		}
		if err != nil || len(page) < exportPage {
			if e := w.Flush(); err == nil {
				err = e
			}
			return n, faults, err
		}
	}
}
