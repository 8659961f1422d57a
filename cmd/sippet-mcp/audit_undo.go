package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

func newAuditUndo(p *program) *cobra.Command {
	o := &ledgerOptions{}
	c := &cobra.Command{
		Use:   "undo ID",
		Short: "Propose the call that sets a change back; run nothing",
		Long: `Propose the call that sets a change back to what it replaced, as a command line
to read and run yourself: it goes through the same gate as any other call.
Nothing is run. What others changed since then would be set back too.

ID is an intent's id or the number of one of its records. In a pipe it is one
JSON object with the action, its arguments and the command line.`,
		Example: "  sippet-mcp audit undo 17",
		Args:    oneArg("an intent's id or a record's number; see `sippet-mcp audit list --phase settled`"),
		RunE:    func(c *cobra.Command, args []string) error { return runUndo(c.Context(), p, o, args[0]) },
	}
	o.flags(c)
	return c
}

func runUndo(ctx context.Context, p *program, o *ledgerOptions, id string) error {
	return o.reading(ctx, p, func(l *ledger.SQLite) error {
		m, err := findMatter(ctx, l, id)
		if err != nil {
			return err
		}
		intent, payload, replaced, err := m.change()
		if err != nil {
			return err
		}
		action, args, fault := schemas.Reverse(m.Action, payload, replaced)
		if fault != nil {
			return fmt.Errorf("intent %s: %s; %s", intent, fault.Message, fault.Next)
		}
		line, err := o.undoing(m.Organisation, action, args)
		if err != nil {
			return fmt.Errorf("intent %s: %w", intent, err)
		}
		if !p.outTerminal {
			return writeJSON(p.out, struct {
				Intent    string          `json:"intent"`
				Action    string          `json:"action"`
				Arguments json.RawMessage `json:"arguments"`
				Command   string          `json:"command"`
			}{intent, action, args, line})
		}
		fmt.Fprintf(p.out, "This would set it back. Nothing was run; read it, then run it yourself:\n\n  %s\n\n", line)
		fmt.Fprintln(p.out, "What others changed since then would be set back too.")
		return nil
	})
}

// inMemory is how a simulated organisation is named that ended with its process.
var inMemory = regexp.MustCompile(`^[0-9a-f]{12}$`)

// undoing is the command line as `call` itself would write it, for the organisation where the change was made.
func (o *ledgerOptions) undoing(upstream, action string, args []byte) (string, error) {
	like := connection{sandbox: o.sandbox, stateDir: o.stateDir, upstreamOptions: upstreamOptions{baseURL: rpc.DefaultBaseURL}, policies: []string{"desktop"}, simulated: sandboxOptions{seed: 1, speed: 1}}
	name, simulated := strings.CutPrefix(upstream, "sandbox ")
	host, _, _ := strings.Cut(upstream, " ")
	switch {
	case simulated && inMemory.MatchString(name):
		return "", errors.New("it changed a simulated organisation in memory, which is gone")
	case simulated:
		like.simulated.db = name
	case host != "" && !strings.HasSuffix(rpc.DefaultBaseURL, "://"+host):
		like.baseURL = "https://" + host
		if strings.HasPrefix(host, "127.") || strings.HasPrefix(host, "localhost") || strings.HasPrefix(host, "[::1]") {
			like.baseURL = "http://" + host
		}
	}
	return like.command(action, args, false), nil
}

// change gives what an intent that ran sent and replaced, or why it cannot be set back.
func (m *auditedCall) change() (intent string, payload, replaced json.RawMessage, err error) {
	state := ""
	for _, r := range m.Records {
		switch {
		case r.Phase == ledger.PhasePrepared && r.Private != nil:
			intent, payload, replaced = r.Intent, r.Private.Payload, r.Private.Replaced
		case r.Phase == ledger.PhasePrepared:
			intent, payload, replaced = r.Intent, nil, nil
		}
		if r.Intent != "" && r.Intent == intent && r.State != "" {
			state = r.State
		}
	}
	switch {
	case intent == "":
		err = fmt.Errorf("%s is not about a call that changed something, so there is nothing to set back", m.title())
	case state == string(ledger.Failed) || state == string(ledger.NotSent):
		err = fmt.Errorf("intent %s is %s: it changed nothing", intent, state)
	case state == string(ledger.Unknown):
		err = fmt.Errorf("nobody knows whether intent %s ran: find out, and say so with `sippet-mcp audit resolve`, first", intent)
	case state != string(ledger.Succeeded):
		err = fmt.Errorf("intent %s has not ended yet: it is %s", intent, state)
	case payload == nil && m.Erased != nil:
		err = fmt.Errorf("what intent %s changed can no longer be read: somebody whom it concerns was erased", intent)
	case payload == nil:
		err = fmt.Errorf("what intent %s sent was not kept", intent)
	}
	return
}

func (m *auditedCall) title() string {
	if m.Kind == "record" && len(m.Records) > 0 {
		return fmt.Sprintf("record %d", m.Records[0].Seq)
	}
	return m.Kind + " " + m.ID
}
