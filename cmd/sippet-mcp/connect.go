package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/schemas"
	"github.com/sippet-ai/sippet-mcp/tools"
)

// connection is how a command reaches an organisation, and under which policy.
type connection struct {
	sandbox   bool
	simulated sandboxOptions
	upstreamOptions
	stateDir string
	keep     keeping
	policies []string
	named    []string // for callers with tokens; empty: policies
	shadow   string
	wait     time.Duration
	approval time.Duration // how long a call waits for the inbox
	// noBrowser prints where a question waits, and opens nothing.
	noBrowser bool
	rows      int
	bytes     int
	logLevel  string
}

const (
	stateDirHelp = "directory for what the program keeps (default: sippet-mcp in the user's configuration directory)"
	logLevelHelp = "debug, info, warn or error"
)

func (o *connection) flags(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&o.sandbox, "sandbox", false, "use a simulated organisation inside this program; needs no key")
	o.simulated.flags(c)
	o.upstreamOptions.flags(c)
	f.StringVar(&o.stateDir, "state-dir", "", stateDirHelp)
	policyFlag(c, &o.policies)
	f.StringVar(&o.shadow, "shadow", "", "policy file that decides nothing: what it would have done is in the audit")
	f.DurationVar(&o.wait, "ask-timeout", 2*time.Minute, "how long a question that a client or terminal puts to its person stays open")
	f.DurationVar(&o.approval, "approval-wait", tools.DefaultWait, "how long a call waits for an answer in the inbox before it says that it is pending")
	f.BoolVar(&o.noBrowser, "no-browser", false, "print where a question waits, and do not open the browser")
	f.IntVar(&o.rows, "max-rows", tools.DefaultRows, "most rows of one answer")
	f.IntVar(&o.bytes, "max-bytes", tools.DefaultBytes, "most bytes of one answer")
	f.StringVar(&o.logLevel, "log-level", "info", logLevelHelp)
}

// policyFlag says by which policies a command decides.
func policyFlag(c *cobra.Command, names *[]string) {
	c.Flags().StringSliceVar(names, "policy", []string{"desktop"}, "policies, the strictest wins: "+strings.Join(rules.Profiles, ", ")+", or files; repeat it or separate by commas")
}

// newLogger writes to stderr: coloured lines for a person, JSON for a program.
func newLogger(p *program, name string) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return nil, fmt.Errorf("unknown log level %q, valid: debug, info, warn, error", name)
	}
	if p.errTerminal {
		return slog.New(tint.NewTextHandler(p.err, &tint.Options{Level: level, TimeFormat: time.TimeOnly, ReplaceAttr: harmless})), nil
	}
	return slog.New(slog.NewJSONHandler(p.err, &slog.HandlerOptions{Level: level})), nil
}

// harmless escapes what a terminal would obey: a log line may quote what came from outside.
func harmless(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(schemas.Escape(v.String(), maxLogged))
	case slog.KindAny:
		if err, ok := v.Any().(error); ok {
			a.Value = slog.StringValue(schemas.Escape(err.Error(), maxLogged))
		}
	}
	return a
}

const maxLogged = 2000 // characters

// connected is an open connection.
type connected struct {
	runner *tools.Runner
	// runnerFor makes the runner over the organisation whose key the file holds, once.
	runnerFor func(keyFile string) (*tools.Runner, error)
	book      *policy.PolicySet
	host      *inboxHost
	// gates gives those of all organisations that are in use.
	gates func() []*policy.Gate
	log   *slog.Logger
	close func()
}

func (o *connection) check() error {
	switch {
	case o.rows < 1 || o.bytes < 1000:
		return errors.New("--max-rows must be at least 1 and --max-bytes at least 1000")
	case o.keep.retention != 0 && o.keep.retention < 24*time.Hour:
		return errors.New("--retention must be at least 24h: what is removed from the audit is gone")
	case o.wait < time.Second:
		return errors.New("--ask-timeout must be at least 1s, or nobody can answer")
	case o.approval < 0 || o.approval > 10*time.Minute:
		return errors.New("--approval-wait must be at most 10m: clients give up on a call long before")
	case o.simulated.changed() && !o.sandbox:
		return errors.New("--sandbox-db, -seed, -speed and -scale need --sandbox")
	}
	return nil
}

// open makes the runner over a live organisation or the sandbox.
func (o *connection) open(ctx context.Context, p *program, log *slog.Logger) (*connected, error) {
	book, err := policy.LoadPolicySet(o.policies, o.named, o.shadow)
	if err != nil {
		return nil, err
	}
	for _, note := range book.Own().ExpiredExemptions() {
		log.Warn("the policy", "note", note)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	shut := func() {}
	var client *rpc.Client
	if o.sandbox {
		client, shut, err = o.openSandbox(ctx, log)
	} else {
		client, err = o.client(p, log)
	}
	if err != nil {
		return nil, err
	}
	store, err := openLedger(ctx, o.stateDir, o.sandbox, o.keep, log)
	if err != nil {
		client.Close()
		shut()
		return nil, err
	}
	shutAll := func() {
		client.Close()
		shut()
		if err := store.Close(); err != nil {
			log.Warn("closing the ledger; what was recorded is safe", "cause", err)
		}
	}
	organisation := client.Organisation()
	if o.sandbox {
		organisation = o.simulated.organisation()
	}
	host, err := o.newInboxHost(p, store, log)
	if err != nil {
		shutAll()
		return nil, err
	}
	runner := func(client *rpc.Client, organisation string) *tools.Runner {
		gate := &policy.Gate{Policy: book, Upstream: client, Ledger: store, Organisation: organisation,
			Inbox: true, Wait: o.wait, Now: time.Now, Log: log, Simulated: o.sandbox}
		return &tools.Runner{Gate: gate, Rows: o.rows, Bytes: o.bytes, Simulated: o.sandbox, Command: o.command,
			Inbox: &tools.Inbox{Watch: host.inbox.Watch, Wait: o.approval, Link: host.link, Requested: host.requested}}
	}
	others := &runners{o: o, program: p, log: log, make: runner, all: map[string]*tools.Runner{}}
	c := &connected{runner: runner(client, organisation), runnerFor: others.get, book: book, host: host, log: log, close: shutAll}
	c.gates = func() []*policy.Gate { return append([]*policy.Gate{c.runner.Gate}, others.gates()...) }
	host.inbox.Gates = c.gates
	return c, nil
}

// watch loads the policies anew when a file changes or SIGHUP comes.
func watch(book *policy.PolicySet, done <-chan struct{}, log *slog.Logger) {
	hup := make(chan os.Signal, 1)
	notifyReload(hup)
	defer signal.Stop(hup)
	book.Poll(done, hup, func(err error) {
		var extra *policy.ExtraPolicyError
		switch {
		case errors.As(err, &extra):
			log.Error("policy of a token is faulty; its callers are denied until it is corrected", "cause", err)
			return
		case err != nil:
			log.Error("policy reload failed; keeping the previous policy", "cause", err)
			return
		}
		log.Info("the policy was loaded anew", "policy", book.Own().Name(), "version", book.Own().Version())
		for _, note := range book.Own().ExpiredExemptions() {
			log.Warn("the policy", "note", note)
		}
	})
}

// runners are the ways to organisations beside the server's own, one for each key file.
type runners struct {
	o       *connection
	program *program
	log     *slog.Logger
	make    func(*rpc.Client, string) *tools.Runner

	mu  sync.Mutex
	all map[string]*tools.Runner
}

func (r *runners) get(keyFile string) (*tools.Runner, error) {
	if r.o.sandbox {
		return nil, errors.New("the sandbox has one organisation: leave the token's key file out")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.all[keyFile]; t != nil {
		return t, nil
	}
	to := r.o.upstreamOptions
	to.keyFile = keyFile
	client, err := to.client(r.program, r.log)
	if err != nil {
		return nil, err
	}
	r.all[keyFile] = r.make(client, client.Organisation())
	return r.all[keyFile], nil
}

// gates gives those of the organisations that are in use.
func (r *runners) gates() (out []*policy.Gate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.all {
		out = append(out, t.Gate)
	}
	return out
}

func (o *connection) openSandbox(ctx context.Context, log *slog.Logger) (client *rpc.Client, shut func(), err error) {
	s, err := o.simulated.open(o.stateDir, nil, log)
	if err != nil {
		return nil, nil, err
	}
	// It outlives the signal that stops the program: calls in flight still need it.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	shut = func() { cancel(); s.Close() }
	url, k, err := s.Serve(ctx)
	if err != nil {
		shut()
		return nil, nil, fmt.Errorf("serving the sandbox: %w", err)
	}
	if client, err = rpc.New(rpc.Config{BaseURL: url, Key: rpc.Key(k), Log: log}); err != nil {
		shut()
		return nil, nil, err
	}
	return client, shut, nil
}

// makeState makes and gives the directory for what the program keeps.
func makeState(dir string) (string, error) {
	if dir == "" {
		base, err := os.UserConfigDir()
		if err != nil {
			return "", fmt.Errorf("no place for state: %w; name one with --state-dir", err)
		}
		dir = filepath.Join(base, "sippet-mcp")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("making the state directory: %w", err)
	}
	return dir, nil
}

// command is the line with which a person runs a call themselves, as this
// process would: plain ASCII, so that nothing in it can hide.
func (o *connection) command(action string, args []byte, again bool) string {
	line := []string{"sippet-mcp", "call", action, quote(ascii(args))}
	if again {
		line = append(line, "--again")
	}
	add := func(flag, value, usual string) {
		if value != usual {
			line = append(line, flag, quote(value))
		}
	}
	comment := ""
	switch {
	case o.sandbox:
		line = append(line, "--sandbox")
		add("--sandbox-seed", fmt.Sprint(o.simulated.seed), "1")
		add("--sandbox-scale", fmt.Sprint(o.simulated.scale), "0")
		if db := o.simulated.db; db == filepath.Base(db) {
			add("--sandbox-db", db, "")
		} else {
			add("--sandbox-db", absolute(db), "")
		}
		if o.simulated.db == "" {
			comment = " # in memory: it begins with a fresh simulated organisation"
		}
	default:
		add("--base-url", o.baseURL, rpc.DefaultBaseURL)
		add("--key-file", absolute(o.keyFile), "")
		if o.keyFile == "" {
			comment = " # with SIPPET_SECRET_KEY set"
		}
	}
	add("--state-dir", absolute(o.stateDir), "")
	if len(o.policies) != 1 || o.policies[0] != "desktop" {
		for _, name := range o.policies {
			if !slices.Contains(rules.Profiles, name) {
				name = absolute(name)
			}
			add("--policy", name, "")
		}
	}
	return strings.Join(line, " ") + comment
}

// absolute makes a path that holds in whichever directory the person is.
func absolute(path string) string {
	if path == "" {
		return ""
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// quote makes a word of a shell's command line.
func quote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// local returns the person at this machine as a caller over the channel via.
func local(via string) policy.Caller {
	return policy.Caller{Actor: ledger.Actor{Name: me(), Via: via}, ID: me(), Person: me()}
}

// operator is the person at this machine who runs a command.
func operator() ledger.Actor { return ledger.Actor{Name: me(), Via: "terminal"} }

// me names the person at this machine, on cards and in the log.
func me() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "this machine's user"
}
