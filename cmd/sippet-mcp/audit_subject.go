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

func newAuditSubject(p *program) *cobra.Command {
	o := &ledgerOptions{}
	c := &cobra.Command{
		Use:   "subject CONTACT",
		Short: "List what was read and changed of one person",
		Long: `List what was read and changed of one person, oldest first. CONTACT is a
contact's id, a phone number with its country code, or an email address. These
are three subjects: a call to a number is found by the number, unless it was
known whose it is. Of somebody who was erased nothing is found.`,
		Example: `  sippet-mcp audit subject c0000000-0000-4000-8000-000000000001
  sippet-mcp audit subject +447700900900`,
		Args: oneArg("a contact's id, a phone number such as +447700900900, or an email address"),
		RunE: func(c *cobra.Command, args []string) error { return runSubject(c.Context(), p, o, args[0]) },
	}
	o.flags(c)
	return c
}

func runSubject(ctx context.Context, p *program, o *ledgerOptions, contact string) error {
	subject, err := schemas.ParseSubject(contact)
	if err != nil {
		return err
	}
	return o.reading(ctx, p, func(l *ledger.SQLite) error {
		all, err := l.Records(ctx, ledger.Filter{Subject: subject})
		if err != nil {
			return err
		}
		if len(all) == 0 && p.outTerminal {
			fmt.Fprintf(p.out, "nothing is recorded of %s: it was never touched, or was erased\n", schemas.Escape(subject, 100))
		}
		return shower(p)(all)
	})
}

type eraseOptions struct {
	ledgerOptions
	yes bool
}

func newAuditErase(p *program) *cobra.Command {
	o := &eraseOptions{}
	c := &cobra.Command{
		Use:   "erase CONTACT...",
		Short: "Make what the audit holds of a person unreadable, for good",
		Long: `Destroy the key under which the audit holds what it knows of a person. The
records stay and still verify, but payload, card, what was replaced and what
Sippet answered can never be read again, also where others were concerned too.

CONTACT is a contact's id, a phone number with its country code, or an email
address: a person's numbers and addresses are subjects of their own, so name
them too.
Nothing is erased in Sippet itself, nor in backups of the state directory,
which still hold the key. Exit code 1 where nothing is recorded of one of them.`,
		Example: "  sippet-mcp audit erase c0000000-0000-4000-8000-000000000001 +447700900900",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("name whom to erase: a contact's id, a phone number such as +447700900900, or an email address")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return runErase(c.Context(), p, o, args) },
	}
	o.flags(c)
	c.Flags().BoolVar(&o.yes, "yes", false, "do not ask")
	return c
}

type erasing struct {
	Subject string `json:"subject"`
	Erased  bool   `json:"erased"`
	Records int    `json:"records"`
	shared  int
}

func runErase(ctx context.Context, p *program, o *eraseOptions, contacts []string) error {
	var all []erasing
	for _, c := range contacts {
		s, err := schemas.ParseSubject(c)
		if err != nil {
			return err
		}
		all = append(all, erasing{Subject: s})
	}
	return o.with(ctx, p, func(l *ledger.SQLite) error {
		known := 0
		for i := range all {
			records, err := l.Records(ctx, ledger.Filter{Subject: all[i].Subject})
			if err != nil {
				return err
			}
			all[i].Records = len(records)
			for _, r := range records {
				if len(r.SubjectNames) > 1 {
					all[i].shared++
				}
			}
			if len(records) > 0 {
				known++
			}
		}
		if known > 0 && !o.yes {
			if err := agreeToErase(ctx, p, all); err != nil {
				return err
			}
		}
		missing := false
		for i := range all {
			was, err := l.Erase(ctx, all[i].Subject, operator())
			if err != nil {
				return fmt.Errorf("%s is not erased: %w", all[i].Subject, err)
			}
			all[i].Erased, missing = was, missing || !was
			if err := all[i].show(p); err != nil {
				return err
			}
		}
		if missing {
			return exitCode(1)
		}
		return nil
	})
}

func (e *erasing) show(p *program) error {
	subject := schemas.Escape(e.Subject, 100)
	if !e.Erased {
		fmt.Fprintf(p.err, "nothing is recorded of %s: it was never touched, or is erased already\n", subject)
	}
	if !p.outTerminal {
		return writeJSON(p.out, e)
	}
	if e.Erased {
		fmt.Fprintf(p.out, "%s is erased: what %s held of it can never be read again, and the chain still verifies\n", subject, count(e.Records, "record"))
	}
	return nil
}

// agreeToErase asks on the terminal. Whoever has none says --yes.
func agreeToErase(ctx context.Context, p *program, all []erasing) error {
	tty, err := p.terminal()
	if err != nil {
		return errors.New("erasing cannot be undone and there is no terminal to ask on: add --yes to do it, nothing is erased")
	}
	defer tty.Close()
	if err := tty.Flush(); err != nil {
		return errors.New("what was typed before could not be told from an answer, nothing is erased")
	}
	var b strings.Builder
	for _, e := range all {
		others := ""
		if e.shared > 0 {
			others = fmt.Sprintf(", %d of them also about others", e.shared)
		}
		fmt.Fprintf(&b, "\n  %s: %s%s", schemas.Escape(e.Subject, 100), count(e.Records, "record"), others)
	}
	fmt.Fprintf(tty, "\nErase what the audit holds of:%s\n\nNobody can read it again, and nobody can undo this. The chain still verifies.\nBackups of the state directory still hold the key. Sippet itself keeps the contact.\n\nType yes to do this: ", b.String())
	line, err := readLine(ctx, tty)
	if err != nil || !strings.EqualFold(strings.TrimSpace(line), "yes") {
		return errors.New("nothing is erased: the answer was not yes")
	}
	return nil
}
