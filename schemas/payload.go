package schemas

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// defaultLimit is the number of rows of a page if the caller gives none.
const defaultLimit = 25

// Payload is one checked call: the request body, and what the check found beside it. It must not be
// changed.
type Payload struct {
	Action *Action
	// Body is the one canonical encoding, action included: sorted keys, numbers verbatim. Validate
	// and Run send these bytes.
	Body []byte
	// Args is Body decoded, for cards and rules. Numbers are json.Number.
	Args map[string]any
	// Reason is the reason that the model gave. It is not part of Body.
	Reason string
	// DefaultFields is true if the caller named no fields.
	DefaultFields bool
	// Notes are sentences for the answer about what Check added or lowered.
	Notes []string
}

// Hash returns a hash of Body: of action and arguments, without the reason. An approval is bound to
// it. Whether the same call ran before is a matter of [Payload.EffectKey].
func (p *Payload) Hash() string {
	sum := sha256.Sum256(p.Body)
	return hex.EncodeToString(sum[:])
}

// Limits are what Check needs in addition to the arguments.
type Limits struct {
	// Now is the end of the last 24 hours, which a list without a filter returns.
	Now time.Time
	// Rows is the most rows that an answer may have; a larger limit is lowered. 0 leaves Sippet's
	// own bound.
	Rows int
	// Without are default fields that this Sippet server does not have.
	Without map[string]bool
	// Hidden are fields that the caller must not see. They are not selected by default, and naming
	// one in fields, filter or sort is a fault: filtering by a value would reveal it.
	Hidden map[string]bool
}

// Check returns the payload of a tool call's arguments. raw is JSON; empty and null mean no
// arguments. Wrong arguments are an [InvalidArguments] error that lists the faults of shape, or if
// there are none, the faults of meaning.
func (a *Action) Check(raw []byte, l Limits) (*Payload, *Error) {
	args, err := decode(raw)
	if err != nil {
		err.Next = a.usage()
		return nil, err
	}
	a.check.lowerIDs(args)
	a.lowerFilterIDs(args["filter"])
	f := faults{action: a}
	a.checkSizes(raw, args, &f)
	if len(f.list) == 0 {
		a.check.check("", args, &f)
	}
	if len(f.list) == 0 {
		a.checkMeaning(args, l.Hidden, &f)
	}
	if len(f.list) > 0 {
		return nil, &Error{Outcome: InvalidArguments, Message: "the arguments do not fit " + a.Name, Details: f.list, Next: a.usage()}
	}
	p := &Payload{Action: a}
	p.Reason, _ = args["reason"].(string)
	delete(args, "reason")
	a.complete(p, args, l)
	if fields, ok := args["fields"].([]any); ok && len(fields) == 0 { // Sippet, and Restore, would reject it
		f.add("fields", "the policy hides all default fields from this caller: name other fields")
		return nil, &Error{Outcome: InvalidArguments, Message: "the arguments do not fit " + a.Name, Details: f.list, Next: a.usage()}
	}
	args["action"] = a.Name
	p.Args = args
	p.Body = encode(args)
	return p, nil
}

// Restore returns the payload of a recorded Body. It fails if Check would not encode the call like
// this: the body is from another version of the registry, or was not written by Check.
func Restore(body []byte) (*Payload, *Error) {
	args, fault := decode(body)
	if fault != nil {
		return nil, fault
	}
	name, _ := args["action"].(string)
	a, err := Find(name)
	if err != nil {
		return nil, err
	}
	p, err := a.parsePayload(body)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(p.Body, body) {
		return nil, &Error{Outcome: InvalidArguments, Message: "the recorded arguments of " + name + " are not as this version of the program encodes them"}
	}
	p.Notes = nil
	return p, nil
}

func (a *Action) usage() string {
	keys := make([]string, 0, len(a.check.names))
	for _, n := range a.check.names {
		if slices.Contains(a.check.required, n) {
			n += " (required)"
		}
		keys = append(keys, n)
	}
	if len(keys) == 0 {
		return a.Name + " takes no arguments; nothing was sent, call it with {}"
	}
	return "nothing was sent; correct the arguments and call again. " + a.Name + " takes " + strings.Join(keys, ", ")
}

// checkMeaning checks what a schema cannot say.
func (a *Action) checkMeaning(args map[string]any, hidden map[string]bool, f *faults) {
	if len(a.Targets) > 0 {
		a.checkTargets(args, f)
	}
	fields, _ := args["fields"].([]any)
	for i, v := range fields {
		if name, ok := v.(string); ok && hidden[name] {
			f.add(index("fields", i), "%s is hidden from this caller by the policy", quote(name))
		}
	}
	if v, ok := args["filter"].(map[string]any); ok {
		(&filterCheck{resource: a.Resource, hidden: hidden, faults: f}).checkGroup("filter", v, 1)
	}
	if v, ok := args["sort"].(string); ok {
		checkSort(a.Resource, v, hidden, f)
	}
	if v, ok := args["page"].(map[string]any); ok {
		_, after := v["after"]
		_, before := v["before"]
		_, offset := v["offset"]
		_, count := v["count"]
		if after && before || (after || before) && (offset || count) {
			f.add("page", "takes offset and count, or after, or before, not several")
		}
	}
	in, _ := args["input"].(map[string]any)
	start, end := in["contactRangeStart"], in["contactRangeEnd"]
	if start, ok := start.(json.Number); ok {
		if end, ok := end.(json.Number); ok && int64Of(start) > int64Of(end) {
			f.add("input.contactRangeEnd", "must not be less than contactRangeStart")
		}
	}
}

func (a *Action) checkTargets(args map[string]any, f *faults) {
	in, _ := args["input"].(map[string]any)
	given := 0
	for _, t := range a.Targets {
		if _, ok := in[t]; ok {
			given++
		}
	}
	switch {
	case given == 0:
		f.add("input", "needs exactly one of %s", strings.Join(a.Targets, " and "))
	case given > 1:
		f.add("input", "takes only one of %s", strings.Join(a.Targets, " and "))
	}
}

// complete adds what the caller left out and the answer needs.
func (a *Action) complete(p *Payload, args map[string]any, l Limits) {
	if a.Resource != nil {
		if _, ok := args["fields"]; !ok && a.hasKey("fields") {
			p.DefaultFields = true
			fields := make([]any, 0, len(a.defaultFields))
			for _, name := range a.defaultFields {
				if !l.Without[name] && !l.Hidden[name] {
					fields = append(fields, name)
				}
			}
			args["fields"] = fields
		}
	}
	if a.CreatesSubject() {
		if fields := args["fields"].([]any); !slices.Contains(fields, any("id")) {
			args["fields"] = append(fields, "id")
			p.Notes = append(p.Notes, "id was added to fields, because it identifies the person of the record")
		}
	}
	if !a.List() {
		return
	}
	// An empty filter, sort or page means none.
	for _, k := range []string{"filter", "page"} {
		if m, ok := args[k].(map[string]any); ok && len(m) == 0 {
			delete(args, k)
		}
	}
	if args["sort"] == "" {
		delete(args, "sort")
	}
	if a.Paged() {
		a.completePage(p, args, l)
		return
	}
	if _, ok := args["filter"]; ok {
		return
	}
	// From a full hour, so that a repeat after an approval is the same payload.
	since := l.Now.UTC().Add(-24 * time.Hour).Truncate(time.Hour).Format("2006-01-02T15:04:05.000000Z")
	args["filter"] = map[string]any{a.Resource.TimeField: map[string]any{"greaterThanOrEqual": since}}
	if _, ok := args["sort"]; !ok {
		args["sort"] = "-" + a.Resource.TimeField
	}
	p.Notes = append(p.Notes, fmt.Sprintf("no filter was given, so these are the last 24 hours by %s; filter by time for other records", a.Resource.TimeField))
}

func (a *Action) completePage(p *Payload, args map[string]any, l Limits) {
	page, ok := args["page"].(map[string]any)
	if !ok {
		page = map[string]any{}
		args["page"] = page
	}
	n, ok := page["limit"].(json.Number)
	switch {
	case !ok:
		page["limit"] = json.Number(strconv.Itoa(pageRows(defaultLimit, l.Rows)))
	case l.Rows > 0 && int64Of(n) > int64(l.Rows):
		page["limit"] = json.Number(strconv.Itoa(l.Rows))
		p.Notes = append(p.Notes, fmt.Sprintf("page.limit was lowered from %s to %d, so that the answer is not too long", n, l.Rows))
	}
}

func pageRows(want, bound int) int {
	if bound > 0 {
		return min(want, bound)
	}
	return want
}

func int64Of(n json.Number) int64 { v, _ := n.Int64(); return v }

// maxDepth is how deep arguments may nest: deeper than any readable filter, and cheap to walk.
const maxDepth = 32

func decode(raw []byte) (map[string]any, *Error) {
	bad := func(format string, args ...any) *Error {
		return &Error{Outcome: InvalidArguments, Message: fmt.Sprintf(format, args...)}
	}
	if len(raw) > MaxArguments {
		return nil, bad("the arguments have %d bytes, at most %d are taken", len(raw), MaxArguments)
	}
	if !utf8.Valid(raw) {
		return nil, bad("the arguments are not valid UTF-8")
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return map[string]any{}, nil
	}
	if depth(raw) > maxDepth {
		return nil, bad("the arguments nest more than %d levels deep", maxDepth)
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, bad("the arguments are not JSON")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, bad("the arguments are more than one JSON value")
	}
	switch v := v.(type) {
	case nil:
		return map[string]any{}, nil
	case map[string]any:
		if path := findNUL("", v); path != "" {
			return nil, bad("the character U+0000 at %s cannot be stored", path)
		}
		return v, nil
	}
	return nil, bad("the arguments must be a JSON object, not %s", article(typeOf(v)))
}

// depth returns how deep brackets nest, without decoding.
func depth(raw []byte) int {
	nesting, most, inside := 0, 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inside && c == '\\':
			i++
		case c == '"':
			inside = !inside
		case inside:
		case c == '{' || c == '[':
			nesting++
			most = max(most, nesting)
		case c == '}' || c == ']':
			nesting--
		}
	}
	return most
}

// findNUL returns the path of a string or key with U+0000 in it, which no database column takes.
func findNUL(path string, v any) string {
	switch v := v.(type) {
	case string:
		if strings.IndexByte(v, 0) >= 0 {
			return path
		}
	case []any:
		for i, e := range v {
			if p := findNUL(index(path, i), e); p != "" {
				return p
			}
		}
	case map[string]any:
		for k, e := range v {
			if strings.IndexByte(k, 0) >= 0 {
				return join(path, "a name")
			}
			if p := findNUL(join(path, k), e); p != "" {
				return p
			}
		}
	}
	return ""
}

// encode makes a request body. No other function does.
func encode(args map[string]any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(args); err != nil {
		panic("schemas: decoded JSON does not encode: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
