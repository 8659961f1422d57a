package rules

import (
	"bytes"
	"cmp"
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
	"time"

	"cel.dev/cel-go/common/types"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

//go:embed profiles/*.yaml
var profiles embed.FS

// Profiles are the names of the built-in policies.
var Profiles = []string{"desktop", "team", "unattended", "read-only"}

// Policy is one or several checked and compiled files. It is immutable and safe for concurrent use.
// The zero Policy denies every action.
type Policy struct {
	name            string
	version         string
	unrecordedReads bool
	files           []*file // by name
	rules           []*rule // of all files, by id
	plans           map[string]*plan
}

// plan is the part of a policy that one action needs.
type plan struct {
	defaultDecision Decision
	why             string
	safeDecision    Decision // instead of defaultDecision, for a call in the safe direction
	safeWhy         string
	noDefault       bool         // no file has a default for it
	rules           []*boundRule // by id
}

// boundRule is a rule with its programs for one action.
type boundRule struct {
	*rule
	when   *program // nil: always
	cost   *program // nil: 1, or no budget
	exempt []boundExemption
	hidden []string
}

type boundExemption struct {
	*exemption
	when *program // nil: always
}

// Load loads policies by name and composes them. A name is one of Profiles or the path of a file.
// The order of names is irrelevant: the strictest policy decides. The error joins a *Fault for each
// mistake in a file.
func Load(names ...string) (*Policy, error) {
	if len(names) == 0 {
		return nil, fmt.Errorf("no policy is named: use one of %s, or the path of a file", strings.Join(Profiles, ", "))
	}
	var files []*file
	for _, name := range names {
		raw, err := readSource(name)
		if err != nil {
			return nil, err
		}
		f, err := load(filepath.Base(name), name, raw)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return compose(files)
}

// Profile returns the text of a built-in policy.
func Profile(name string) ([]byte, error) {
	if !slices.Contains(Profiles, name) {
		return nil, fmt.Errorf("no built-in policy is called %s: use one of %s", quote(name), strings.Join(Profiles, ", "))
	}
	return profiles.ReadFile("profiles/" + name + ".yaml")
}

// readSource returns the text of a profile or a file. It reads little more than maxFile bytes.
func readSource(name string) ([]byte, error) {
	if slices.Contains(Profiles, name) {
		return Profile(name)
	}
	file, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) && !strings.ContainsAny(name, `./\`) {
		return nil, fmt.Errorf("unknown policy %s: use one of %s, or the path of a file", quote(name), strings.Join(Profiles, ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	return raw, nil
}

// Parse parses one policy file. Everything that it does not understand is an error, so that a
// misspelt line cannot make a policy milder. The error joins a *Fault for each mistake.
func Parse(name string, raw []byte) (*Policy, error) {
	f, err := load(name, name, raw)
	if err != nil {
		return nil, err
	}
	return compose([]*file{f})
}

// load parses and compiles one file.
func load(name, path string, raw []byte) (*file, error) {
	r := &reader{faults: faults{file: path}}
	f := r.parseFile(name, raw)
	if err := r.err(); err != nil {
		return nil, err
	}
	c := &compiler{reader: r, file: f}
	for _, u := range f.rules {
		about := u.actions()
		if u.limit != nil && u.limit.shown {
			r.reading(u, about)
		}
		c.compile(u.when, types.BoolType, about)
		for _, x := range u.exempt {
			c.compile(x.when, types.BoolType, about)
		}
	}
	for _, name := range names(f.budgets) {
		b := f.budgets[name]
		c.compile(b.cost, types.IntType, f.limits(b))
	}
	return f, r.err()
}

// actions returns the actions that the rule matches, for any caller.
func (u *rule) actions() (out []*schemas.Action) {
	for _, a := range schemas.Actions() {
		if u.match.action(a) {
			out = append(out, a)
		}
	}
	return out
}

func compose(files []*file) (*Policy, error) {
	p := &Policy{name: strings.Join(namesOf(files, func(f *file) string { return f.name }), "+"), unrecordedReads: true, plans: map[string]*plan{}}
	p.files = slices.Clone(files)
	slices.SortFunc(p.files, func(a, b *file) int {
		return cmp.Or(strings.Compare(a.name, b.name), bytes.Compare(a.sum[:], b.sum[:]))
	})
	for i, f := range p.files {
		if i > 0 && p.files[i-1].name == f.name {
			return nil, fmt.Errorf("two policies have the name %s: rename one of the files, since reasons name the policy", f.name)
		}
		p.unrecordedReads = p.unrecordedReads && f.unrecordedReads
		p.rules = append(p.rules, f.rules...)
	}
	// Two files may have a rule of the same id: a verdict names the policy too.
	slices.SortFunc(p.rules, func(a, b *rule) int {
		return cmp.Or(strings.Compare(a.id, b.id), strings.Compare(a.file.name, b.file.name))
	})
	for _, a := range schemas.Actions() {
		p.plans[a.Name] = p.plan(a)
	}
	p.version = version(p.files)
	return p, nil
}

// version returns the hash of one file's content, or the hash of several files' hashes.
func version(files []*file) string {
	sum := files[0].sum
	if len(files) > 1 {
		var all []byte
		for _, f := range files {
			all = append(all, f.sum[:]...)
		}
		sum = sha256.Sum256(all)
	}
	return hex.EncodeToString(sum[:8])
}

func (p *Policy) plan(a *schemas.Action) *plan {
	out := &plan{}
	for _, f := range p.files {
		d, why := f.defaultFor(a)
		if d > out.defaultDecision {
			out.defaultDecision, out.why = d, why
		}
		if f.safe != 0 {
			d, why = f.safe, fmt.Sprintf("policy %s: default for the safe direction is %s", f.name, f.safe)
		}
		if d > out.safeDecision {
			out.safeDecision, out.safeWhy = d, why
		}
	}
	if out.defaultDecision == 0 {
		out.defaultDecision, out.noDefault = Deny, true
		out.why = fmt.Sprintf("policy %s has no default for %s actions, so they are denied", p.name, a.Class)
	}
	if out.safeDecision == 0 {
		out.safeDecision, out.safeWhy = out.defaultDecision, out.why
	}
	for _, u := range p.rules {
		if !u.match.action(a) {
			continue
		}
		b := &boundRule{rule: u}
		if u.when != nil {
			b.when = u.when.programs[a.Name]
		}
		if u.limit != nil && u.limit.cost != nil {
			b.cost = u.limit.cost.programs[a.Name]
		}
		for _, x := range u.exempt {
			e := boundExemption{exemption: x}
			if x.when != nil {
				e.when = x.when.programs[a.Name]
			}
			b.exempt = append(b.exempt, e)
		}
		if u.redact != nil {
			if b.hidden = hiddenFields(u.redact, a); b.hidden == nil {
				continue
			}
		}
		out.rules = append(out.rules, b)
	}
	return out
}

// defaultFor returns the file's default for the action, else for its class; 0 without one.
func (f *file) defaultFor(a *schemas.Action) (Decision, string) {
	if d, ok := f.action[a.Name]; ok {
		return d, fmt.Sprintf("policy %s: default for %s is %s", f.name, a.Name, d)
	}
	if d, ok := f.class[a.Class]; ok {
		return d, fmt.Sprintf("policy %s: default for %s actions is %s", f.name, a.Class, d)
	}
	return 0, ""
}

// Version identifies the content of the files. Approval requests record it.
func (p *Policy) Version() string { return p.version }

// WithoutDefaults reports whether no file has a default. Such a policy denies everything until it
// is added to another.
func (p *Policy) WithoutDefaults() bool {
	return !slices.ContainsFunc(p.files, func(f *file) bool { return len(f.class)+len(f.action) > 0 })
}

// Name returns the names of the files, sorted and joined by +.
func (p *Policy) Name() string { return p.name }

// UnrecordedReads reports whether reads are allowed for a while when the audit log cannot be
// written. All files must say so.
func (p *Policy) UnrecordedReads() bool { return p.unrecordedReads }

// ExpiredExemptions returns a warning for each exemption that has expired.
func (p *Policy) ExpiredExemptions() []string { return p.expiredExemptions(time.Now()) }

func (p *Policy) expiredExemptions(now time.Time) (out []string) {
	for _, u := range p.rules {
		for _, x := range u.exempt {
			if x.expired(now) {
				out = append(out, fmt.Sprintf("policy %s:%d:%d: the exemption from %s expired on %s and has no effect: remove it", u.file.name, x.at.line, x.at.col, u.id, x.until.Format(time.DateOnly)))
			}
		}
	}
	return out
}
