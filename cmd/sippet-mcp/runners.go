package main

import (
	"errors"
	"log/slog"
	"sync"

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
	log     *slog.Logger
	make    func(client *rpc.Client, organisation string) *tools.Runner

	mu        sync.Mutex
	byKeyFile map[string]*tools.Runner
}

// forKeyFile returns the runner of the organisation with the key in a file, made on first use.
func (r *runners) forKeyFile(file string) (*tools.Runner, error) {
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
	r.byKeyFile[file] = r.make(client, client.Organisation())
	return r.byKeyFile[file], nil
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
