package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/tools"
)

// runners are one for each organisation: the program's own, and one for each key file that a token
// names.
type runners struct {
	own *tools.Runner

	options *connection
	program *program
	ledger  ledger.OrganisationStore
	log     *slog.Logger
	// make returns the runner of an organisation; key is the name of its key, empty for the sandbox.
	make func(client *rpc.Client, organisation, key string) *tools.Runner

	mu        sync.Mutex
	byKeyFile map[string]*tools.Runner
	clients   map[string]*rpc.Client // the first of each organisation
}

// forKeyFile returns the runner of the organisation with the key in a file, made on first use.
func (r *runners) forKeyFile(ctx context.Context, file string) (*tools.Runner, error) {
	if r.options.sandbox {
		return nil, errors.New("the sandbox has one organisation: create the token without --key-file")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if runner := r.byKeyFile[file]; runner != nil {
		return runner, nil
	}
	upstream := r.options.upstreamOptions
	upstream.keyFile = file
	client, err := upstream.client(r.program, r.log)
	if err != nil {
		return nil, err
	}
	runner, err := r.live(ctx, client)
	if err != nil {
		client.Close()
		return nil, err
	}
	r.byKeyFile[file] = runner
	return runner, nil
}

// live returns the runner of a live organisation: the one that the client's key is attached to.
func (r *runners) live(ctx context.Context, client *rpc.Client) (*tools.Runner, error) {
	key := client.KeyName()
	id, alone, err := r.ledger.OpenOrganisation(ctx, key)
	var unresolved *ledger.UnresolvedError
	switch {
	case errors.As(err, &unresolved):
		return nil, fmt.Errorf("the secret key is new to this state directory, where %s under another key may have run or not; "+
			"if it replaces that key, use `sippet-mcp organisations attach '%s'`, or else `sippet-mcp organisations attach new`",
			count(unresolved.Intents, "call"), unresolved.Organisation)
	case err != nil:
		return nil, err
	}
	if alone {
		r.log.Warn("the secret key is new to this state directory, so calls under other keys are not known to it; "+
			"if it replaces one of them, stop this program and run `sippet-mcp organisations attach`", "key", key, "organisation", id)
	}
	if first := r.clients[id]; first != nil {
		client.ShareTurns(first) // the limit of concurrent requests is the organisation's
	} else {
		r.clients[id] = client
	}
	return r.make(client, id, key), nil
}

// gates returns the gates of all organisations in use.
func (r *runners) gates() []*policy.Gate {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := []*policy.Gate{r.own.Gate}
	for _, runner := range r.byKeyFile {
		all = append(all, runner.Gate)
	}
	return all
}
