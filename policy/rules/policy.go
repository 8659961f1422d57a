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

// Profiles names the embedded policies.
var Profiles = []string{"desktop", "team", "unattended", "read-only"}

// Policy is one or several files, checked and compiled. It does not change, and
// all methods are safe for concurrent use.
type Policy struct {
	name            string
	version         string
	unrecordedReads bool
	files           []*file // by name
	rules           []*rule // of all files, by id
	plans           map[string]*plan
}

// plan is what a policy says about one action.
type plan struct {
	base   Decision
	why    string
	silent bool     // no file says what it needs
	rules  []*bound // by id
}

// bound is a rule with what it needs for one action.
type bound struct {
	*rule
	when   *program // nil: always
	cost   *program // nil: 1, or no limit
	exempt []boundExemption
	hidden []string
}

type boundExemption struct {
	*exemption
	when *program // nil: for everybody
}

// Load takes names of profiles and paths of policy files, and composes them to
// their union: in whatever order they are named, the strictest of them decides.
func Load(names ...string) (*Policy, error) {
	if len(names) == 0 {
		return nil, fmt.Errorf("no policy is named: name one of %s, or the path of a file", strings.Join(Profiles, ", "))
	}
	var files []*file
	for _, name := range names {
		raw, err := source(name)
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

// source gives the text of a profile or a file, and of a file hardly more than is taken.
func source(name string) ([]byte, error) {
	if slices.Contains(Profiles, name) {
		return profiles.ReadFile("profiles/" + name + ".yaml")
	}
	file, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) && !strings.ContainsAny(name, `./\`) {
		return nil, fmt.Errorf("unknown policy %s: name one of %s, or the path of a file", quote(name), strings.Join(Profiles, ", "))
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

// Parse reads one policy file. Whatever it does not understand is an error, so
// that a misspelt line cannot loosen anything.
func Parse(name string, raw []byte) (*Policy, error) {
	f, err := load(name, name, raw)
	if err != nil {
		return nil, err
	}
	return compose([]*file{f})
}

// load reads and compiles one file. Its error joins a *Fault for each thing that is wrong.
func load(name, path string, raw []byte) (*file, error) {
	r := &reader{faults: faults{file: path}}
	f := r.read(name, raw)
	if err := r.err(); err != nil {
		return nil, err
	}
	c := &compiler{reader: r, file: f}
	for _, u := range f.rules {
		about := u.actions()
		c.compile(u.when, types.BoolType, about)
		for _, x := range u.exempt {
			c.compile(x.when, types.BoolType, about)
		}
	}
	for _, name := range names(f.budgets) {
		b := f.budgets[name]
		c.compile(b.cost, types.IntType, b.actions(f))
	}
	return f, r.err()
}

// actions are those that a rule is about, for whoever calls them.
func (u *rule) actions() (out []*schemas.Action) {
	for _, a := range schemas.Actions() {
		if u.match.action(a) {
			out = append(out, a)
		}
	}
	return out
}

// actions are those that a rule limits by the budget.
func (b *budget) actions(f *file) (out []*schemas.Action) {
	for _, a := range schemas.Actions() {
		if slices.ContainsFunc(f.rules, func(u *rule) bool { return u.limit == b && u.match.action(a) }) {
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
			return nil, fmt.Errorf("two policies are called %s: give one of the files another name, so that a person can tell them apart", f.name)
		}
		p.unrecordedReads = p.unrecordedReads && f.unrecordedReads
		p.rules = append(p.rules, f.rules...)
	}
	// Two files may name a rule alike: a verdict names the policy too.
	slices.SortFunc(p.rules, func(a, b *rule) int {
		return cmp.Or(strings.Compare(a.id, b.id), strings.Compare(a.file.name, b.file.name))
	})
	for _, a := range schemas.Actions() {
		p.plans[a.Name] = p.plan(a)
	}
	p.version = version(p.files)
	return p, nil
}

// version of one file is the hash of its content; of several, of theirs.
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
		d, why := f.standard(a)
		if d > out.base {
			out.base, out.why = d, why
		}
	}
	if out.base == 0 {
		out.base, out.silent = Deny, true
		out.why = fmt.Sprintf("policy %s says nothing about %s actions, so they are denied", p.name, a.Class)
	}
	for _, u := range p.rules {
		if !u.match.action(a) {
			continue
		}
		b := &bound{rule: u}
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
			if b.hidden = hides(u.redact, a); b.hidden == nil {
				continue
			}
		}
		out.rules = append(out.rules, b)
	}
	return out
}

// standard is the file's default for the action: its own line, else its class's; 0 where it is silent.
func (f *file) standard(a *schemas.Action) (Decision, string) {
	if d, ok := f.action[a.Name]; ok {
		return d, fmt.Sprintf("policy %s: default for %s is %s", f.name, a.Name, d)
	}
	if d, ok := f.class[a.Class]; ok {
		return d, fmt.Sprintf("policy %s: default for %s actions is %s", f.name, a.Class, d)
	}
	return 0, ""
}

// Version changes whenever the content of a file does; grants are bound to it.
func (p *Policy) Version() string { return p.version }

// Bare says that no file has a default, so that everything is denied: it is meant to be added to another.
func (p *Policy) Bare() bool {
	return !slices.ContainsFunc(p.files, func(f *file) bool { return len(f.class)+len(f.action) > 0 })
}

// Name names the files as they were given, with a + between them.
func (p *Policy) Name() string { return p.name }

// UnrecordedReads says that reads go on while the ledger cannot take their records: all files must say so.
func (p *Policy) UnrecordedReads() bool { return p.unrecordedReads }

// Notes are what a person should know about a policy that is in use: exemptions that have run out.
func (p *Policy) Notes() []string { return p.notes(time.Now()) }

func (p *Policy) notes(now time.Time) (out []string) {
	for _, u := range p.rules {
		for _, x := range u.exempt {
			if x.over(now) {
				out = append(out, fmt.Sprintf("policy %s:%d:%d: the exemption from %s has run out on %s and changes nothing: take it out", u.file.name, x.at.line, x.at.col, u.id, x.until.Format(time.DateOnly)))
			}
		}
	}
	return out
}
