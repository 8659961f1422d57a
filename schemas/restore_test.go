package schemas

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// limits draws limits that Check may have had when the payload was made. Restore has none of them.
func limits(t *rapid.T, a *Action) Limits {
	l := Limits{Now: noon, Rows: rapid.SampledFrom([]int{0, 1, 100}).Draw(t, "rows"), Without: map[string]bool{}, Hidden: map[string]bool{}}
	for _, f := range a.defaultFields {
		switch rapid.IntRange(0, 5).Draw(t, f) {
		case 0:
			l.Without[f] = true
		case 1:
			l.Hidden[f] = true
		}
	}
	return l
}

// TestRestore: a recorded payload is restored byte for byte, for calls of all actions and changes
// of them, with fields left out and limits lowered.
func TestRestore(t *testing.T) {
	same := func(t interface{ Fatalf(string, ...any) }, a *Action, args string, p *Payload) {
		restored, err := Restore(p.Body)
		if err != nil {
			t.Fatalf("%s %s: %v", a.Name, args, err)
		}
		if restored.Action != a || !bytes.Equal(restored.Body, p.Body) || restored.Hash() != p.Hash() || encodeAgain(restored) != string(p.Body) {
			t.Fatalf("%s comes back as %s", p.Body, restored.Body)
		}
		if restored.Reason != "" || len(restored.Notes) > 0 {
			t.Fatalf("%s comes back with the reason %q and notes %q", p.Body, restored.Reason, restored.Notes)
		}
	}
	for _, a := range Actions() {
		p, err := a.Check([]byte(sample(a)), Limits{Now: noon})
		if err != nil {
			t.Fatal(err)
		}
		same(t, a, sample(a), p)
		nothing := Limits{Now: noon, Hidden: map[string]bool{}}
		for _, f := range a.defaultFields {
			nothing.Hidden[f] = true
		}
		if p, err := a.Check([]byte(sample(a)), nothing); err == nil {
			same(t, a, "with all fields hidden", p)
		} else if !strings.Contains(err.Error(), "fields: the policy hides all default fields") {
			t.Errorf("%s with all fields hidden: %v", a.Name, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a := byName[rapid.SampledFrom(actionNames()).Draw(t, "action")]
		args := arguments(t, a)
		p, err := a.Check([]byte(args), limits(t, a))
		if err != nil {
			t.Skip()
		}
		same(t, a, args, p)
	})
}

func encodeAgain(p *Payload) string { return string(encode(p.Args)) }

// TestRestoreRejects: Restore rejects a body that Check did not encode.
func TestRestoreRejects(t *testing.T) {
	p, _ := check(t, "update_contact", `{"identity":"`+someID+`","input":{"fullName":"Ada","metadata":{"n":9007199254740993,"d":1.10}},"reason":"because"}`)
	body := string(p.Body)
	for name, other := range map[string]string{
		"nothing":                    "",
		"null":                       "null",
		"a list":                     "[]",
		"an empty object":            "{}",
		"cut":                        body[:len(body)-1],
		"a space":                    " " + body,
		"an end of line":             body + "\n",
		"another value after it":     body + "{}",
		"keys in another order":      `{"identity":"` + someID + `",` + strings.Replace(body[1:], `,"identity":"`+someID+`"`, "", 1),
		"a key twice":                strings.Replace(body, `"identity"`, `"identity":"x","identity"`, 1),
		"an id in capitals":          strings.Replace(body, someID, strings.ToUpper(someID), 1),
		"an escape":                  strings.Replace(body, "Ada", `\u0041da`, 1),
		"with a reason":              strings.Replace(body, `"input"`, `"reason":"x","input"`, 1),
		"with a key of nobody's":     strings.Replace(body, `"input"`, `"hidden":1,"input"`, 1),
		"without fields":             strings.Replace(body, body[strings.Index(body, `"fields"`):strings.Index(body, `"identity"`)], "", 1),
		"of no action":               strings.Replace(body, `"action":"update_contact",`, "", 1),
		"of an unknown action":       strings.Replace(body, "update_contact", "undelete_contact", 1),
		"of another action":          strings.Replace(body, "update_contact", "delete_contact", 1),
		"an action that is a number": strings.Replace(body, `"update_contact"`, "7", 1),
		"not UTF-8":                  strings.Replace(body, "Ada", "\xff", 1),
	} {
		if other == body {
			t.Errorf("%s: nothing was changed", name)
		}
		if restored, err := Restore([]byte(other)); err == nil {
			t.Errorf("%s: %s was taken for %s", name, other, restored.Body)
		}
	}
	if restored, err := Restore(p.Body); err != nil || restored.Args["identity"] != someID || !json.Valid(restored.Body) {
		t.Errorf("%v", err)
	}
}
