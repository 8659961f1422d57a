package policy_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// view is a card as the person who approved it saw it.
type view struct {
	card   map[string]any
	texts  []string // all texts of it, or the deed alone if a client showed it
	client bool     // a client showed it
	by     consent  // who approved: anybody or another
	at     time.Time
	caller string // who asked
	body   string // what the request holds
	used   bool
}

// escaped are the forms in which a card shows line ends and invisible characters.
var escaped = regexp.MustCompile(`\\u\{[0-9a-f]+\}|\\+n`)

// squeeze returns what is compared of a text.
func squeeze(s string) string { return letters(escaped.ReplaceAllString(s, " ")) }

// collect adds all texts in a JSON value.
func collect(v any, add func(string)) {
	switch v := v.(type) {
	case string:
		add(v)
	case []any:
		for _, e := range v {
			collect(e, add)
		}
	case row:
		for k, e := range v {
			add(k)
			collect(e, add)
		}
	case nil:
	default:
		add(fmt.Sprint(v))
	}
}

func newView(raw []byte, client bool) (*view, error) {
	v := &view{client: client}
	if len(raw) == 0 { // it was erased
		return v, nil
	}
	if err := json.Unmarshal(raw, &v.card); err != nil {
		return nil, err
	}
	if client {
		lines, _ := v.card["deed"].([]any)
		deed := ""
		for _, l := range lines {
			deed += fmt.Sprint(l) + " "
		}
		v.texts = []string{squeeze(deed)}
		return v, nil
	}
	collect(v.card, func(s string) { v.texts = append(v.texts, squeeze(s)) })
	return v, nil
}

func (v *view) has(s string) bool {
	s = squeeze(s)
	return slices.ContainsFunc(v.texts, func(t string) bool { return strings.Contains(t, s) })
}

// cuts says, on a card, that there are more values than it has.
var cuts = regexp.MustCompile(`\d+ more values that do not fit|\(\d+ in all\)`)

// leavesOut reports whether the card says that it leaves values out.
func (v *view) leavesOut() (says bool) {
	collect(v.card, func(s string) { says = says || cuts.MatchString(s) })
	return says
}

// namedBy are the fields that a person knows a record by.
var namedBy = map[string][]string{"list_contacts": {"fullName", "phoneE164"}, "list_email_templates": {"name"}, "list_email_mailboxes": {"inboundDomain"},
	"list_email_identities": {"displayName", "localPart", "domain"}, "list_calls": {"fromNumber", "toNumber"}, "list_call_classifications": {"effectiveLabel"}, "list_operator_statuses": {"agentName"}}

// maxOld is how long an old value may be that a card must show whole.
const maxOld = 140

// missing returns something that the run does and the card did not show; empty if it showed all.
func (v *view) missing(r *hijackRun) string {
	for _, number := range r.rings {
		if r.group == "" && !v.has(strings.TrimPrefix(number, "+")) {
			return "the number " + number
		}
	}
	ids, _ := r.input["contactIds"].([]any)
	for _, id := range append(ids, r.input["contactId"]) {
		if c := r.before.find("list_contacts", "id", id); !v.has(text(c, "fullName")) {
			return "the name of a recipient, " + text(c, "fullName")
		}
	}
	if count, _ := v.card["recipientCount"].(float64); len(r.rings) > int(count) {
		return "how many are rung"
	}
	if !v.has(r.group) {
		return "the group"
	}
	for _, address := range r.mails {
		if !v.has(address) {
			return "the address " + address
		}
	}
	for _, call := range r.live {
		if c := r.before.find("list_calls", "callUuid", call); !v.has(call) && !v.has(text(c, "fromNumber")) {
			return "the call " + call
		}
	}
	if r.action == "import_inbound_email" {
		return v.missingText(nil, r.input, "an email")
	}
	for list := range r.after {
		for _, c := range diff(r.before[list], r.after[list]) {
			if s := v.missingOf(list, c); s != "" {
				return s
			}
		}
	}
	return ""
}

// missingOf is missing for one record.
func (v *view) missingOf(list string, c changed) string {
	for i, f := range namedBy[list] {
		if v.client && i > 0 && list != "list_contacts" {
			break // two lines have room for a name
		}
		if c.before != nil && !v.has(text(c.before, f)) {
			return fmt.Sprintf("that the record had the %s %q", f, text(c.before, f))
		}
	}
	for _, f := range c.fields() {
		if f == "erasedAt" || f == "deletedAt" || f == "flaggedAt" || f == "overriddenAt" || c.after["erasedAt"] != nil && c.before["erasedAt"] == nil {
			continue // the action says it
		}
		if s := v.missingText(c.before[f], c.after[f], f); s != "" {
			return s
		}
		if c.before == nil || v.client {
			continue
		}
		if s, ok := c.before[f].(string); ok && len(s) <= maxOld && !v.has(s) {
			return fmt.Sprintf("the old %s %q", f, s)
		}
	}
	return ""
}

// missingText returns a part of a new value that the card did not show. Lines that stay need not be
// shown. What is no identity may be left out if the card says so.
func (v *view) missingText(old, value any, field string) (out string) {
	if !slices.Contains(identityFields, field) && v.leavesOut() {
		return ""
	}
	if value == nil && !v.has("empty") && !v.has("null") {
		return "that " + field + " is cleared"
	}
	stays, _ := old.(string)
	collect(value, func(s string) {
		for line := range strings.SplitSeq(s, "\n") {
			if !v.has(line) && !slices.Contains(strings.Split(stays, "\n"), line) {
				out = fmt.Sprintf("%q of %s", line, field)
			}
		}
	})
	return out
}
