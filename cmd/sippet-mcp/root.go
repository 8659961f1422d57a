package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newRoot(p *program) *cobra.Command {
	root := &cobra.Command{
		Use:   "sippet-mcp",
		Short: "Let an AI work in a Sippet organisation without trusting it with it",
		Long: `Sippet-mcp gives an AI the 52 public actions of Sippet's org API as MCP tools.
Every call goes through one gate: checked, decided by a policy, validated by
Sippet, and where it reaches people or cannot be undone, confirmed by a person:
in their client, or on a page of this program's own, the inbox.

Try it without a key:

  sippet-mcp http --sandbox        serve a simulated organisation on 127.0.0.1:8765
  sippet-mcp call list_calls --sandbox

Live, put the organisation's secret key into SIPPET_SECRET_KEY or a file
(--key-file). A secret is never taken from a flag. Every flag can also be set
by the environment variable that its help names.`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		Version:           version(),
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		PersistentPreRunE: func(c *cobra.Command, _ []string) error { return fromEnvironment(c, p.env) },
	}
	root.SetOut(p.out)
	root.SetErr(p.err)
	root.SetIn(p.in)
	root.AddCommand(newStdio(p), newHTTP(p), newCall(p), newActions(p), newSandbox(p),
		newStop(p), newResume(p), newInbox(p), newApprovals(p), newAudit(p), newTokens(p), newPeople(p), newPolicy(p))
	eachCommand(root, nameVariables)
	return root
}

func eachCommand(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, sub := range c.Commands() {
		eachCommand(sub, f)
	}
}

func eachFlag(c *cobra.Command, f func(*pflag.Flag, string)) {
	c.LocalFlags().VisitAll(func(flag *pflag.Flag) {
		name := flag.Name
		// What spares a person a question is not to be set once and forgotten.
		if name == "help" || name == "version" || name == "yes" || name == "again" {
			return
		}
		// Where the sandbox is served and where MCP is are two things.
		if c.HasParent() && c.Parent().Name() == "sandbox" && (name == "addr" || name == "fault") {
			name = "sandbox-" + name
		}
		// What a token is like has nothing to do with what a server that runs here is like.
		if c.HasParent() && c.Parent().Name() == "tokens" && name != "state-dir" && name != "sandbox" && name != "keychain" {
			name = "token-" + name
		}
		f(flag, "SIPPET_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_")))
	})
}

// nameVariables writes into each flag's help which environment variable sets it.
func nameVariables(c *cobra.Command) {
	eachFlag(c, func(f *pflag.Flag, variable string) { f.Usage += " [" + variable + "]" })
}

// fromEnvironment sets the flags that the command line does not.
func fromEnvironment(c *cobra.Command, env func(string) string) (err error) {
	eachFlag(c, func(f *pflag.Flag, variable string) {
		if v := env(variable); v != "" && !f.Changed && err == nil {
			if e := c.Flags().Set(f.Name, v); e != nil {
				err = fmt.Errorf("environment variable %s: %w", variable, e)
			}
		}
	})
	return err
}
