package inbox_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// oldBody is the text of a template before a change. Its HTML is one line.
const oldBody = `<p>Dear {{name}},</p><p>your check-up is due. Please ring 020 7946 0018.</p><p>Harbour Lane Dental</p>`

// TestBrowserText: the change of a template's text is on the page, line by line and outside of what is
// folded, with what it adds; the new text can be scrolled to its end. Hostile texts stay texts.
func TestBrowserText(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{wait: 1, policy: strings.Replace(testPolicy, "write: validate", "write: confirm", 1)})
	b := newBrowser(t).strict(w)
	old := oldBody
	w.up.On(rpctest.Run, "list_email_templates", func(r rpctest.Request) rpctest.Answer {
		rows := []map[string]any{{"id": anID, "name": "Recall", "subject": "Check-up", "body": old}}
		if !strings.Contains(string(r.Body), `"filter"`) {
			rows = append(rows, map[string]any{"id": "b", "name": "Reminder", "subject": "Tomorrow", "body": "Call 020 7946 0018 to change it."})
		}
		raw, _ := json.Marshal(map[string]any{"success": true, "data": map[string]any{"results": rows, "hasMore": false, "type": "keyset"}})
		return rpctest.Answer{Body: string(raw)}
	})
	agent := w.token(t, "ada", "agent")
	change := func(body string) string {
		t.Helper()
		return w.callBy(t, agent, "x", "update_email_template", map[string]any{"identity": anID, "input": map[string]any{"body": body}}).Approval.Link
	}
	b.login(w, w.token(t, "bob", "approver"))
	closing := strings.Repeat("<p>We look forward to seeing you.</p>\n", 60) + "<p>The end</p>"
	b.goTo(change(strings.Replace(oldBody, "Please ring 020 7946 0018.", `Pay at <a href="https://harbour.example/pay">our page</a>.`, 1) + closing))
	b.sees("h2", `Change the email template "Recall".`)
	for selector, want := range map[string]string{
		".text del": "Please ring 020 7946 0018.", ".text ins": `Pay at <a href="https://harbour.example/pay">our page</a>`,
		".warn": "adds the link harbour.example/pay", ".record": `"Reminder"`,
	} {
		if got := b.text(selector); !strings.Contains(got, want) {
			t.Errorf("%s says %q, want %q", selector, got, want)
		}
	}
	if n := b.count("details .text"); n > 0 {
		t.Errorf("%d texts are folded", n)
	}
	for _, scheme := range []string{"light", "dark"} {
		for _, phone := range []bool{false, true} {
			b.look(scheme, phone)
			b.shot("text-" + scheme + map[bool]string{true: "-phone"}[phone])
			if wide, has := eval[int](b, `document.documentElement.scrollWidth`), eval[int](b, `document.documentElement.clientWidth`); wide > has {
				t.Errorf("the page is %d wide on a screen of %d", wide, has)
			}
		}
	}
	b.look("light", false)
	// The last line can be scrolled into view.
	if got := eval[string](b, `(box => {
		const last = box.lastElementChild;
		box.scrollTop = box.scrollHeight;
		const a = last.getBoundingClientRect(), c = box.getBoundingClientRect();
		return a.bottom <= c.bottom && a.top >= c.top && box.scrollTop > 0 ? last.innerText : "";
	})(document.querySelector("figure.text:last-of-type ol"))`); !strings.HasSuffix(got, "<p>The end</p>") {
		t.Errorf("the last line is %q", got)
	}
	for _, c := range hostile {
		if c.shown == "" {
			c.shown = c.text
		}
		old = c.text + "\nwas here"
		b.goTo(change(c.text + "\nis here"))
		b.sees("h2", `Change the email template "Recall".`)
		shown := strings.ReplaceAll(c.shown, `\"`, `"`) // these are not in quotes
		for _, line := range strings.Split(strings.ReplaceAll(shown, `\u{d}\n`, `\n`), `\n`) {
			if got := eval[[]string](b, `[...document.querySelectorAll(".text li bdi")].map(l => l.textContent)`); !slices.Contains(got, line) {
				t.Errorf("%s: the lines are %q, want %q", c.name, got, line)
			}
		}
		b.harmless(c.name, nil)
	}
}
