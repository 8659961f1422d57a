package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sippet-ai/sippet-mcp/policy/rules"
	"github.com/sippet-ai/sippet-mcp/rpc"
)

// command returns the command line of a call, for a person to run as this process would run it. It
// is plain ASCII, so that nothing in it can hide.
func (o *connection) command(action string, args []byte, again bool) string {
	line := []string{"sippet-mcp", "call", action, quote(ascii(args))}
	if again {
		line = append(line, "--again")
	}
	add := func(flag, value, byDefault string) {
		if value != byDefault {
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
			comment = " # in memory: a new simulated organisation"
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

// same returns the flags with which another command uses the same ledger.
func (o *ledgerOptions) same() string {
	s := ""
	if o.sandbox {
		s += " --sandbox"
	}
	if o.stateDir != "" {
		s += " --state-dir " + quote(absolute(o.stateDir))
	}
	return s
}

// absolute returns a path that is valid in every directory; empty for an empty one.
func absolute(path string) string {
	if path == "" {
		return ""
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// quote returns a text as one word of a shell's command line.
func quote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
