package schemas

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestReverse(t *testing.T) {
	id := `"identity":"` + someID + `"`
	for _, c := range []struct{ name, action, args, replaced, restoring, want string }{
		{"an update", "update_contact", `{` + id + `,"input":{"phoneE164":"+442079460123","metadata":{}},"fields":["id"]}`,
			`{"phoneE164":null,"metadata":{"n":9007199254740993},"email":"not asked"}`,
			"update_contact", `{` + id + `,"input":{"metadata":{"n":9007199254740993},"phoneE164":null}}`},
		{"a template", "update_email_template", `{` + id + `,"input":{"body":"<new>","active":false}}`, `{"body":"<old> & {{x}}","active":true}`,
			"update_email_template", `{` + id + `,"input":{"active":true,"body":"<old> & {{x}}"}}`},
		{"a status", "set_operator_status", `{"input":{"sipUserId":"` + someID + `"}}`, `{"status":"on_break","source":null}`,
			"set_operator_status", `{"input":{"sipUserId":"` + someID + `","source":null,"status":"on_break"}}`},
		{"a flag", "flag_call_for_review", `{` + id + `}`, `{"flaggedAt":null,"flaggedByUserId":null}`, "clear_call_review_flag", `{` + id + `}`},
		{"no flag", "clear_call_review_flag", `{` + id + `}`, `{"flaggedAt":"2026-01-01T00:00:00Z","flaggedByUserId":null}`, "flag_call_for_review", `{` + id + `}`},
		{"a first label", "override_call_classification", `{` + id + `,"input":{"label":"b"}}`, `{"effectiveLabel":"a","overriddenAt":null}`,
			"clear_call_classification_override", `{` + id + `}`},
		{"a second label", "override_call_classification", `{` + id + `,"input":{"label":"b"}}`, `{"effectiveLabel":"a","overriddenAt":"2026-01-01T00:00:00Z"}`,
			"override_call_classification", `{` + id + `,"input":{"label":"a"}}`},
		{"no label", "clear_call_classification_override", `{` + id + `}`, `{"effectiveLabel":"a","overriddenAt":"2026-01-01T00:00:00Z"}`,
			"override_call_classification", `{` + id + `,"input":{"label":"a"}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, e := check(t, c.action, c.args)
			if e != nil {
				t.Fatal(e)
			}
			restoring, args, err := Reverse(c.action, p.Body, []byte(c.replaced))
			if err != nil || restoring != c.restoring {
				t.Fatalf("%s: %v", restoring, err)
			}
			if diff := cmp.Diff(c.want, string(args)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestIrreversible(t *testing.T) {
	const update = `{"identity":"` + someID + `","input":{"fullName":"Ada","phoneE164":"+442079460123"}}`
	const only = `{"identity":"` + someID + `"}`
	for _, c := range []struct{ name, action, payload, replaced, want string }{
		{"an unknown action", "undelete", update, `{}`, `unknown action "undelete"`},
		{"a read", "list_contacts", `{}`, `{}`, "it changes nothing"},
		{"a creation", "create_contact", `{"input":{"fullName":"Ada"}}`, `{}`, "archive_contact or erased with delete_contact, and both are final"},
		{"an outbound call", "start_outbound_call", `{}`, `{}`, "it has reached a person"},
		{"a deletion", "delete_email_template", only, `{}`, "this API cannot restore it"},
		{"an archiving", "archive_contact", only, `{}`, "this API cannot restore it"},
		{"a token", "issue_operator_access_token", `{}`, `{}`, "cannot be revoked with this API"},
		{"no values", "update_contact", update, ``, "the old values were not recorded"},
		{"null", "update_contact", update, `null`, "the old values were not recorded"},
		{"no value of one", "update_contact", update, `{"fullName":"Bob"}`, "the old value of phoneE164 was not recorded"},
		{"values of nothing", "update_contact", `{"identity":"` + someID + `","input":{}}`, `{"fullName":"Bob"}`, "it changed nothing"},
		{"a value that cannot be emptied", "update_contact", update, `{"fullName":null,"phoneE164":null}`, "fullName was empty before, and update_contact cannot clear it"},
		{"a value that is not taken", "update_contact", update, `{"fullName":"Bob","phoneE164":"ignore all"}`, "no call takes the old value of phoneE164"},
		{"a value of another type", "update_contact", update, `{"fullName":{"a":1},"phoneE164":[]}`, "no call takes the old value of fullName and phoneE164"},
		{"an unknown status", "set_operator_status", `{"input":{"sipUserId":"` + someID + `"}}`, `{"status":"away","source":"api"}`, "no call takes the old value of status"},
		{"a new operator", "set_operator_status", `{"input":{"sipUserId":"` + someID + `"}}`, ``, "the old values were not recorded"},
		{"a value too deep", "update_contact", `{"identity":"` + someID + `","input":{"metadata":null}}`,
			`{"metadata":` + strings.Repeat(`{"a":`, 30) + `{}` + strings.Repeat(`}`, 30) + `}`, "the old values cannot be sent"},
		{"no JSON", "update_contact", update, `{`, "the recorded old values cannot be read"},
		{"no object", "update_contact", update, `[]`, "the recorded old values cannot be read"},
		{"no payload", "update_contact", ``, `{"fullName":"Bob"}`, "its recorded arguments cannot be read"},
		{"no such payload", "update_contact", `{"identity":7}`, `{"fullName":"Bob"}`, "its recorded arguments cannot be read"},
		{"another's payload", "update_contact", `{"action":"archive_contact","identity":"` + someID + `","input":{}}`, `{"fullName":"Bob"}`, "its recorded arguments cannot be read"},
		{"flagged before", "flag_call_for_review", only, `{"flaggedAt":"2026-01-01T00:00:00Z"}`, "the call had a flag before"},
		{"not flagged before", "clear_call_review_flag", only, `{"flaggedAt":null}`, "there is nothing to put back"},
		{"nobody knows", "clear_call_review_flag", only, `{"flaggedByUserId":null}`, "the old value of flaggedAt was not recorded"},
		{"no label before", "clear_call_classification_override", only, `{"effectiveLabel":"a","overriddenAt":null}`, "no label had been set before"},
		{"a label of nothing", "clear_call_classification_override", only, `{"effectiveLabel":null,"overriddenAt":"2026-01-01T00:00:00Z"}`, "effectiveLabel was empty before, and override_call_classification cannot clear it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			name, args, e := Reverse(c.action, []byte(c.payload), []byte(c.replaced))
			if e == nil || e.Outcome != InvalidArguments || name != "" || args != nil {
				t.Fatalf("%s %s: %v", name, args, e)
			}
			if !strings.Contains(e.Message, c.want) || byName[c.action] != nil && !strings.HasPrefix(e.Message, c.action+" cannot be undone: ") {
				t.Errorf("got  %s\nwant %s", e.Message, c.want)
			}
			if strings.Contains(e.Error(), "Bob") || strings.Contains(e.Error(), "ignore all") {
				t.Errorf("the error holds a value: %v", e)
			}
		})
	}
}

// TestReverseUnreadableField: the error names a field that an input sets and no list selects.
func TestReverseUnreadableField(t *testing.T) {
	a := &Action{Name: "update_call", Class: Write, payloadKeys: "identity, input", input: createCallInput{}, Resource: callResource, undo: &undo{set: "update_call"},
		required: map[string]bool{"identity": true, "input": true}}
	a.build()
	byName[a.Name] = a
	defer delete(byName, a.Name)
	p, err := a.Check([]byte(`{"identity":"`+someID+`","input":{"direction":"inbound","fromNumber":"1","toNumber":"2","callUuid":"x","outboundTrunkSource":null}}`), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if want := `"fields":["id","direction","fromNumber","toNumber","callUuid"]`; !strings.Contains(string(p.BeforeRead().Body), want) {
		t.Errorf("before: %s", p.BeforeRead().Body)
	}
	_, _, err = Reverse(a.Name, p.Body, []byte(`{"direction":"inbound","fromNumber":"1","toNumber":"2","callUuid":"x"}`))
	if err == nil || !strings.Contains(err.Error(), "the old value of outboundTrunkSource cannot be read") {
		t.Error(err)
	}
}

// TestUndoEntries: every write names an existing action that reverses it, or the reason why none
// does.
func TestUndoEntries(t *testing.T) {
	for _, a := range Actions() {
		u := a.undo
		if (u != nil) != (a.Class == Write) {
			t.Errorf("%s (%s): undo %v", a.Name, a.Class, u)
			continue
		}
		if u == nil {
			if a.whyIrreversible() == "" || a.alsoSets != nil || a.recordKey != "" {
				t.Errorf("%s neither says why it cannot be undone nor is a write", a.Name)
			}
			continue
		}
		if (u.never == "") != a.updatesRecord() || u.never != "" && (u.set != "" || u.unset != "" || u.mark != "") {
			t.Errorf("%s: %+v", a.Name, u)
			continue
		}
		if u.never != "" {
			continue
		}
		lists := 0
		for _, l := range Actions() {
			if l.List() && l.Resource == a.Resource {
				lists++
			}
		}
		if lists != 1 || a.list == nil || a.list.Resource != a.Resource {
			t.Errorf("%s: read with %v, one of %d", a.Name, a.list, lists)
		}
		for _, f := range a.alsoSets {
			if a.Resource.Field(f) == nil {
				t.Errorf("%s replaces %s, which %s does not have", a.Name, f, a.Resource.Name)
			}
		}
		if k := a.recordKey; (k == "") != a.hasKey("identity") ||
			k != "" && (a.Resource.Field(k) == nil || !slices.Contains(a.check.props["input"].required, k)) {
			t.Errorf("%s: its record is named by %q", a.Name, k)
		}
		if u.mark == "" {
			if u.set != a.Name || u.unset != "" || u.input != nil {
				t.Errorf("%s: %+v", a.Name, u)
			}
			for _, f := range a.alsoSets {
				if a.check.props["input"].props[f] == nil {
					t.Errorf("%s replaces %s, which it cannot set", a.Name, f)
				}
			}
			continue
		}
		if !slices.Contains(a.alsoSets, u.mark) || (u.set == "") == (u.whySet == "") || (u.unset == "") == (u.whyUnset == "") {
			t.Errorf("%s: %+v", a.Name, u)
		}
		for _, name := range []string{u.set, u.unset} {
			if b := byName[name]; name != "" && (b == nil || b.Resource != a.Resource || b.Class != Write || b.hasKey("identity") != a.hasKey("identity")) {
				t.Errorf("%s is put back by %q", a.Name, name)
			}
		}
		if b := byName[u.set]; b != nil {
			in := b.check.props["input"]
			if (in == nil) != (u.input == nil) {
				t.Errorf("%s: input %v for %s", a.Name, u.input, b.Name)
			}
			for k, f := range u.input {
				if in.props[k] == nil || !slices.Contains(a.alsoSets, f) {
					t.Errorf("%s: %s.%s from %s", a.Name, b.Name, k, f)
				}
			}
		}
	}
}

// effects are what Sippet changes in a record in addition to the input.
var effects = map[string]func(rec, in map[string]any){
	"flag_call_for_review": func(rec, _ map[string]any) {
		rec["flaggedAt"], rec["flaggedByUserId"] = "2026-01-15T12:00:00Z", otherID
	},
	"clear_call_review_flag": func(rec, _ map[string]any) { rec["flaggedAt"], rec["flaggedByUserId"] = nil, nil },
	"override_call_classification": func(rec, in map[string]any) {
		rec["effectiveLabel"], rec["effectiveSource"] = in["label"], "override"
		rec["overriddenAt"], rec["overriddenByUserId"] = "2026-01-15T12:00:00Z", otherID
	},
	"clear_call_classification_override": func(rec, _ map[string]any) {
		rec["effectiveLabel"], rec["effectiveSource"] = rec["predictedLabel"], "model"
		rec["overriddenAt"], rec["overriddenByUserId"] = nil, nil
	},
	"set_operator_status": func(rec, in map[string]any) {
		rec["status"], rec["source"] = "available", "api"
		maps.Copy(rec, in)
	},
}

func apply(p *Payload, rec map[string]any) {
	in, _ := p.Args["input"].(map[string]any)
	if effect := effects[p.Action.Name]; effect != nil {
		effect(rec, in)
		return
	}
	maps.Copy(rec, in)
}

// TestReverseRestores: the call that Reverse returns passes the check and restores the old values
// of the record. If Reverse fails, no call could restore them.
func TestReverseRestores(t *testing.T) {
	for _, a := range Actions() {
		if !a.updatesRecord() {
			continue
		}
		t.Run(a.Name, func(t *testing.T) {
			undone, not := 0, 0
			rapid.Check(t, func(t *rapid.T) {
				if reversed(t, a) {
					undone++
				} else {
					not++
				}
			})
			if !testing.Short() && (undone == 0 || not == 0) {
				t.Errorf("undone %d times and %d times not: what is drawn tests too little", undone, not)
			}
		})
	}
}

// reversed draws a write and reports whether it can be undone.
func reversed(t *rapid.T, a *Action) bool {
	rec := drawRecord(t, a)
	p := drawWrite(t, a, rec)
	before := p.BeforeRead()
	if before == nil {
		if in, _ := p.Args["input"].(map[string]any); len(in) > 0 || a.alsoSets != nil {
			t.Fatalf("nothing is read before %s", p.Body)
		}
		return false
	}
	if again, err := before.Action.Check(asArguments(before), Limits{Now: noon, Rows: 1}); err != nil || string(again.Body) != string(before.Body) {
		t.Fatalf("%s is not canonical: %v", before.Body, err)
	}
	replaced := p.Replaced(answer(before, rec))
	var old map[string]any
	if err := json.Unmarshal(replaced, &old); err != nil {
		t.Fatalf("replaced %q: %v", replaced, err)
	}
	if got := slices.Sorted(maps.Keys(old)); !slices.Equal(got, slices.Sorted(slices.Values(p.setFields()))) {
		t.Fatalf("%s replaced %v", p.Body, got)
	}
	now := maps.Clone(rec)
	apply(p, now)
	name, args, err := Reverse(a.Name, p.Body, replaced)
	if err != nil {
		if !unrestorable(a, p, rec) {
			t.Fatalf("%s after %s: %v", p.Body, replaced, err)
		}
		return false
	}
	restoring, err := byName[name].Check(args, Limits{Now: noon})
	if err != nil {
		t.Fatalf("%s %s: %v", name, args, err)
	}
	apply(restoring, now)
	for _, f := range p.setFields() {
		got, want := now[f], rec[f]
		switch {
		case f == "effectiveSource": // Sippet sets it
			continue
		case f == a.undo.mark, strings.HasSuffix(f, "ByUserId"): // the time and the author are those of the reversal
			got, want = got == nil, want == nil
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s, then %s: %s: %s", p.Body, restoring.Body, f, diff)
		}
	}
	return true
}

// unrestorable reports whether no call could restore the record.
func unrestorable(a *Action, p *Payload, rec map[string]any) bool {
	u := a.undo
	switch {
	case u.mark != "" && rec[u.mark] == nil:
		return u.unset == ""
	case u.mark != "":
		return u.set == "" || rec["effectiveLabel"] == nil
	}
	return slices.ContainsFunc(p.setFields(), func(f string) bool {
		return rec[f] == nil && !slices.Contains(a.check.props["input"].props[f].types, "null")
	})
}
