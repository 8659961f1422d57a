package schemas

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

func recorded(t *testing.T) []Fact {
	t.Helper()
	raw, err := os.ReadFile("testdata/actions.json")
	if err != nil {
		t.Fatal(err)
	}
	var facts []Fact
	if err := json.Unmarshal(raw, &facts); err != nil {
		t.Fatal(err)
	}
	if len(facts) != 52 {
		t.Fatalf("testdata/actions.json has %d actions, want 52", len(facts))
	}
	return facts
}

func TestToolsMatchTheReference(t *testing.T) {
	for _, d := range Diff(recorded(t), Facts()) {
		t.Error(d)
	}
}

// TestPublishedPage compares the published page itself if SIPPET_REFERENCE names a file: a newer
// copy shows how the API has changed.
func TestPublishedPage(t *testing.T) {
	file := os.Getenv("SIPPET_REFERENCE")
	if file == "" {
		file = "testdata/page.txt"
	}
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	facts, err := ParseReference(string(page))
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("SIPPET_REFERENCE") != "" {
		for _, d := range Diff(recorded(t), facts) {
			t.Error(d)
		}
		return
	}
	// The page in testdata has three actions of the same shape, one with every kind of change.
	got := Diff(recorded(t), facts)
	var changed []string
	for _, d := range got {
		if !strings.HasSuffix(d, "the action is gone") {
			changed = append(changed, d)
		}
	}
	want := []string{
		"+ pause_campaign: the action is new",
		`~ set_operator_status: payload keys were "input, fields?", are "identity, input, fields?"`,
		`~ set_operator_status: input status?: "available" | "on_break" | "logged_out"; is gone`,
		`~ set_operator_status: input status?: "available" | "on_break" | "away" | "logged_out"; is new`,
		"~ set_operator_status: field agentName is gone",
		"~ set_operator_status: field fullName is new",
	}
	if strings.Join(changed, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(changed, "\n"), strings.Join(want, "\n"))
	}
	if len(got)-len(changed) != 50 {
		t.Errorf("%d actions are said to be gone, want 50", len(got)-len(changed))
	}
	if _, err := ParseReference("nothing here"); err == nil {
		t.Error("a page without actions was taken")
	}
}
