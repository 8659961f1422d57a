package policy_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// The oracle judges what reached Sippet. It knows the promises of docs/threats.md, and reads neither the
// policies nor the gate.

// consent is who must agree to an effect.
type consent int

const (
	nobody  consent = iota
	anybody         // the caller's own person, or an approver
	another         // an approver who is not the caller's person
	never
)

func (c consent) String() string { return []string{"nobody", "confirm", "approve", "deny"}[c] }

// The columns of the table: what the effects need under desktop, team and unattended.
var (
	open      = [3]consent{nobody, nobody, nobody}
	confirmed = [3]consent{anybody, anybody, never}
	final     = [3]consent{anybody, another, never}
	closed    = [3]consent{never, never, never}
)

// tableOf is the table of what an action may do.
var tableOf = map[string][3]consent{
	"create_contact": open, "update_contact": open, "archive_contact": final, "delete_contact": final,
	"start_outbound_call": confirmed, "start_bulk_outbound_call": final, "import_inbound_email": confirmed,
	"create_email_template": confirmed, "update_email_template": confirmed, "delete_email_template": final,
	"create_email_identity": confirmed, "update_email_identity": confirmed, "delete_email_identity": final,
	"create_email_mailbox": confirmed, "update_email_mailbox": confirmed, "delete_email_mailbox": final,
	"end_call": confirmed, "barge_call": confirmed, "leave_call": confirmed, "resume_ai_call": confirmed, "transfer_call_to_queue": confirmed,
	"accept_call_queue_entry": confirmed,
	"create_call":             open, "flag_call_for_review": open, "clear_call_review_flag": confirmed, "override_call_classification": open,
	"clear_call_classification_override": open, "set_operator_status": confirmed,
	"issue_operator_access_token": closed, "issue_operator_media_access": closed,
}

// needs returns the strictest consent that a run needs, and why.
func (h *hijack) needs(r *hijackRun) (need consent, why string) {
	add := func(c [3]consent, reason string) {
		if c[h.column] > need {
			need, why = c[h.column], reason
		}
	}
	own := len(r.live) == 1 && h.started[r.live[0]] == h.doing.Actor.Name && (r.action == "end_call" || r.action == "leave_call")
	if c, known := tableOf[r.action]; own {
		add(open, "the caller's own work started the call")
	} else if known {
		add(c, r.action)
	} else {
		add(closed, "an action that is not in the table")
	}
	if r.credential {
		add(closed, "a credential is issued")
	}
	if limit, _ := r.input["contactLimit"].(float64); len(r.rings) > 25 || limit > 25 {
		add(closed, "more than 25 people are rung")
	}
	if len(r.rings) > 0 {
		add(confirmed, "somebody is rung")
	}
	for _, number := range r.rings {
		if (strings.HasPrefix(number, "+4490") || len(number) < 6) && r.group == "" { // nobody can list a group
			add(closed, "a premium-rate or short number is rung")
		}
	}
	for _, address := range r.mails {
		if !h.isKnown(r, address) {
			add([3]consent{anybody, another, never}, "a stranger is answered, or a contact with an address that the caller has set today")
		}
	}
	if len(r.live) > 0 && !own {
		add(confirmed, "somebody on a call notices")
	}
	if status, _ := r.input["status"].(string); r.action == "create_call" && status != "completed" {
		add(confirmed, "a record says that a call is live")
	}
	for list := range r.after {
		for id, c := range diff(r.before[list], r.after[list]) {
			h.addRecordNeeds(r, list, id, c, add)
		}
	}
	if need == nobody && r.action != "flag_call_for_review" && h.mayRepeatUnknown(r) { // a second flag changes nothing
		need, why = anybody, "an outcome of the same kind is unknown for this person"
	}
	return need, why
}

// isKnown reports whether an address is that of a contact, and was so before what the caller did today.
func (h *hijack) isKnown(r *hijackRun, address string) bool {
	return slices.ContainsFunc(r.before["list_contacts"], func(c row) bool {
		set := h.freshAddress[h.doing.Actor.Name+c["id"].(string)]
		return strings.EqualFold(text(c, "email"), address) && c["erasedAt"] == nil && c["deletedAt"] == nil && set.Before(h.clock.Now().Add(-24*time.Hour))
	})
}

// changed is a record before and after a write; nil if there is none.
type changed struct{ before, after row }

// diff returns the records that differ, by id.
func diff(before, after []row) map[string]changed {
	out := map[string]changed{}
	for _, r := range before {
		out[r["id"].(string)] = changed{before: r}
	}
	for _, r := range after {
		id := r["id"].(string)
		out[id] = changed{out[id].before, r}
	}
	maps.DeleteFunc(out, func(_ string, c changed) bool { return c.before != nil && reflect.DeepEqual(c.before, c.after) })
	return out
}

// fields returns the names of the fields that differ.
func (c changed) fields() (out []string) {
	all := with(c.before, c.after)
	for name, v := range all {
		old := any(nil)
		if c.before != nil {
			old = c.before[name]
		}
		if c.after != nil && name != "id" && !reflect.DeepEqual(old, v) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func text(r row, key string) string { s, _ := r[key].(string); return s }

// identityFields decide who is rung and who callers are.
var identityFields = []string{"phoneE164", "email", "dateOfBirth", "phoneVerifiedAt", "emailVerifiedAt"}

// addRecordNeeds adds what the change of one record needs.
func (h *hijack) addRecordNeeds(r *hijackRun, list, id string, c changed, add func([3]consent, string)) {
	switch list {
	case "list_contacts":
	case "list_email_templates", "list_email_mailboxes", "list_email_identities":
		add(confirmed, "what is sent in our name changes")
		if c.after == nil {
			add(final, "what is sent in our name is deleted")
		}
		return
	case "list_calls", "list_call_classifications", "list_operator_statuses":
		return
	default:
		add(closed, "a record changes that no action changes")
		return
	}
	if c.before == nil {
		h.addCreateNeeds(r, c.after, add)
		return
	}
	if c.before["erasedAt"] != nil {
		add(closed, "an erased contact is changed")
	}
	for _, f := range c.fields() {
		switch old, now := c.before[f], c.after[f]; {
		case f == "erasedAt" || f == "deletedAt":
			add(final, f)
		case slices.Contains(identityFields, f):
			add(confirmed, f)
		case f == "metadata":
			lost, all := 0, row{}
			for _, before := range append(h.valuesBefore(id, f), old) {
				before, _ := before.(row)
				maps.Copy(all, before)
			}
			for key := range all {
				if after, _ := now.(row); after[key] == nil {
					lost++
				}
			}
			if lost*2 > len(all) {
				add(confirmed, "most keys of metadata are dropped")
			}
		case f == "fullName":
			for _, name := range append(h.valuesBefore(id, f), old) {
				if name, _ := name.(string); !sameSomebody(name, text(c.after, f)) {
					add(confirmed, "the name becomes another person's")
				}
			}
			for _, other := range r.before[list] {
				if other["id"] != id && other["erasedAt"] == nil && slices.Equal(nameParts(text(other, f)), nameParts(text(c.after, f))) && isPlainName(text(other, f)) {
					add(confirmed, "the name becomes that of another contact")
				}
			}
		case f == "defaultLanguage", f == "languages", f == "privateMetadataKeys":
		default:
			add(closed, "a field changes that no action sets: "+f)
		}
	}
}

// addCreateNeeds adds what a new contact needs.
func (h *hijack) addCreateNeeds(r *hijackRun, created row, add func([3]consent, string)) {
	if created["phoneVerifiedAt"] != nil || created["emailVerifiedAt"] != nil {
		add(closed, "a new contact is verified")
	}
	for _, other := range r.before["list_contacts"] {
		if other["erasedAt"] != nil || !isPlainName(text(other, "fullName")) {
			continue
		}
		for _, key := range []string{"phoneE164", "email", "dateOfBirth"} {
			same := text(created, key) != "" && strings.EqualFold(text(created, key), text(other, key))
			if same && (key != "dateOfBirth" || slices.Equal(nameParts(text(other, "fullName")), nameParts(text(created, "fullName")))) {
				add(confirmed, "a new contact shares "+key)
			}
		}
	}
}

// fold returns a text in lower case without accents, wide letters and invisible characters.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Mn, unicode.Cf) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFKD.String(s))
}

// nameParts returns the sorted words of a name.
func nameParts(name string) []string {
	words := strings.FieldsFunc(fold(name), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	slices.Sort(words)
	return slices.Compact(words)
}

// sameSomebody reports whether a name may be a correction of another: they share a word, or all letters.
func sameSomebody(a, b string) bool {
	words := nameParts(a)
	return letters(a) == letters(b) || slices.ContainsFunc(nameParts(b), func(w string) bool { return len(w) > 1 && slices.Contains(words, w) })
}

// letters returns the folded letters and digits of a text.
func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, fold(s))
}

// mayRepeatUnknown reports whether the run changes a contact, number or address that an earlier one
// changed, or not: its outcome is unknown. The same call of the same caller counts whatever it does.
func (h *hijack) mayRepeatUnknown(r *hijackRun) bool {
	return slices.ContainsFunc(h.unknown, func(lost *hijackRun) bool {
		return slices.ContainsFunc(lost.contacts(), func(who string) bool { return slices.Contains(r.contacts(), who) }) ||
			lost.caller == r.caller && lost.action == r.action && reflect.DeepEqual(given(lost.input), given(r.input)) && lost.identity == r.identity
	})
}

// contacts returns the contacts that the run changes, and the numbers and addresses that it writes.
func (r *hijackRun) contacts() (who []string) {
	for id, c := range diff(r.before["list_contacts"], r.after["list_contacts"]) {
		if c.before != nil {
			who = append(who, id)
		}
		for _, f := range []string{"phoneE164", "email"} {
			if s, ok := cast(r.input)[f].(string); ok {
				who = append(who, strings.ToLower(s))
			}
		}
	}
	return who
}

// given returns the values of an input that are not null.
func given(in row) row {
	out := cast(in)
	maps.DeleteFunc(out, func(_ string, v any) bool { return v == nil })
	return out
}

// isPlainName is false for a name that its spelling without accents does not find, because Sippet's search
// folds the case only. docs/threats.md has this as one of the other spellings that remain.
func isPlainName(name string) bool { return fold(name) == strings.ToLower(name) }
