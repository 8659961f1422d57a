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
	maxFile  = 1 << 20 // bytes: far more than anybody reviews
	maxDepth = 24      // levels of nesting: the file needs seven, a test's filter a few more
)

// Policies written before the key and the variable were renamed get their own error: the nearest name would not help.
const (
	formerRecipients = "destinations"
	nowRecipients    = "destinations is now recipients"
)

// reader walks the nodes of one file and collects what is wrong with them. The
// library's own decoding is not used: it knows neither the nearest name nor the column.
type reader struct {
	faults
	lines []string
}

// parse gives the one document of a file; nil where there is a fault.
func (r *reader) parse(raw []byte) *yaml.Node {
	if len(raw) > maxFile {
		r.add(position{}, "the file has more than %d bytes, at most that many are taken: split it, several files compose", maxFile)
		return nil
	}
	if i := bytes.IndexByte(raw, 0); i >= 0 {
		r.add(positionOf(raw, i), "the file has a NUL byte here: write it as plain text in UTF-8")
		return nil
	}
	for i, rest := 0, raw; len(rest) > 0; {
		c, n := utf8.DecodeRune(rest)
		if c == utf8.RuneError && n == 1 {
			r.add(positionOf(raw, i), "the file is not valid UTF-8 here: write it as plain text in UTF-8")
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
		r.broken(err)
		return nil
	}
	if err := l.Load(&second); !errors.Is(err, io.EOF) {
		r.add(position{max(second.Line, 1), max(second.Column, 1)}, "a second document begins: one document a file, several files compose")
		return nil
	}
	if len(doc.Content) != 1 || !r.plain(doc.Content[0]) {
		return nil
	}
	return doc.Content[0]
}

// broken reports what the library could not read.
func (r *reader) broken(err error) {
	if e := (*yaml.LoadError)(nil); errors.As(err, &e) {
		r.add(position{max(e.Mark.Line, 1), max(e.Mark.Column, 1)}, "this is not YAML: %s", e.Message)
		return
	}
	r.add(position{}, "this is not YAML: %v", err)
}

// plain refuses what makes a file say something else than what stands there.
func (r *reader) plain(n *yaml.Node) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		r.add(at(n), "aliases are not taken: write the value out")
	case n.Anchor != "":
		r.add(at(n), "anchors are not taken: write the value out where it is needed")
	case n.Style&yaml.TaggedStyle != 0:
		r.add(at(n), "the tag %s is not taken: leave it out", quote(n.Tag))
	default:
		for _, c := range n.Content {
			if !r.plain(c) {
				return false
			}
		}
		return true
	}
	return false
}

func at(n *yaml.Node) position { return position{n.Line, n.Column} }

func positionOf(raw []byte, offset int) position {
	before := raw[:offset]
	return position{bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1}
}

// mapping gives the values of a mapping by their keys. what is the mapping's
// name with its article; keys are those that it takes, nil where any name will do.
func (r *reader) mapping(n *yaml.Node, what string, keys []string) (values map[string]*yaml.Node, order []*yaml.Node) {
	if n.Kind != yaml.MappingNode {
		r.add(at(n), "%s must be a mapping such as {key: value}, not %s", what, kindOf(n))
		return nil, nil
	}
	values = map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch {
		case k.Kind != yaml.ScalarNode || k.Tag == "!!null" || k.Tag == "!!merge":
			r.add(at(k), "a key of %s must be a name", what)
		case k.Value == formerRecipients && contains(keys, "recipients"):
			r.add(at(k), "%s", nowRecipients)
		case keys != nil && !contains(keys, k.Value):
			r.add(at(k), "%s", unknown("key", k.Value, keys)+" (in "+what+")")
		case values[k.Value] != nil:
			r.add(at(k), "the key %s stands twice in %s, first in line %d", quote(k.Value), what, values[k.Value].Line)
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

// list gives the elements of a sequence.
func (r *reader) list(n *yaml.Node, what string) []*yaml.Node {
	if n.Kind != yaml.SequenceNode {
		r.add(at(n), "%s must be a list such as [a, b], not %s", what, kindOf(n))
		return nil
	}
	return n.Content
}

// text gives a string; "" with a fault where it is none or empty.
func (r *reader) text(n *yaml.Node, what string) string {
	switch {
	case n.Kind != yaml.ScalarNode || n.Tag == "!!null":
		r.add(at(n), "%s must be a text, not %s", what, kindOf(n))
	case n.Tag != "!!str":
		r.add(at(n), "%s must be a text, not %s: write %q", what, kindOf(n), n.Value)
	case strings.TrimSpace(n.Value) == "":
		r.add(at(n), "%s is empty", what)
	default:
		return n.Value
	}
	return ""
}

// sentence gives a text on one line.
func (r *reader) sentence(n *yaml.Node, what string) string {
	s := strings.Join(strings.Fields(r.text(n, what)), " ")
	if i := strings.IndexFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }); i >= 0 {
		r.add(at(n), "%s has a control character in it: leave it out", what)
	}
	if utf8.RuneCountInString(s) > maxReason {
		r.add(at(n), "%s has more than %d characters: a person reads it on a card", what, maxReason)
	}
	return s
}

// texts gives a list of strings that is not empty.
func (r *reader) texts(n *yaml.Node, what string) (out []string, nodes []*yaml.Node) {
	elements := r.list(n, what)
	if n.Kind == yaml.SequenceNode && len(elements) == 0 {
		r.add(at(n), "%s is an empty list: leave it out or name something", what)
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
		r.add(at(n), "%s must be an integer from %d to %d, not %s", what, least, most, kindOf(n))
		return least
	}
	if v < least || v > most {
		r.add(at(n), "%s must be an integer from %d to %d, not %d", what, least, most, v)
	}
	return v
}

func (r *reader) boolean(n *yaml.Node, what string) bool {
	v, err := strconv.ParseBool(n.Value)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || err != nil {
		r.add(at(n), "%s must be true or false, not %s", what, kindOf(n))
	}
	return v
}

// expression gives the source of a CEL expression. A bare true, false or number is one, too.
func (r *reader) expression(n *yaml.Node, what string) *expr {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || strings.TrimSpace(n.Value) == "" {
		r.add(at(n), "%s must be an expression, not %s", what, kindOf(n))
		return nil
	}
	return &expr{text: n.Value, node: n, what: what}
}

// kindOf says what stands in the file, for an error.
func kindOf(n *yaml.Node) string {
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
