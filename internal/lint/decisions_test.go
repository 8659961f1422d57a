package lint

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var (
	decisionName = regexp.MustCompile(`^(\d{4})-[a-z0-9-]+\.md$`)
	decisionHead = regexp.MustCompile(`^# (.+)\n\n- Status: (accepted|replaced by \d{4})\n- Date: (\d{4}-\d\d-\d\d(?:, revised \d{4}-\d\d-\d\d)?)\n\n`)
)

func TestDecisionsAreIndexed(t *testing.T) {
	const dir = "docs/decisions"
	entries, err := os.ReadDir("../../" + dir)
	if err != nil {
		t.Fatal(err)
	}
	index := read(t, dir+"/README.md")
	numbers := map[string]bool{}
	for _, e := range entries {
		if e.Name() == "README.md" {
			continue
		}
		name := decisionName.FindStringSubmatch(e.Name())
		if name == nil {
			t.Errorf("%s: a page is named by a number and words", e.Name())
			continue
		}
		if numbers[name[1]] {
			t.Errorf("%s: the number is taken", e.Name())
		}
		numbers[name[1]] = true
		head := decisionHead.FindStringSubmatch(read(t, dir+"/"+e.Name()))
		if head == nil {
			t.Errorf("%s does not begin with title, status and date as README.md shows them", e.Name())
			continue
		}
		row := "| " + strings.Join([]string{name[1], "[" + head[1] + "](" + e.Name() + ")", head[2], head[3]}, " | ") + " |\n"
		if !strings.Contains(index, row) {
			t.Errorf("README.md has no row\n%s", row)
		}
	}
}
