package inbox_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// hostile are texts of an attacker in a payload, a record or a reason, and how a card shows them;
// empty means unchanged. All begin with MARK, so that a test finds them everywhere.
var hostile = []struct{ name, text, shown string }{
	{"script", `MARK<script>alert(1)</script>`, ``},
	{"image", `MARK<img src=x onerror=alert(1)><svg/onload=alert(1)>`, ``},
	{"end of the form", `MARK</bdi></h2></form></article><form action="https://evil.example"><button name=answer value=approve>Approve</button>`,
		`MARK</bdi></h2></form></article><form action=\"https://evil.example\"><button name=answer value=approve>Approve</button>`},
	{"attribute", `MARK" autofocus onfocus="alert(1)" x='`, `MARK\" autofocus onfocus=\"alert(1)\" x='`},
	{"links", `MARK https://evil.example/yes www.evil.example mailto:a@evil.example javascript:alert(1) tel:+15005550006 [x](https://evil.example)`, ``},
	{"bidi controls", "MARK\u202egnp.exe\u2066x\u2069\u200f", `MARK\u{202e}gnp.exe\u{2066}x\u{2069}\u{200f}`},
	{"zero width", "MARK\u200bA\u200dB\ufeffC\u00adD\u2060", `MARK\u{200b}A\u{200d}B\u{feff}C\u{ad}D\u{2060}`},
	{"ANSI", "MARK\u001b[31mred\u001b[0m\u0007\u009b", `MARK\u{1b}[31mred\u{1b}[0m\u{7}\u{9b}`},
	{"lines", "MARK\n\nGrace approved this.\r\nIt rings nobody.\u2028\u2029", `MARK\n\nGrace approved this.\u{d}\nIt rings nobody.\u{2028}\u{2029}`},
	{"tags and fillers", "MARK\U000E0041\U000E0042\u3164\u115f", `MARK\u{e0041}\u{e0042}\u{3164}\u{115f}`},
	{"the card's own words", `MARK". It reads only and changes nothing. Approval is required by nobody. "`, `MARK\". It reads only and changes nothing. Approval is required by nobody. \"`},
	{"templates", "MARK{{.Requester}}<%= 1 %>${alert(1)}`", ``},
	{"entities", `MARK&lt;b&gt;&#x202e;&amp;`, ``},
	{"right to left", "MARK \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627", ``},
}

// elements counts the elements of the page by tag.
func (b *browser) elements() map[string]int {
	b.t.Helper()
	return eval[map[string]int](b, `[...document.querySelectorAll("*")].reduce((m, e) => (m[e.tagName] = (m[e.tagName] || 0) + 1, m), {})`)
}

// foreign are attributes that run something or lead to another site.
const foreign = `[...document.querySelectorAll("*")].flatMap(e => [...e.attributes].filter(a =>
	a.name.startsWith("on") || a.name == "style" || a.name == "autofocus" || /^\s*javascript:/i.test(a.value) ||
	["href", "src", "action", "formaction", "srcset", "ping"].includes(a.name) && !/^(\/inbox($|[\/?])|\?|#|data:image\/svg\+xml;base64,[\w+\/]+=*$)/.test(a.value)).map(a => e.tagName + " " + a.name + "=" + a.value))`

// unseen finds invisible characters, and those that change the direction of others.
const unseen = `/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u115f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff]|[\u{e0000}-\u{e007f}]/u.test(document.documentElement.textContent)`

// notIsolated are hostile texts that are not isolated from the text around them.
const notIsolated = `(() => {
	const out = [], walk = document.createTreeWalker(document, NodeFilter.SHOW_TEXT);
	while (walk.nextNode()) if (walk.currentNode.data.includes("MARK") && !walk.currentNode.parentElement.closest("bdi")) out.push(walk.currentNode.data);
	return out;
})()`

// harmless fails the test if the page has other elements than want, or if a hostile text is more
// than text.
func (b *browser) harmless(name string, want map[string]int) {
	b.t.Helper()
	if got := b.elements(); want != nil && !maps.Equal(got, want) {
		b.t.Errorf("%s: the elements are %v, want %v", name, got, want)
	}
	if got := eval[[]string](b, foreign); len(got) > 0 {
		b.t.Errorf("%s: %q", name, got)
	}
	if eval[bool](b, unseen) {
		b.t.Errorf("%s: invisible characters are in the page: %q", name, b.text("main"))
	}
	if got := eval[[]string](b, notIsolated); len(got) > 0 {
		b.t.Errorf("%s: not isolated: %q", name, got)
	}
}

// contacts answers list_contacts with one contact. The test sets its name.
type contacts struct {
	mu   sync.Mutex
	name string
}

func (c *contacts) setName(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.name = name
}

func (c *contacts) answer(r rpctest.Request) rpctest.Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	rows := []map[string]any{{"id": anID, "fullName": c.name, "phoneE164": "+442079460123", "email": c.name, "metadata": map[string]any{c.name: c.name}, "dateOfBirth": nil, "erasedAt": nil, "deletedAt": nil}}
	raw, _ := json.Marshal(map[string]any{"success": true, "data": map[string]any{"results": rows, "hasMore": false, "type": "keyset"}})
	return rpctest.Answer{Body: string(raw)}
}

// callBy makes a call of a program with a client name.
func (w *world) callBy(t *testing.T, secret, client, tool string, args any) answer {
	t.Helper()
	raw, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	name, _ := json.Marshal(client)
	meta := strings.Replace(modern, `"Claude Desktop"`, string(name), 1)
	_, body := w.visitor(t).do("POST", "/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`","arguments":`+string(raw)+`,`+meta+`}}`,
		"Content-Type", "application/json", "Accept", "application/json, text/event-stream", "Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call",
		"Mcp-Name", tool, "Authorization", "Bearer "+secret)
	if _, data, ok := strings.Cut(body, "data: "); ok {
		body = data
	}
	var m struct {
		Result struct{ StructuredContent answer }
	}
	if err := json.Unmarshal([]byte(body), &m); err != nil || m.Result.StructuredContent.Outcome != "approval_pending" {
		t.Fatalf("%v, %s", err, body)
	}
	return m.Result.StructuredContent
}

// TestBrowserHostile: every text in a payload, a record, the name of a program or a reason is shown
// as isolated, escaped text. The same holds after the request ended.
func TestBrowserHostile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{wait: 1, policy: strings.Replace(testPolicy, "write: validate", "write: confirm", 1)})
	b := newBrowser(t).strict(w)
	var known contacts
	w.up.On(rpctest.Run, "list_contacts", known.answer)
	agent := w.token(t, "ada", "agent")
	ask := func(text string) answer {
		t.Helper()
		known.setName(text)
		return w.callBy(t, agent, text, "update_contact", map[string]any{"identity": anID, "reason": text,
			"input": map[string]any{"fullName": text, "metadata": map[string]any{text: text, "list": []any{text, 1}}}})
	}
	b.login(w, w.token(t, "bob", "approver"))
	b.goTo(ask("a harmless name").Approval.Link)
	b.sees("h2", `Change the contact +442079460123 "a harmless name".`)
	usual := b.elements()
	b.harmless("no hostile text", nil)
	for _, c := range hostile {
		if c.shown == "" {
			c.shown = c.text
		}
		b.goTo(ask(c.text).Approval.Link)
		b.sees("h2", `Change the contact +442079460123 "`+c.shown+`".`)
		for _, selector := range []string{"h2", ".record dd", ".replaces td:nth-child(2)", ".replaces td:nth-child(3)"} {
			if got := b.text(selector); !strings.Contains(got, `"`+c.shown+`"`) {
				t.Errorf("%s: %s says %s", c.name, selector, got)
			}
		}
		plain := strings.ReplaceAll(c.shown, `\"`, `"`) // these are not in quotes
		if got := b.text(".reason blockquote"); got != plain {
			t.Errorf("%s: the reason says %s", c.name, got)
		}
		got := b.text(".claim")
		if head, _, cut := strings.Cut(got, "… ("); cut && !strings.HasPrefix(plain, head) || !cut && got != plain+" 1.9" {
			t.Errorf("%s: the program calls itself %s", c.name, got)
		}
		eval[bool](b, `document.querySelector("details").open = true`)
		if got := b.text("details dl"); !strings.Contains(got, `"`+c.shown+`"`) {
			t.Errorf("%s: what is sent says %s", c.name, got)
		}
		want := maps.Clone(usual)
		if strings.Contains(c.shown, `\u{`) {
			want["P"]++ // it says that there are invisible characters
		}
		b.harmless(c.name, want)
	}
	if got := b.text(".reason figcaption"); got != "Written by the AI as its reason. Nobody has checked it." {
		t.Errorf("the caption of the reason is %q", got)
	}

	// All on one page, live, with a hostile note of the person; then in the history.
	b.goTo(w.base + "/inbox")
	b.cards(1)
	live := b.stays()
	known.setName(hostile[0].text)
	w.callBy(t, agent, hostile[0].text, "create_contact", map[string]any{"input": map[string]any{"fullName": hostile[0].text}})
	b.cards(2)
	b.harmless("all", nil)
	for _, tag := range []string{"SCRIPT", "IMG", "FORM", "IFRAME", "svg", "OBJECT", "EMBED", "BASE", "META", "STYLE", "LINK"} {
		if got, want := b.elements()[tag], map[string]int{"SCRIPT": 1, "IMG": 1, "FORM": 3, "META": 4, "LINK": 2}[tag]; got != want {
			t.Errorf("%d of %s, want %d", got, tag, want)
		}
	}
	b.write("[data-card] input[name=note]", hostile[2].text)
	for range b.count("[data-card] input[type=checkbox]:not(:checked)") {
		b.click("[data-card] input[type=checkbox]:not(:checked)")
	}
	b.click("[data-card] button[value=decline]")
	b.cards(1)
	b.sees("[data-list=decided]", hostile[2].text)
	b.harmless("a decided request", nil)
	live()
	b.goTo(w.base + "/inbox/history")
	b.sees(".recent", hostile[2].text)
	b.harmless("the history", nil)
}

// TestBrowserRightToLeft: after a Hebrew name the number is still read from left to right, and so
// is the rest of the sentence.
func TestBrowserRightToLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{wait: 1})
	b := newBrowser(t).strict(w)
	var known contacts
	known.setName("\u05e9\u05dc\u05d5\u05dd 12 \u05e2\u05d5\u05dc\u05dd")
	w.up.On(rpctest.Run, "list_contacts", known.answer)
	a := w.call(t, w.token(t, "ada", "agent"), "start_outbound_call", ring)
	b.login(w, w.token(t, "bob", "approver"))
	b.goTo(a.Approval.Link)
	b.sees("h2", "+44 20 7946 0123")
	x := eval[[]float64](b, `["Ring", "+44", "20", "7946", "0123", "(GB", "\u05e9", "now."].map(part => {
		const text = document.querySelector("h2 bdi").firstChild, at = text.data.indexOf(part), r = document.createRange();
		if (at < 0) return -1;
		r.setStart(text, at);
		r.setEnd(text, at + part.length);
		const box = r.getBoundingClientRect();
		return box.top * 10000 + box.left;
	})`)
	for n := 1; n < len(x); n++ {
		if x[n] <= x[n-1] || x[0] < 0 {
			t.Fatalf("the positions of the parts of %q: %v", b.text("h2"), x)
		}
	}
}

// TestBrowserHuge: the card of the longest reason, or of a call to as many people as one call takes,
// shows the beginning and the total. The number of people must be typed.
func TestBrowserHuge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{wait: 1})
	b := newBrowser(t).strict(w)
	agent := w.token(t, "ada", "agent")
	b.login(w, w.token(t, "bob", "approver"))
	a := w.call(t, agent, "start_outbound_call", `{"input":{"phoneNumber":"+442079460123"},"reason":"`+strings.Repeat("W", 65_000)+`"}`)
	if a.Outcome != "approval_pending" {
		t.Fatalf("%.500s", a.frame)
	}
	b.cards(1)
	if got := b.text(".reason blockquote"); got != strings.Repeat("W", 500)+"… (65000 characters)" {
		t.Errorf("of the reason %d characters are shown: %.600s", len(got), got)
	}
	if got := b.text(".reason figcaption"); got != "Written by the AI as its reason. Nobody has checked it." {
		t.Errorf("its caption is %q", got)
	}
	people := 1_600
	if racing {
		people = 400 // the race detector makes each ten times slower
	}
	ids := make([]string, people)
	for n := range ids {
		ids[n] = fmt.Sprintf(`"%s"`, rpctest.ID(n))
	}
	bulk := `{"input":{"contactIds":[` + strings.Join(ids, ",") + `]}}`
	if a := w.call(t, agent, "start_bulk_outbound_call", bulk); a.Outcome != "approval_pending" {
		t.Fatalf("%.500s", a.frame)
	}
	b.cards(2)
	card := "#approval-" + w.pending(t, 2)[1].ID
	b.sees(card+" h2", fmt.Sprintf("Ring many people: %d people in GB.", people))
	if lines := eval[[]string](b, `[...document.querySelectorAll("`+card+` .recipients li")].map(l => l.innerText)`); len(lines) != 26 || lines[25] != fmt.Sprintf("and %d more", people-25) || !strings.Contains(lines[0], "+44 20 7946 0000") {
		t.Errorf("%q", lines)
	}
	for _, phone := range []bool{false, true} {
		b.look("light", phone)
		if wide, has := eval[int](b, `document.documentElement.scrollWidth`), eval[int](b, `document.documentElement.clientWidth`); wide > has {
			t.Errorf("the page is %d wide on a screen of %d", wide, has)
		}
	}
	b.look("light", false)
	b.sees(card+" .people", fmt.Sprintf("Type %d to approve", people))
	approve := card + " button[value=approve]"
	b.write(card+" input[name=people]", fmt.Sprint(people/10))
	if !eval[bool](b, `document.querySelector("`+approve+`").disabled`) {
		t.Error("a wrong number enables the button")
	}
	b.write(card+" input[name=people]", "0")
	b.click(approve)
	b.sees("[data-list=decided]", "bob approved, and it ran")
	got := w.sent(rpctest.Run, "start_bulk_outbound_call")
	if len(got) != 1 || got[0] != `{"action":"start_bulk_outbound_call",`+bulk[1:] {
		t.Errorf("%d ran, %.200s", len(got), got)
	}
}
