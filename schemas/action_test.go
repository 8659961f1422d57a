package schemas

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// TestButtons: every action has a text for both buttons of its card, and only reads say that they
// read.
func TestButtons(t *testing.T) {
	for _, a := range Actions() {
		approve, decline := Buttons(a.Name)
		for _, text := range []string{approve, decline} {
			if text == "" || utf8.RuneCountInString(text) > 24 || strings.ContainsAny(text, "{}.!?\n") || strings.TrimSpace(text) != text {
				t.Errorf("%s: %q is empty, too long, or no plain text", a.Name, text)
			}
			for n, word := range strings.Fields(text) {
				if unicode.IsUpper([]rune(word)[0]) != (n == 0) && word != "AI" {
					t.Errorf("%s: %q is not in sentence case", a.Name, text)
				}
			}
		}
		if approve == decline {
			t.Errorf("%s: both buttons say %q", a.Name, approve)
		}
		if reads := approve == "Read it" && decline == "Don't read"; reads != (a.Class == Read) {
			t.Errorf("%s, a %s: %q, %q", a.Name, a.Class, approve, decline)
		}
	}
	if approve, decline := Buttons("an_action_of_an_older_version"); approve != "Approve" || decline != "Decline" {
		t.Errorf("an unknown action: %q, %q", approve, decline)
	}
}
