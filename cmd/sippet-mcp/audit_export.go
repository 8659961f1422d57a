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
		Short: "Write the chain as it is stored, one JSON object a line",
		Long: `Write the records exactly as they are stored, one line each: what is sealed stays
sealed. The "prev" of a line is the SHA-256, in hex, of the line before without
its line feed, so the chain can be checked with nothing but sha256sum.`,
		Example: `  sippet-mcp audit export --out audit.jsonl
  # the hash of record 1 is the "prev" of record 2:
  sed -n 1p audit.jsonl | tr -d '\n' | sha256sum; sed -n 2p audit.jsonl | jq -r .prev`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runExport(c.Context(), p, o) },
	}
	o.ledgerOptions.flags(c)
	o.period.flags(c)
	c.Flags().StringVar(&o.out, "out", "", "write to this file, which must not exist (default: standard output)")
	return c
}

func runExport(ctx context.Context, p *program, o *exportOptions) error {
	since, until, err := o.times(time.Now())
	if err != nil {
		return err
	}
	f := ledger.Filter{Since: since, Until: until, Limit: exportPage}
	return o.reading(ctx, p, func(l *ledger.SQLite) error {
		if o.out == "" {
			write := func(w io.Writer, line []byte) error { _, err := w.Write(line); return err }
			if p.outTerminal {
				// Nobody hashes what a terminal shows, and it must not obey it.
				write = func(w io.Writer, line []byte) error { _, err := w.Write(visible(line)); return err }
			}
			_, faults, err := export(ctx, l, f, p.out, write)
			o.tell(p, faults)
			return err
		}
		file, err := os.OpenFile(o.out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return fmt.Errorf("writing the export: %w", err)
		}
		n, faults, err := export(ctx, l, f, file, func(w io.Writer, line []byte) error { _, err := w.Write(line); return err })
		if err == nil {
			err = file.Sync()
		}
		if e := file.Close(); err == nil {
			err = e
		}
		if err != nil {
			return fmt.Errorf("the export %s is not complete: %w", o.out, err)
		}
		fmt.Fprintf(p.err, "%d records written to %s\n", n, o.out)
		o.tell(p, faults)
		return nil
	})
}

// exportPage is how many records are in memory at once.
const exportPage = 1000

// maxFaults is how many records that cannot be relied on are named one by one.
const maxFaults = 10

// tell says which lines are not as the ledger wrote them: they are written all the same, being evidence.
func (o *exportOptions) tell(p *program, faults []string) {
	for _, f := range faults[:min(len(faults), maxFaults)] {
		fmt.Fprintf(p.err, "sippet-mcp: %s\n", f)
	}
	if len(faults) > 0 {
		fmt.Fprintf(p.err, "sippet-mcp: %s not as the ledger wrote them, written as they are; `sippet-mcp audit verify%s` finds all that is wrong\n", count(len(faults), "record"), o.same())
	}
}

func export(ctx context.Context, l *ledger.SQLite, f ledger.Filter, to io.Writer, write func(io.Writer, []byte) error) (n int, faults []string, err error) {
	w := bufio.NewWriter(to)
	for {
		all, err := l.Records(ctx, f)
		for _, r := range all {
			if err := write(w, append(r.Line, '\n')); err != nil {
				return n, faults, err
			}
			if r.Fault != "" {
				faults = append(faults, fmt.Sprintf("record %d: %s", r.Seq, schemas.Escape(r.Fault, 200)))
			}
			f.After = r.Seq
			n++
		}
		if err != nil || len(all) < exportPage {
			if e := w.Flush(); err == nil {
				err = e
			}
			return n, faults, err
		}
	}
}
