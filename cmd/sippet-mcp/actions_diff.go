package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

func newActionsDiff(p *program) *cobra.Command {
	return &cobra.Command{
		Use:   "diff FILE",
		Short: "Compare the actions with a newer published reference",
		Long: `Compare the actions of this program with a copy of the published reference of
Sippet's org API, saved as text. Each added, removed or changed action, input and
field is a line. The exit code is 1 if there are any.`,
		Example: "  sippet-mcp actions diff reference.txt",
		Args:    oneArg("the file with the reference"),
		RunE:    func(_ *cobra.Command, args []string) error { return runActionsDiff(p, args[0]) },
	}
}

func runActionsDiff(p *program, file string) error {
	page, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading the reference: %w", err)
	}
	theirs, err := schemas.ParseReference(string(page))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	lines := schemas.Diff(schemas.Facts(), theirs)
	for _, l := range lines {
		fmt.Fprintln(p.out, l)
	}
	if len(lines) > 0 {
		return exitCode(1)
	}
	fmt.Fprintf(p.out, "no difference: %d actions\n", len(theirs))
	return nil
}
