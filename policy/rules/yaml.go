package rules

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

const (
	maxFile  = 1 << 20 // bytes: more than a person can review
	maxDepth = 24      // levels of nesting: a file needs seven, and the filter in a test some more
)

// renamedError is for files that still have the former name of the key and the variable
// `recipients`.
const renamedError = "destinations is now recipients"

var formerName, _, _ = strings.Cut(renamedError, " ")

// reader parses the nodes of one file and collects faults. The decoding of the YAML library is not
// used, since its errors have neither the column nor the nearest name.
type reader struct {
	faults
	lines []string
}

// parseDocument returns the only document of a file; nil after a fault.
func (r *reader) parseDocument(raw []byte) *yaml.Node {
	if len(raw) > maxFile {
		r.add(position{}, "the file has more than %d bytes: split it into several files", maxFile)
		return nil
	}
	if i := bytes.IndexByte(raw, 0); i >= 0 {
		r.add(offsetPosition(raw, i), "the file has a NUL byte here: save it as plain text in UTF-8")
		return nil
	}
	for i, rest := 0, raw; len(rest) > 0; {
		c, n := utf8.DecodeRune(rest)
		if c == utf8.RuneError && n == 1 {
			r.add(offsetPosition(raw, i), "the file is not valid UTF-8 here: save it as plain text in UTF-8")
			return nil
		}
		i, rest = i+n, rest[n:]
	}
	r.lines = strings.Split(string(raw), "\n")
	limits := loaderlimits.New(loaderlimits.DepthValue(maxDepth))
	l, err := yaml.NewLoader(bytes.NewReader(raw), yaml.WithV4Defaults(), yaml.WithPlugin(limits))
	if err != nil {
		r.add(position{}, "%v", err)
		return nil
	}
	var doc, second yaml.Node
	if err := l.Load(&doc); errors.Is(err, io.EOF) {
		r.add(position{}, "the file is empty: begin it with apiVersion: %s", apiVersion)
		return nil
	} else if err != nil {
		r.addYAMLError(err)
		return nil
	}
	if err := l.Load(&second); !errors.Is(err, io.EOF) {
		r.add(position{max(second.Line, 1), max(second.Column, 1)}, "a second document begins here: write it to another file")
		return nil
	}
	if len(doc.Content) != 1 || !r.checkPlain(doc.Content[0]) {
		return nil
	}
	return doc.Content[0]
}

// addYAMLError adds the fault that the YAML library found.
func (r *reader) addYAMLError(err error) {
	if e := (*yaml.LoadError)(nil); errors.As(err, &e) {
		r.add(position{max(e.Mark.Line, 1), max(e.Mark.Column, 1)}, "invalid YAML: %s", e.Message)
		return
	}
	r.add(position{}, "invalid YAML: %v", err)
}

// checkPlain rejects YAML features that hide what a file says.
func (r *reader) checkPlain(n *yaml.Node) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		r.add(nodePosition(n), "aliases are not allowed: write the value instead")
	case n.Anchor != "":
		r.add(nodePosition(n), "anchors are not allowed: write the value instead, wherever it is needed")
	case n.Style&yaml.TaggedStyle != 0:
		r.add(nodePosition(n), "the tag %s is not allowed: remove it", quote(n.Tag))
	default:
		for _, c := range n.Content {
			if !r.checkPlain(c) {
				return false
			}
		}
		return true
	}
	return false
}

func nodePosition(n *yaml.Node) position { return position{n.Line, n.Column} }

func offsetPosition(raw []byte, offset int) position {
	before := raw[:offset]
	return position{bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1}
}

// mapping returns the values of a mapping by key. what is the name of the mapping with its article.
// keys are the allowed keys; nil allows any name.
func (r *reader) mapping(n *yaml.Node, what string, keys []string) (values map[string]*yaml.Node, order []*yaml.Node) {
	if n.Kind != yaml.MappingNode {
		r.add(nodePosition(n), "%s must be a mapping such as {key: value}, not %s", what, describe(n))
		return nil, nil
	}
	values = map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch {
		case k.Kind != yaml.ScalarNode || k.Tag == "!!null" || k.Tag == "!!merge":
			r.add(nodePosition(k), "a key of %s must be a name", what)
		case k.Value == formerName && contains(keys, "recipients"):
			r.add(nodePosition(k), "%s", renamedError)
		case keys != nil && !contains(keys, k.Value):
			r.add(nodePosition(k), "%s", unknownName("key", k.Value, keys)+" (in "+what+")")
		case values[k.Value] != nil:
			r.add(nodePosition(k), "the key %s is a duplicate in %s: remove it, or the one in line %d", quote(k.Value), what, values[k.Value].Line)
		default:
			values[k.Value] = v
			order = append(order, k)
		}
	}
	return values, order
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// list returns the elements of a sequence.
func (r *reader) list(n *yaml.Node, what string) []*yaml.Node {
	if n.Kind != yaml.SequenceNode {
		r.add(nodePosition(n), "%s must be a list such as [a, b], not %s", what, describe(n))
		return nil
	}
	return n.Content
}

// text returns a string; empty with a fault if it is not one.
func (r *reader) text(n *yaml.Node, what string) string {
	switch {
	case n.Kind != yaml.ScalarNode || n.Tag == "!!null":
		r.add(nodePosition(n), "%s must be a string, not %s", what, describe(n))
	case n.Tag != "!!str":
		r.add(nodePosition(n), "%s must be a string, not %s: write %q", what, describe(n), n.Value)
	case strings.TrimSpace(n.Value) == "":
		r.add(nodePosition(n), "%s is empty", what)
	default:
		return n.Value
	}
	return ""
}

// line returns a string on one line.
func (r *reader) line(n *yaml.Node, what string) string {
	s := strings.Join(strings.Fields(r.text(n, what)), " ")
	if i := strings.IndexFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }); i >= 0 {
		r.add(nodePosition(n), "%s has a control character: remove it", what)
	}
	if utf8.RuneCountInString(s) > maxReason {
		r.add(nodePosition(n), "%s has more than %d characters: shorten it, since a card shows it", what, maxReason)
	}
	return s
}

// texts returns a non-empty list of strings.
func (r *reader) texts(n *yaml.Node, what string) (out []string, nodes []*yaml.Node) {
	elements := r.list(n, what)
	if n.Kind == yaml.SequenceNode && len(elements) == 0 {
		r.add(nodePosition(n), "%s is an empty list: remove it, or add an element", what)
	}
	for _, e := range elements {
		if s := r.text(e, "an element of "+what); s != "" {
			out, nodes = append(out, s), append(nodes, e)
		}
	}
	return out, nodes
}

func (r *reader) integer(n *yaml.Node, what string, least, most int64) int64 {
	v, err := strconv.ParseInt(n.Value, 10, 64)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" || err != nil {
		r.add(nodePosition(n), "%s must be an integer from %d to %d, not %s", what, least, most, describe(n))
		return least
	}
	if v < least || v > most {
		r.add(nodePosition(n), "%s must be an integer from %d to %d, not %d", what, least, most, v)
	}
	return v
}

func (r *reader) boolean(n *yaml.Node, what string) bool {
	v, err := strconv.ParseBool(n.Value)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || err != nil {
		r.add(nodePosition(n), "%s must be true or false, not %s", what, describe(n))
	}
	return v
}

// expression returns an expression that is not compiled yet. A bare true, false or number is one,
// too.
func (r *reader) expression(n *yaml.Node, what string) *expr {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || strings.TrimSpace(n.Value) == "" {
		r.add(nodePosition(n), "%s must be an expression, not %s", what, describe(n))
		return nil
	}
	return &expr{text: n.Value, node: n, what: what}
}

// describe describes a node for an error.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null" || n.Value == "":
		return "nothing"
	case n.Tag == "!!int" || n.Tag == "!!float":
		return "the number " + quote(n.Value)
	case n.Tag == "!!bool":
		return n.Value
	}
	return quote(n.Value)
}
