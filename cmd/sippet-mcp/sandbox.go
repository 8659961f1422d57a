package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/internal/sandbox"
	"github.com/sippet-ai/sippet-mcp/internal/serve"
)

// sandboxOptions are the flags that say which simulated organisation to open.
type sandboxOptions struct {
	db    string
	seed  uint64
	speed float64
	scale int
}

func (o *sandboxOptions) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.db, "sandbox-db", "", "store the organisation in this file; a bare name is a file in the state directory (default: in memory)")
	f.Uint64Var(&o.seed, "sandbox-seed", 1, "number that determines the organisation, the course of events and all ids")
	f.Float64Var(&o.speed, "sandbox-speed", 1, "speed of the organisation's clock; 60 runs an hour in a minute")
	f.IntVar(&o.scale, "sandbox-scale", 0, "number of contacts, and of past calls, to add to a new organisation")
	bindVariables(c, "sandbox-db", "sandbox-seed", "sandbox-speed", "sandbox-scale")
}

// changed reports whether any flag differs from its default.
func (o *sandboxOptions) changed() bool { return *o != sandboxOptions{seed: 1, speed: 1} }

// organisation returns the name under which the ledger knows the organisation. Each organisation in
// memory has another name.
func (o *sandboxOptions) organisation() string {
	switch o.db {
	case "":
		return "sandbox " + ledger.NewID()[:12]
	case filepath.Base(o.db):
		return "sandbox " + o.db
	}
	return "sandbox " + absolute(o.db)
}

func (o *sandboxOptions) open(stateDir string, faults []sandbox.Fault, log *slog.Logger) (*sandbox.Sandbox, error) {
	if o.speed <= 0 {
		return nil, errors.New("--sandbox-speed must be more than 0")
	}
	if o.scale < 0 {
		return nil, errors.New("--sandbox-scale must not be negative")
	}
	path := o.db
	if path != "" && filepath.Base(path) == path {
		dir, err := makeStateDir(stateDir)
		if err != nil {
			return nil, err
		}
		path = filepath.Join(dir, path)
	}
	options := sandbox.Options{Path: path, Seed: o.seed, Scale: o.scale, Faults: faults, Log: log}
	if o.speed != 1 {
		options.Now = sandbox.NewClock(time.Now(), o.speed).Now
	}
	s, err := sandbox.New(options)
	if err != nil {
		return nil, fmt.Errorf("open sandbox: %w", err)
	}
	return s, nil
}

type sandboxServeOptions struct {
	sandboxOptions
	addr     string
	faults   []string
	stateDir string
	logLevel string
}

func newSandbox(p *program) *cobra.Command {
	c := &cobra.Command{
		Use:     "sandbox",
		Short:   "Run a simulated Sippet organisation",
		Example: "  sippet-mcp sandbox serve",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	o := &sandboxServeOptions{}
	kinds := make([]string, 0, len(sandbox.FaultKinds))
	for _, k := range sandbox.FaultKinds {
		kinds = append(kinds, string(k))
	}
	s := &cobra.Command{
		Use:   "serve",
		Short: "Serve a simulated organisation over Sippet's org API",
		Long: `Serve a simulated organisation on this machine, to test programs that call Sippet's
org API. Use its address as their base URL, and any x-api-key.

Some numbers, email addresses and keys have a fixed outcome, to test how a program
handles it: a busy number, an email that bounces, a revoked key. docs/sandbox.md
lists these test numbers, test addresses and test keys.

A fault makes requests fail. Write it as [ENDPOINT:]ACTION=KIND[@PROBABILITY].
ENDPOINT is run or validate, ACTION an action or *, and KIND one of:
  ` + strings.Join(kinds[:5], ", ") + `,
  ` + strings.Join(kinds[5:], ", "),
		Example: `  sippet-mcp sandbox serve --fault 'run:start_outbound_call=timeout-after-commit'`,
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runSandbox(c.Context(), p, o) },
	}
	f := s.Flags()
	f.StringVar(&o.addr, "addr", "127.0.0.1:8799", "loopback address to listen on")
	f.StringArrayVar(&o.faults, "fault", nil, "make requests fail, as above; can be repeated")
	bindVariable(s, "addr", "SIPPET_SANDBOX_ADDR")
	bindVariable(s, "fault", "SIPPET_SANDBOX_FAULT")
	o.sandboxOptions.flags(s)
	stateDirFlag(s, &o.stateDir)
	logLevelFlag(s, &o.logLevel)
	c.AddCommand(s)
	return c
}

func runSandbox(ctx context.Context, p *program, o *sandboxServeOptions) error {
	log, err := newLogger(p, o.logLevel)
	if err != nil {
		return err
	}
	var faults []sandbox.Fault
	for _, s := range o.faults {
		f, err := sandbox.ParseFault(s)
		if err != nil {
			return err
		}
		faults = append(faults, f)
	}
	ln, err := serve.Listen(o.addr)
	if err != nil {
		return err
	}
	defer ln.Close()
	s, err := o.open(o.stateDir, faults, log)
	if err != nil {
		return err
	}
	defer s.Close()
	fmt.Fprintf(p.out, `Serving a simulated organisation at http://%[1]s (stop with Ctrl-C)

  curl -X POST http://%[1]s/rpc/public/run -H "content-type: application/json" -H "x-api-key: anything" \
    -d '{"action":"list_contacts","fields":["id","fullName"],"page":{"limit":20}}'
`, ln.Addr())
	return s.ServeOn(ctx, ln)
}
