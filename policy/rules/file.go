package rules

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"go.yaml.in/yaml/v4"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

const (
	apiVersion = "sippet.policy/v1"
	maxReason  = 500   // characters
	maxRules   = 5_000 // rules and exemptions a file
)

// file is one parsed policy file. Its expressions are not compiled yet.
type file struct {
	name            string // as reasons name it, such as `desktop` or `mine.yaml`
	sum             [sha256.Size]byte
	class           map[schemas.Class]Decision
	action          map[string]Decision
	safe            Decision // 0: as class and action say
	unrecordedReads bool
	lists           map[string][]string
	listPositions   map[string]position
	listUsed        map[string]bool
	values          ref.Val // the lists, for expressions
	budgets         map[string]*budget
	rules           []*rule
	cases           []*testCase
}

// rule is one rule of a policy.
type rule struct {
	id, reason string
	at         position
	file       *file
	match      match
	when       *expr // nil: always
	exempt     []*exemption

	// The effect: exactly one of them.
	decision Decision
	limit    *budget
	redact   []string
}

// exemption disables one rule until a day.
type exemption struct {
	at     position
	when   *expr // nil: always
	until  time.Time
	reason string
}

// expired reports whether the exemption's last day is over.
func (x *exemption) expired(now time.Time) bool { return !now.Before(x.until.AddDate(0, 0, 1)) }

// testCase is one test in a policy file.
type testCase struct {
	name     string
	at       position
	facts    Facts
	decision Decision // 0: any
	rules    []string // that must match
	without  []string // that must not match
	usedUp   []*budget
}

var (
	fileKeys   = []string{"apiVersion", "defaults", "unrecordedReads", "lists", "budgets", "rules", "exempt", "tests"}
	ruleKeys   = []string{"id", "match", "when", "decision", "limit", "redact", "reason"}
	matchKeys  = []string{"actions", "classes", "toolsets", "roles"}
	exemptKeys = []string{"rule", "when", "until", "reason"}
)

var (
	idPattern   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	namePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)
)

// parseFile parses the text of a file.
func (r *reader) parseFile(name string, raw []byte) *file {
	f := &file{name: name, sum: sha256.Sum256(raw), lists: map[string][]string{}, listPositions: map[string]position{}, listUsed: map[string]bool{}, budgets: map[string]*budget{}}
	doc := r.parseDocument(raw)
	if doc == nil {
		return f
	}
	top, _ := r.mapping(doc, "a policy file", fileKeys)
	if top == nil {
		return f
	}
	switch v := top["apiVersion"]; {
	case v == nil:
		r.add(nodePosition(doc), "apiVersion is missing: begin the file with apiVersion: %s", apiVersion)
	case v.Value != apiVersion:
		r.add(nodePosition(v), "apiVersion must be %s, not %s", apiVersion, describe(v))
	}
	if n := top["defaults"]; n != nil {
		r.defaults(f, n)
	}
	if n := top["unrecordedReads"]; n != nil {
		f.unrecordedReads = r.boolean(n, "unrecordedReads")
	}
	if n := top["lists"]; n != nil {
		r.lists(f, n)
	}
	if n := top["budgets"]; n != nil {
		r.budgets(f, n)
	}
	if n := top["rules"]; n != nil {
		r.rules(f, n)
	}
	if n := top["exempt"]; n != nil {
		r.exemptions(f, n)
	}
	if n := top["tests"]; n != nil {
		r.cases(f, n)
	}
	return f
}

func (r *reader) defaults(f *file, n *yaml.Node) {
	parts, _ := r.mapping(n, "defaults", []string{"class", "action", "safe"})
	f.class, f.action = map[schemas.Class]Decision{}, map[string]Decision{}
	if n := parts["class"]; n != nil {
		values, keys := r.mapping(n, "defaults.class", nil)
		for _, k := range keys {
			class := schemas.Class(k.Value)
			if !slices.Contains(schemas.Classes, class) {
				r.add(nodePosition(k), "%s", unknownName("class", k.Value, classNames))
				continue
			}
			d := r.decision(values[k.Value], "the default of "+k.Value+" actions")
			if err := checkClass(class, d); err != nil {
				r.add(nodePosition(values[k.Value]), "%s actions %v", class, err)
			}
			f.class[class] = d
		}
	}
	if n := parts["action"]; n != nil {
		values, keys := r.mapping(n, "defaults.action", nil)
		for _, k := range keys {
			a, err := schemas.Find(k.Value)
			if err != nil {
				r.add(nodePosition(k), "%s", unknownName("action", k.Value, actionNames))
				continue
			}
			d := r.decision(values[k.Value], "the default of "+a.Name)
			if err := checkClass(a.Class, d); err != nil {
				r.add(nodePosition(values[k.Value]), "%s %v", a.Name, err)
			}
			f.action[a.Name] = d
		}
	}
	if n := parts["safe"]; n != nil {
		f.safe = r.decision(n, "the default of the safe direction")
		if f.safe != 0 && f.safe != Validate && f.safe != Deny {
			r.add(nodePosition(n), "the default of the safe direction is %s, but it waits for nobody: write validate or deny", f.safe)
		}
	}
}

// minDecision returns the mildest decision that a class can have in any policy. A credential is
// shown only to the person who approves it, so one must.
func minDecision(c schemas.Class) Decision {
	switch c {
	case schemas.Read:
		return Allow
	case schemas.Credential:
		return Approve
	}
	return Validate
}

// checkClass returns an error if the decision is too mild for the class.
func checkClass(c schemas.Class, d Decision) error {
	switch {
	case d == 0 || d >= minDecision(c):
		return nil // 0: the error is reported already
	case c == schemas.Credential:
		return fmt.Errorf("must be denied, or approved by another person, who alone is shown the credential: write deny or approve")
	}
	return fmt.Errorf("cannot be allowed outright, since only reads can: write validate")
}

// decision parses a decision; 0 with a fault if it is not one.
func (r *reader) decision(n *yaml.Node, what string) (d Decision) {
	if n.Kind != yaml.ScalarNode || d.UnmarshalText([]byte(n.Value)) != nil {
		if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
			r.add(nodePosition(n), "%s", unknownName("decision", n.Value, decisionNames))
		} else {
			r.add(nodePosition(n), "%s must be one of %s, not %s", what, strings.Join(decisionNames, ", "), describe(n))
		}
		return 0
	}
	return d
}

func (r *reader) lists(f *file, n *yaml.Node) {
	values, keys := r.mapping(n, "lists", nil)
	for _, k := range keys {
		if !namePattern.MatchString(k.Value) {
			r.add(nodePosition(k), "the list's name %s must consist of letters, digits and _, so that an expression can read lists.name", quote(k.Value))
			continue
		}
		f.lists[k.Value], _ = r.texts(values[k.Value], "the list "+k.Value)
		f.listPositions[k.Value] = nodePosition(k)
	}
	all := map[ref.Val]ref.Val{}
	for name, list := range f.lists {
		all[types.String(name)] = types.NewStringList(adapter{}, list)
	}
	f.values = types.NewRefValMap(adapter{}, all)
}

// require returns the value of a required key.
func (r *reader) require(values map[string]*yaml.Node, n *yaml.Node, what, key, example string) *yaml.Node {
	v := values[key]
	if v == nil {
		r.add(nodePosition(n), "%s has no %s: write %s: %s", what, key, key, example)
	}
	return v
}

// names returns the keys of a map, sorted.
func names[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
