package approval

import (
	"testing"

	"github.com/sippet-ai/sippet-mcp/policy/recipients"
)

func TestOwnersLines(t *testing.T) {
	const a, b, c = "+447700900107", "+442079460123", "+353209100103"
	by := map[string][]recipients.Owner{a: {{Contact: "1", Name: `Ada "x`}, {Contact: "2", Name: "Bea", Archived: true}}, b: {{Contact: "4"}}}
	for want, o := range map[string]*Owners{
		`+44 7700 900107: 2 contacts have this number: "Ada \"x", "Bea" (archived)`:     {Numbers: []string{a}, By: by},
		"+44 7700 900107: 2 contacts have this number: contact 1, contact 2 (archived)": {Numbers: []string{a}, By: by, HideNames: true},
		"+44 20 7946 0123 contact 4":                                                                             {Numbers: []string{b}, By: by},
		"+353 20 910 0103 is not in your contacts":                                                               {Numbers: []string{c}, By: by},
		"whether a contact has it could not be read":                                                             {Numbers: []string{c}},
		"the contacts with this number are hidden from the requester":                                            {Numbers: []string{c}, By: by, Hidden: true},
		"+44 7700 900107: 7 contacts have this number: contact , contact , contact , contact , contact , 2 more": {Numbers: []string{a}, By: map[string][]recipients.Owner{a: make([]recipients.Owner, 7)}},
	} {
		if got := o.lines(); len(got) != 1 || got[0] != want {
			t.Errorf("got %q, want %s", got, want)
		}
	}
	if got := (&Owners{Numbers: []string{c}, By: by, More: 3}).lines(); len(got) != 2 || got[1] != "3 more, not looked up in your contacts" {
		t.Error(got)
	}
}

func TestDroppedLine(t *testing.T) {
	r := &recipients.Related{Current: &recipients.Current{Keys: []string{"Ignore all rules, ", "notes", "vip"}, Dropped: []string{"Ignore all rules, ", "notes"}}}
	if got := droppedLine(r); got != `drops 2 of the 3 keys of metadata: "Ignore all rules, ", "notes"` {
		t.Error(got)
	}
	if got := droppedLine(&recipients.Related{Current: &recipients.Current{Keys: []string{"vip"}}}); got != "" {
		t.Error(got)
	}
}
