package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestEraseOneRecipient: when one of twelve people of a bulk call is erased, the inbox's API, the
// approvals and the audit log still name the other eleven, and say that one was erased. Nothing of
// the erased person is in the state directory.
func TestEraseOneRecipient(t *testing.T) {
	w := newWorld(t)
	server, bob, ada := w.http(t)
	var ids []string
	for i := range 12 {
		ids = append(ids, fmt.Sprintf("%08x-4f0e-4a3b-9a87-1b6f0a0c9d11", 0xa1b2c300+i))
	}
	args := func(concurrency int) string {
		list, _ := json.Marshal(ids)
		return fmt.Sprintf(`{"input":{"contactIds":%s,"concurrency":%d},"reason":"the winter campaign"}`, list, concurrency)
	}
	type shown struct {
		ID, State, Stamp string
		Erased           int
		Card             struct {
			Title          string
			To             []string
			RecipientCount int
		}
	}
	look := func(id string) (q shown) {
		t.Helper()
		if status, err := ada.do("GET", "/api/approvals/"+id, "", &q); err != nil || status != 200 {
			t.Fatal(status, err)
		}
		return q
	}
	approve := func(id string) int {
		t.Helper()
		var s apiReply
		status, err := ada.do("POST", "/api/approvals/"+id, fmt.Sprintf(`{"answer":"approve","people":12,"stamp":%q}`, look(id).Stamp), &s)
		must(t, err)
		return status
	}
	ran, _ := bob.tool(t, "start_bulk_outbound_call", args(1)).waits(t)
	if status := approve(ran); status != 200 {
		t.Fatalf("HTTP %d", status)
	}
	until(t, 10*time.Second, func() bool { return look(ran).State == "used" }, func() string { return "it did not run" })
	pending, _ := bob.tool(t, "start_bulk_outbound_call", args(2)).waits(t)
	before := look(ran).Card
	if len(before.To) != 12 {
		t.Fatalf("the card lists %q", before.To)
	}
	const gone = 7
	goneNumber := before.To[gone][strings.Index(before.To[gone], "+"):strings.Index(before.To[gone], " (")]

	w.run(t, "audit", "erase", "contact:"+ids[gone], "--yes")
	check := func(what, text string, wantIDs, says bool) {
		t.Helper()
		if strings.Contains(text, goneNumber) || strings.Contains(text, ids[gone]) {
			t.Errorf("%s has something of the erased person: %s", what, text)
		}
		for i, line := range before.To {
			number := line[strings.Index(line, "+"):strings.Index(line, " (")]
			if i != gone && (!wantIDs && !strings.Contains(text, number) || wantIDs && !strings.Contains(text, ids[i])) {
				t.Errorf("%s lost recipient %d, %s", what, i, line)
			}
		}
		if says && !strings.Contains(text, "1 person was erased") && !strings.Contains(text, `"erased":1`) && !strings.Contains(text, `"count":1`) {
			t.Errorf("%s does not say that one was erased: %s", what, text)
		}
	}
	for _, id := range []string{ran, pending} {
		q := look(id)
		if q.Erased != 1 || q.Card.Title != before.Title || q.Card.RecipientCount != 12 {
			t.Errorf("%+v", q)
		}
		raw, _ := json.Marshal(q.Card.To)
		check("the API", string(raw), false, false)
		check("approvals show", string(w.run(t, "approvals", "show", id, "--token-file", tokenFile(t, w.ada))), false, true)
		_, text, _ := at(t, t.Context(), &person{}, w.dir, "approvals", "show", id, "--token-file", tokenFile(t, w.ada))
		check("approvals show on a terminal", text, false, true)
	}
	if status := approve(pending); status != 409 {
		t.Errorf("a request with an erased person was approved: HTTP %d", status)
	}
	q := look(pending)
	var s apiReply
	if status, err := ada.do("POST", "/api/approvals/"+pending, fmt.Sprintf(`{"answer":"decline","stamp":%q}`, q.Stamp), &s); err != nil || status != 200 {
		t.Errorf("it cannot be declined: HTTP %d, %v", status, err)
	}

	call := string(w.run(t, "audit", "show", ran))
	check("audit show", call, false, true)
	check("audit show", call, true, true)
	var out struct {
		Action string
		By     struct{ Name string }
		Caller struct{ Name string }
	}
	must(t, json.Unmarshal([]byte(call), &out))
	if out.Action != "start_bulk_outbound_call" || out.By.Name != "ada" || out.Caller.Name != "bob" {
		t.Errorf("%+v", out)
	}
	_, text, _ := at(t, t.Context(), &person{}, w.dir, "audit", "show", ran)
	check("audit show on a terminal", text, false, true)
	check("audit list", string(w.run(t, "audit", "list")), true, false)
	if _, text, _ := at(t, t.Context(), &person{}, w.dir, "audit", "list"); !strings.Contains(text, "1 person was erased: ") {
		t.Errorf("audit list on a terminal: %s", text)
	}
	w.run(t, "audit", "export", "--out", filepath.Join(t.TempDir(), "audit.jsonl"))
	exported := w.run(t, "audit", "export")
	if bytes.Contains(exported, []byte(ids[gone])) || !bytes.Contains(exported, []byte(`"parts":[`)) {
		t.Errorf("the export: %s", exported)
	}
	w.run(t, "audit", "verify")
	server.kill()
	<-server.ended
	must(t, filepath.WalkDir(w.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		for _, s := range []string{ids[gone], goneNumber, strings.ReplaceAll(goneNumber, " ", "")} {
			if bytes.Contains(raw, []byte(s)) {
				t.Errorf("%s has %q", path, s)
			}
		}
		return err
	}))
}
