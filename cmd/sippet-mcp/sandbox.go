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

// sandboxOptions say which simulated organisation to open.
type sandboxOptions struct {
	db    string
	seed  uint64
	speed float64
	scale int
}

func (o *sandboxOptions) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.db, "sandbox-db", "", "keep the simulated organisation in this file; a bare name goes into the state directory")
	f.Uint64Var(&o.seed, "sandbox-seed", 1, "which organisation, and which course of events: the same number, the same ids")
	f.Float64Var(&o.speed, "sandbox-speed", 1, "how many times as fast as real time its clock runs")
	f.IntVar(&o.scale, "sandbox-scale", 0, "add so many contacts and so many past calls")
}

// changed reports whether anything but the usual organisation is asked for.
func (o *sandboxOptions) changed() bool { return *o != sandboxOptions{seed: 1, speed: 1} }

// organisation tells simulated organisations apart, as the ledger needs it: one in memory is another one each time.
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
		dir, err := makeState(stateDir)
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
		return nil, fmt.Errorf("opening the sandbox: %w", err)
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
		Use:   "sandbox",
		Short: "Run the simulated organisation by itself",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	o := &sandboxServeOptions{}
	kinds := make([]string, 0, len(sandbox.FaultKinds))
	for _, k := range sandbox.FaultKinds {
		kinds = append(kinds, string(k))
	}
	s := &cobra.Command{
		Use:   "serve",
		Short: "Serve the simulated organisation as Sippet's API is served",
		Long: `Serve the simulated organisation on this machine, at the two endpoints of Sippet's
org API, for programs that speak to Sippet. Any x-api-key is taken, but for those
that docs/sandbox.md names, which are refused on purpose.

A fault makes requests go wrong on purpose, [ENDPOINT:]ACTION=KIND[@PROBABILITY]:

  sippet-mcp sandbox serve --fault 'run:start_outbound_call=timeout-after-commit'

ENDPOINT is run or validate, ACTION an action or *, KIND one of
  ` + strings.Join(kinds, ", "),
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runSandbox(c.Context(), p, o) },
	}
	f := s.Flags()
	f.StringVar(&o.addr, "addr", "127.0.0.1:8799", "address to listen on, on this machine")
	f.StringArrayVar(&o.faults, "fault", nil, "a fault, as above; may be given more than once")
	o.sandboxOptions.flags(s)
	f.StringVar(&o.stateDir, "state-dir", "", stateDirHelp)
	f.StringVar(&o.logLevel, "log-level", "info", logLevelHelp)
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
