package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc"
)

func newAuditUndo(p *program) *cobra.Command {
	o := &ledgerOptions{}
	c := &cobra.Command{
		Use:   "undo ID",
		Short: "Print the command that reverses a change; run nothing",
		Long: `Print the command that restores what a change replaced. Nothing is run: read the
command, then run it yourself. It goes through policy and approval like any
other call. Later changes by others are lost if you run it.

ID is the id of an intent, or the number of one of its records. A pipe gets one
JSON object: the intent, the action, its arguments and the command.`,
		Example: "  sippet-mcp audit undo 1",
		Args:    oneArg("the id of an intent or a record's number; see `sippet-mcp audit list --phase settled`"),
		RunE:    func(c *cobra.Command, args []string) error { return runUndo(c.Context(), p, o, args[0]) },
	}
	o.flags(c)
	return c
}

func runUndo(ctx context.Context, p *program, o *ledgerOptions, id string) error {
	return o.reading(ctx, p, func(l *ledger.SQLite) error {
		call, err := findCall(ctx, l, id)
		if err != nil {
			return err
		}
		undo, err := call.Undo()
		if err != nil {
			return err
		}
		command, err := o.undoCommand(call.Organisation, undo)
		if err != nil {
			return err
		}
		if !p.outTerminal {
			return writeJSON(p.out, struct {
				*ledger.Undo
				Command string `json:"command"`
			}{undo, command})
		}
		fmt.Fprintf(p.out, "This command restores what was there before. It has not been run:\n\n  %s\n\n", command)
		fmt.Fprintln(p.out, "Later changes by others are lost if you run it.")
		return nil
	})
}

// endedSandbox matches the name of a sandbox that was kept in memory, which ends with its process.
var endedSandbox = regexp.MustCompile(`^[0-9a-f]{12}$`)

// undoCommand returns the `call` command that runs an undo in the organisation of the earlier call.
func (o *ledgerOptions) undoCommand(organisation string, undo *ledger.Undo) (string, error) {
	like := connection{sandbox: o.sandbox, stateDir: o.stateDir, upstreamOptions: upstreamOptions{baseURL: rpc.DefaultBaseURL}, policies: []string{"desktop"}, simulated: sandboxOptions{seed: 1, speed: 1}}
	name, simulated := strings.CutPrefix(organisation, "sandbox ")
	host, _, _ := strings.Cut(organisation, " ")
	switch {
	case simulated && endedSandbox.MatchString(name):
		return "", fmt.Errorf("intent %s changed a sandbox in memory, which no longer exists", undo.Intent)
	case simulated:
		like.simulated.db = name
	case host != "" && !strings.HasSuffix(rpc.DefaultBaseURL, "://"+host):
		like.baseURL = "https://" + host
		if strings.HasPrefix(host, "127.") || strings.HasPrefix(host, "localhost") || strings.HasPrefix(host, "[::1]") {
			like.baseURL = "http://" + host
		}
	}
	return like.command(undo.Action, undo.Arguments, false), nil
}
