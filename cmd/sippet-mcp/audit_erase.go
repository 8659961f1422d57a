package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

type eraseOptions struct {
	ledgerOptions
	yes bool
}

func newAuditErase(p *program) *cobra.Command {
	o := &eraseOptions{}
	c := &cobra.Command{
		Use:   "erase CONTACT...",
		Short: "Make a person's data in the audit log unreadable",
		Long: `Destroy the key that seals a person's data in the audit log. The records stay and
the log still verifies. Their payloads, cards, replaced values and answers can
never be read again. Of a call to several recipients, what belongs to the others
stays: their names and numbers, the action, the count and who approved it.

CONTACT is a contact's id, a phone number with its country code, or an email
address. These are separate subjects: name a person's numbers and addresses too.

Sippet itself keeps the contact, and backups of the state directory still hold
the key. The exit code is 1 if nothing is recorded about one of the subjects.`,
		Example: "  sippet-mcp audit erase c0000000-0000-4000-8000-000000000001 +447700900900",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("give the person to erase: a contact's id, a phone number such as +447700900900, or an email address")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return runErase(c.Context(), p, o, args) },
	}
	o.flags(c)
	c.Flags().BoolVar(&o.yes, "yes", false, "do not ask for confirmation")
	return c
}

// erasedSubject is what erase did, as JSON for each subject.
type erasedSubject struct {
	Subject string `json:"subject"`
	Erased  bool   `json:"erased"`
	Records int    `json:"records"`
	// shared is how many of the records also concern other persons.
	shared int
}

func runErase(ctx context.Context, p *program, o *eraseOptions, contacts []string) error {
	var all []erasedSubject
	for _, contact := range contacts {
		subject, err := schemas.ParseSubject(contact)
		if err != nil {
			return err
		}
		all = append(all, erasedSubject{Subject: subject})
	}
	return o.writing(ctx, p, func(l *ledger.SQLite) error {
		known := false
		for i := range all {
			if err := all[i].countRecords(ctx, l); err != nil {
				return err
			}
			known = known || all[i].Records > 0
		}
		if known && !o.yes {
			if err := confirmErasure(ctx, p, all); err != nil {
				return err
			}
		}
		missing := false
		for i := range all {
			erased, err := l.Erase(ctx, all[i].Subject, operator())
			if err != nil {
				return fmt.Errorf("%s was not erased: %w", all[i].Subject, err)
			}
			all[i].Erased, missing = erased, missing || !erased
			if err := all[i].print(p); err != nil {
				return err
			}
		}
		if missing {
			return exitCode(1)
		}
		return nil
	})
}

func (e *erasedSubject) countRecords(ctx context.Context, l *ledger.SQLite) error {
	records, err := l.Records(ctx, ledger.Filter{Subject: e.Subject})
	for _, r := range records {
		e.Records++
		if len(r.SubjectNames) > 1 {
			e.shared++
		}
	}
	return err
}

func (e *erasedSubject) print(p *program) error {
	subject := schemas.Escape(e.Subject, 100)
	if !e.Erased {
		fmt.Fprintf(p.err, "nothing is recorded about %s, or it is already erased\n", subject)
	}
	if !p.outTerminal {
		return writeJSON(p.out, e)
	}
	if e.Erased {
		fmt.Fprintf(p.out, "%s is erased: its data in %s can never be read again, and the log still verifies\n", subject, count(e.Records, "record"))
	}
	return nil
}

// confirmErasure asks on the terminal. Without a terminal --yes is needed.
func confirmErasure(ctx context.Context, p *program, all []erasedSubject) error {
	tty, err := p.terminal()
	if err != nil {
		return errors.New("erasing cannot be undone and there is no terminal to ask on: add --yes to erase; nothing was erased")
	}
	defer tty.Close()
	if err := tty.Flush(); err != nil {
		return errors.New("earlier input on the terminal could not be discarded; nothing was erased")
	}
	var b strings.Builder
	for _, e := range all {
		shared := ""
		if e.shared > 0 {
			shared = fmt.Sprintf(", %d of them also about others", e.shared)
		}
		fmt.Fprintf(&b, "\n  %s: %s%s", schemas.Escape(e.Subject, 100), count(e.Records, "record"), shared)
	}
	fmt.Fprintf(tty, "\nErase the data in the audit log about:%s\n\nIt can never be read again, and this cannot be undone. The log still verifies.\nBackups of the state directory still hold the key. Sippet itself keeps the contact.\n\nType yes to erase: ", b.String())
	line, err := readLine(ctx, tty)
	if err != nil || !strings.EqualFold(strings.TrimSpace(line), "yes") {
		return errors.New("nothing was erased: the answer was not yes")
	}
	return nil
}
