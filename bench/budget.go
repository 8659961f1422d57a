package main

import (
	"os"
	"path/filepath"
	"regexp"

	"github.com/sippet-ai/sippet-mcp/policy/rules"
)

var sizes = regexp.MustCompile(`rate: [0-9]+/[mh], burst: [0-9]+`)

// largeBudgets returns the policy desktop with budgets that no measurement uses up.
func largeBudgets() ([]byte, error) {
	text, err := rules.Profile("desktop")
	return sizes.ReplaceAll(text, []byte("rate: 1000000/s, burst: 1000000000")), err
}

// writePolicy writes that policy into a file for a server, and returns its path.
func writePolicy(dir string) (path string, err error) {
	text, err := largeBudgets()
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "large.yaml")
	return path, os.WriteFile(path, text, 0o600)
}
