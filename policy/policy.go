package policy

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

//go:embed profiles/*.yaml
var profiles embed.FS

// Profiles names the embedded policies.
var Profiles = []string{"desktop", "team", "unattended", "read-only"}

// Policy is a loaded policy: a verdict for every action, made once.
type Policy struct {
	// Name is the profile's name or the file's.
	Name string
	// Version changes whenever the file's content does; grants are bound to it.
	Version string
	// UnrecordedReads says that reads go on while the ledger cannot take their records.
	UnrecordedReads bool
	verdicts        map[string]Verdict
}

// file is what a policy file may hold.
type file struct {
	APIVersion string `yaml:"apiVersion"`
	Defaults   struct {
		Class  map[schemas.Class]Decision `yaml:"class"`
		Action map[string]Decision        `yaml:"action"`
	} `yaml:"defaults"`
	UnrecordedReads bool `yaml:"unrecordedReads"`
	// Known to come, so that a file which has them is told apart from a misspelt one.
	Rules   any `yaml:"rules"`
	Lists   any `yaml:"lists"`
	Budgets any `yaml:"budgets"`
	Exempt  any `yaml:"exempt"`
	Tests   any `yaml:"tests"`
}

// Load takes a profile's name or the path of a policy file.
func Load(name string) (*Policy, error) {
	if slices.Contains(Profiles, name) {
		raw, err := profiles.ReadFile("profiles/" + name + ".yaml")
		if err != nil {
			return nil, err
		}
		return Parse(name, raw)
	}
	raw, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) && !strings.ContainsAny(name, `./\`) {
		return nil, fmt.Errorf("unknown policy %q: name one of %s, or the path of a file", name, strings.Join(Profiles, ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	return Parse(filepath.Base(name), raw)
}

// Parse reads a policy file. Whatever it does not understand is an error, so
// that a misspelt line cannot loosen anything.
func Parse(name string, raw []byte) (*Policy, error) {
	var f file
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("policy %s: %w", name, err)
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("policy %s: one document a file, please", name)
	}
	if f.APIVersion != "sippet.policy/v1" {
		return nil, fmt.Errorf("policy %s: apiVersion must be sippet.policy/v1, not %q", name, f.APIVersion)
	}
	for key, v := range map[string]any{"rules": f.Rules, "lists": f.Lists, "budgets": f.Budgets, "exempt": f.Exempt, "tests": f.Tests} {
		if v != nil {
			return nil, fmt.Errorf("policy %s: %s are not yet supported: this version takes defaults per class and per action only", name, key)
		}
	}
	sum := sha256.Sum256(raw)
	p := &Policy{Name: name, Version: hex.EncodeToString(sum[:8]), UnrecordedReads: f.UnrecordedReads, verdicts: map[string]Verdict{}}
	for class := range f.Defaults.Class {
		if !slices.Contains(schemas.Classes, class) {
			return nil, fmt.Errorf("policy %s: unknown class %q, valid: %v", name, class, schemas.Classes)
		}
	}
	for action := range f.Defaults.Action {
		if _, err := schemas.Find(action); err != nil {
			return nil, fmt.Errorf("policy %s: defaults.action: %w", name, err)
		}
	}
	for _, a := range schemas.Actions() {
		v := p.verdict(a, f)
		if err := sane(a, v.Decision); err != nil {
			return nil, fmt.Errorf("policy %s: %w", name, err)
		}
		p.verdicts[a.Name] = v
	}
	return p, nil
}

// verdict takes the action's own line, else its class's; where neither stands, nothing runs.
func (p *Policy) verdict(a *schemas.Action, f file) Verdict {
	if d, ok := f.Defaults.Action[a.Name]; ok {
		return Verdict{Decision: d, Why: fmt.Sprintf("policy %s: default for %s is %s", p.Name, a.Name, d)}
	}
	if d, ok := f.Defaults.Class[a.Class]; ok {
		return Verdict{Decision: d, Why: fmt.Sprintf("policy %s: default for %s actions is %s", p.Name, a.Class, d)}
	}
	return Verdict{Decision: Deny, Why: fmt.Sprintf("policy %s says nothing about %s actions, so they are denied", p.Name, a.Class)}
}

// sane refuses what this program cannot do safely, whoever writes it.
func sane(a *schemas.Action, d Decision) error {
	switch {
	case a.Class == schemas.Credential && d != Deny:
		return fmt.Errorf("%s must be denied: there is no way yet to hand a credential to a person without showing it to the model", a.Name)
	case a.Class != schemas.Read && d == Allow:
		return fmt.Errorf("%s cannot be allowed outright: what is no read is at least validated", a.Name)
	}
	return nil
}

// Decide says what an action needs. An action that the policy does not know is denied.
func (p *Policy) Decide(a *schemas.Action) Verdict {
	if v, ok := p.verdicts[a.Name]; ok {
		return v
	}
	return Verdict{Decision: Deny, Why: fmt.Sprintf("policy %s does not know %s", p.Name, a.Name)}
}
