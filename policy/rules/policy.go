package rules

import (
	"errors"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// Profiles names the embedded policies.
var Profiles = []string{"desktop", "team", "unattended", "read-only"}

// Policy is one or several loaded files.
type Policy struct{}

// Load takes names of profiles and paths of policy files, and composes them to their union.
func Load(names ...string) (*Policy, error) { return nil, errors.New("not yet") }

// Parse reads one policy file.
func Parse(name string, raw []byte) (*Policy, error) { return nil, errors.New("not yet") }

// Decide says what a call needs.
func (p *Policy) Decide(f Facts) Verdict { return Verdict{Decision: Deny, Why: "not yet"} }

// Could is the mildest decision that any payload of the action could get.
func (p *Policy) Could(a *schemas.Action, c Caller) Decision { return Deny }

// Hidden gives the fields of the action's answer that the caller must not see.
func (p *Policy) Hidden(a *schemas.Action, c Caller) []string { return nil }

// Version changes whenever the content of a file does.
func (p *Policy) Version() string { return "" }

// Name names the files.
func (p *Policy) Name() string { return "" }

// UnrecordedReads says that reads go on while the ledger cannot take their records.
func (p *Policy) UnrecordedReads() bool { return false }

// Notes are what a person should know about a policy that loaded.
func (p *Policy) Notes() []string { return nil }
