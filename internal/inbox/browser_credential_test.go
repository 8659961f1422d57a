package inbox_test

import (
	"bytes"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
)

// TestBrowserCredential: what an action issued is shown once, to the person who approved, on a page
// of its own. It is not in the result for the AI, in a log or in the ledger.
func TestBrowserCredential(t *testing.T) {
	t.Parallel()
	const secret = "opr_Zx81-<b>recognisable</b>&amp;0042"
	dir := filepath.Join(t.TempDir(), "ledger")
	w := newWorld(t, setup{dir: dir})
	b := newBrowser(t).strict(w)
	w.up.On(rpctest.Run, "issue_operator_access_token", rpctest.OK(`{"token":"`+secret+`","expiresIn":3600,"operator":{"email":"o@example.org"}}`))
	agent, asker := w.token(t, "ada", "agent"), w.token(t, "ada", "approver")
	bob, carol := w.token(t, "bob", "approver"), w.token(t, "carol", "approver")
	const args = `{"input":{"operatorEmail":"o@example.org"}}`
	call := w.later(t, agent, "issue_operator_access_token", args)
	req := w.pending(t, 1)[0]
	b.login(w, bob)
	other := newBrowser(t).strict(w)
	other.login(w, carol)
	b.cards(1)
	live := b.stays()
	b.click("button[value=approve]")
	a := get(t, call)
	if a.Outcome != "done" || a.ApprovedBy != "bob" || string(a.Result) != "null" || len(a.Notes) == 0 || !strings.Contains(a.Notes[0], "issued, handed over") {
		t.Errorf("%s", a.frame)
	}
	frames := []string{a.frame, w.call(t, agent, "approval_status", `{"id":"`+req.ID+`"}`).frame}
	b.cards(0)
	b.sees("[data-list=handovers]", "you can take it once")
	live()

	// Nobody else can take it, on a page or with the API.
	other.sees("[data-list=decided]", "bob approved, and it ran")
	if n := other.count(".handover"); n != 0 {
		t.Errorf("another approver is offered to take it")
	}
	if got := eval[string](b, `document.documentElement.outerHTML`) + eval[string](other, `document.documentElement.outerHTML`); strings.Contains(got, "recognisable") {
		t.Error("it is on a page before it was taken")
	}
	own := w.loggedIn(t, bob)
	good := own.stampsOn("/inbox")["take-"+req.ID]
	for name, token := range map[string]string{"carol": carol, "ada": asker} {
		v := w.loggedIn(t, token)
		if stamps := v.stampsOn("/inbox"); stamps["take-"+req.ID] != "" {
			t.Errorf("%s has a stamp to take it", name)
		}
		for _, stamp := range []string{good, ""} {
			if res, text := v.post("/inbox/take", url.Values{"id": {req.ID}, "stamp": {stamp}}); res.StatusCode != http.StatusForbidden || strings.Contains(text, "recognisable") {
				t.Errorf("%s takes it: HTTP %d: %s", name, res.StatusCode, text)
			}
		}
		for _, by := range []string{"", token} {
			res, text := v.json("POST", "/approvals/"+req.ID+"/take", by, "{}")
			if res.StatusCode != http.StatusConflict || !strings.Contains(text, "only the person who approved it may take it") {
				t.Errorf("%s takes it over the API: HTTP %d: %s", name, res.StatusCode, text)
			}
			frames = append(frames, text)
		}
		_, text := v.json("GET", "/approvals/"+req.ID, token, "")
		frames = append(frames, text)
	}
	if res, text := w.visitor(t).json("POST", "/approvals/"+req.ID+"/take", agent, "{}"); res.StatusCode != http.StatusForbidden {
		t.Errorf("the program takes it: HTTP %d: %s", res.StatusCode, text)
	}
	if found := holding(t, dir, "recognisable"); len(found) > 0 {
		t.Errorf("it is stored unencrypted in %q", found)
	}

	b.click(".handover button")
	b.sees("h1", "What was issued")
	shown := eval[[]string](b, `[...document.querySelectorAll(".secret code")].map(c => c.innerText)`)
	if len(shown) != 3 || shown[2] != secret || shown[0] != "3600" {
		t.Errorf("shown %q", shown)
	}
	if n := b.count(".secret code b"); n != 0 {
		t.Error("what was issued was rendered as markup")
	}
	b.click(`a[href="/inbox"].button`)
	b.until("the inbox", `location.pathname == "/inbox" && document.querySelector("[data-list=decided]")`)
	if b.count(".handover") != 0 {
		t.Error("it is offered a second time")
	}
	if res, text := own.post("/inbox/take", url.Values{"id": {req.ID}, "stamp": {good}}); res.StatusCode != http.StatusConflict || !strings.Contains(text, "It cannot be shown") {
		t.Errorf("a second time: HTTP %d: %s", res.StatusCode, text)
	}
	if res, text := own.json("POST", "/approvals/"+req.ID+"/take", bob, "{}"); res.StatusCode != http.StatusConflict {
		t.Errorf("a second time over the API: HTTP %d: %s", res.StatusCode, text)
	}
	b.goTo(w.base + "/inbox/approvals/" + req.ID)
	b.sees("[data-list=decided]", "bob approved, and it ran")
	frames = append(frames, b.text("body"))

	again := w.call(t, agent, "approval_status", `{"id":"`+req.ID+`"}`)
	if !strings.Contains(again.frame, "issued, handed over") {
		t.Errorf("%s", again.frame)
	}
	records, err := w.ledger.Records(t.Context(), ledger.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for _, r := range records {
		if r.Phase == ledger.PhaseTaken && r.ApprovalID == req.ID && r.By.String() == "bob, via inbox" {
			taken++
		}
		if p := r.Private; p != nil {
			frames = append(frames, string(p.Result), string(p.Payload), string(p.Card))
		}
	}
	if taken != 1 {
		t.Errorf("%d records that it was taken", taken)
	}
	for _, f := range append(frames, again.frame, w.log.String()) {
		if strings.Contains(f, "recognisable") || strings.Contains(f, "opr_Zx81") {
			t.Errorf("the secret is in %s", f)
		}
	}
	w.stop()
	if err := w.ledger.Close(); err != nil {
		t.Fatal(err)
	}
	if found := holding(t, dir, "recognisable"); len(found) > 0 {
		t.Errorf("the secret is in %q", found)
	}
	if found := holding(t, dir, req.ID); len(found) == 0 {
		t.Error("the files are not those of the ledger")
	}
}

// holding returns the files of a directory that contain the text.
func holding(t *testing.T, dir, text string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err == nil && bytes.Contains(raw, []byte(text)) {
			found = append(found, filepath.Base(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
