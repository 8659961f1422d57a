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
		Short: "Give AI assistants controlled access to Sippet",
		Long: `Give AI assistants controlled access to a Sippet organisation: calls, contacts,
campaigns, email. The 52 actions of Sippet's org API are MCP tools. A policy decides
about each call, people approve what it does not allow alone, and an audit log
records what happened.

Try it with a simulated organisation, without a key:

  sippet-mcp http --sandbox

For a live organisation, set SIPPET_SECRET_KEY to its secret key, or name a file that
holds it with --key-file. No flag takes a secret.

The help of a flag names its environment variable, if it has one. The flag wins.`,
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
		newStop(p), newResume(p), newInbox(p), newApprovals(p), newAudit(p), newOrganisations(p), newTokens(p), newPeople(p), newPolicy(p))
	return root
}

// variableAnnotation holds the environment variable that sets a flag.
const variableAnnotation = "sippet-variable"

// bindVariables gives flags an environment variable: SIPPET_ and the flag's name in capitals. They
// are the flags that describe an installation. A flag that makes sense for one command line only,
// such as --note or --yes, has none: set once and forgotten, it would answer for a person.
func bindVariables(c *cobra.Command, names ...string) {
	for _, name := range names {
		bindVariable(c, name, "SIPPET_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_")))
	}
}

// bindVariable gives a flag the environment variable of that name, and adds it to the flag's help.
func bindVariable(c *cobra.Command, name, variable string) {
	if err := c.Flags().SetAnnotation(name, variableAnnotation, []string{variable}); err != nil {
		panic(err) // the flag does not exist
	}
	c.Flag(name).Usage += " [" + variable + "]"
}

// variableOf returns the environment variable of a flag; empty if it has none.
func variableOf(f *pflag.Flag) string {
	if names := f.Annotations[variableAnnotation]; len(names) == 1 {
		return names[0]
	}
	return ""
}

// fromEnvironment sets the flags that the command line does not.
func fromEnvironment(c *cobra.Command, env func(string) string) (err error) {
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		variable := variableOf(f)
		if variable == "" || f.Changed || err != nil {
			return
		}
		if v := env(variable); v != "" {
			if e := c.Flags().Set(f.Name, v); e != nil {
				err = fmt.Errorf("environment variable %s: %w", variable, e)
			}
		}
	})
	return err
}

// setDefault changes the default of a flag that several commands share.
func setDefault(c *cobra.Command, name, value string) {
	f := c.Flag(name)
	_ = f.Value.Set(value)
	f.DefValue = value
}

// oneArg requires exactly one argument; what describes it.
func oneArg(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("give %s", what)
		}
		return nil
	}
}
