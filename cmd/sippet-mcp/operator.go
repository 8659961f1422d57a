package main

import (
	"os/user"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
)

// local returns the person at this machine as a caller over a channel.
func local(via string) policy.Caller {
	return policy.Caller{Actor: ledger.Actor{Name: me(), Via: via}, ID: me(), Person: me()}
}

// operator returns the person at this machine, as somebody who runs a command.
func operator() ledger.Actor { return ledger.Actor{Name: me(), Via: "terminal"} }

// me returns the name of the person at this machine.
func me() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "this machine's user"
}
