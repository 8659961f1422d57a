package ledger_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// callee is a recipient of a test call.
type callee struct{ id, name, number, shown string }

func callees(n int) (all []callee) {
	names := []string{"Ada Lovelace", "Grace Hopper", "Mary Jackson", "Annie Easley", "Joan Clarke", "Hedy Lamarr", "Radia Perlman", "Karen Jones",
		"Sophie Wilson", "Frances Allen", "Barbara Liskov", "Lynn Conway"}
	for i := range n {
		all = append(all, callee{id: fmt.Sprintf("7f9c2ba4-e88f-4bd5-8bd4-0c2c6c1d7b%02d", i), name: names[i%len(names)],
			number: fmt.Sprintf("+4479460%05d", i*1237), shown: fmt.Sprintf("+44 7946 0%05d", i*1237)})
	}
	return all
}

func (c callee) subject() string { return "contact:" + c.id }

// bulkCall returns a call to all of them, and its card. text is in the payload and on the card.
func bulkCall(n string, to []callee, text string) (x ledger.Txn, card []byte) {
	x = call(n)
	x.Action, x.Class, x.Hash = "start_bulk_outbound_call", schemas.Outbound, "hash-"+n
	var ids, lines []string
	for _, c := range to {
		ids, lines = append(ids, c.id), append(lines, fmt.Sprintf("%s (GB, mobile) %q", c.shown, c.name))
		x.Subjects = append(x.Subjects, c.subject())
		x.RecipientList = append(x.RecipientList, ledger.Recipient{Subject: c.subject(), Names: []string{c.name, c.number}})
	}
	x.Payload, _ = json.Marshal(map[string]any{"action": x.Action, "input": map[string]any{"contactIds": ids, "metadata": map[string]any{text: n}, "script": text}})
	card, _ = json.Marshal(map[string]any{"action": x.Action, "title": fmt.Sprintf("Ring many people: %d people in GB.", len(to)), "recipientCount": len(to),
		"requester": "ada", "to": lines, "reason": text, "record": "digest of " + text, "sent": []any{map[string]any{"name": "input.script", "value": text}}})
	return x, card
}

// TestEraseOneOfTwelve: what belongs to eleven recipients stays readable when the twelfth is erased.
func TestEraseOneOfTwelve(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	l := open(t, ledger.Options{Dir: dir})
	to := callees(12)
	gone := to[4]
	x, card := bulkCall("twelve", to, "Tell them, and Joan above all, that we move.")
	request := approvalFor(x, time.Now().Add(time.Hour))
	request.Card, request.RecipientList = card, x.RecipientList
	if err := l.CreateApproval(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	before, err := l.Approval(t.Context(), request.ID)
	if err != nil || !bytes.Equal(before.Payload, x.Payload) || !bytes.Equal(before.Card, card) || before.Erased != 0 {
		t.Fatalf("it is not read back as it was written: %s, %s, %v", before.Payload, before.Card, err)
	}
	answer(t, l, request, ledger.Approved)
	x.ApprovalID = request.ID
	in := commit(t, l, x)
	settle(t, l, in, ledger.Succeeded)
	pending, card := bulkCall("pending", to, "Later.")
	open := approvalFor(pending, time.Now().Add(time.Hour))
	open.Card, open.RecipientList = card, pending.RecipientList
	if err := l.CreateApproval(t.Context(), open); err != nil {
		t.Fatal(err)
	}

	if existed, err := l.Erase(t.Context(), gone.subject(), ledger.Actor{Name: "root"}); !existed || err != nil {
		t.Fatal(existed, err)
	}
	after, err := l.Approval(t.Context(), request.ID)
	if err != nil || after.Payload != nil || after.Erased != 1 || after.Hash != "" {
		t.Errorf("payload %s, %d erased, %v", after.Payload, after.Erased, err)
	}
	if run, err := l.Intent(t.Context(), in.ID); err != nil || run.Payload != nil || run.Result != nil {
		t.Errorf("what lacks a part is read as whole: %+v, %v", run, err)
	}
	wantErr(t, "approving it", l.AnswerApproval(t.Context(), open, ledger.Reply{State: ledger.Approved, By: ledger.Actor{Name: "bob"}}), ledger.ErrApprovalErased)
	if err := l.AnswerApproval(t.Context(), open, ledger.Reply{State: ledger.Declined, By: ledger.Actor{Name: "bob"}}); err != nil {
		t.Error(err)
	}
	found, err := ledger.FindCall(t.Context(), l, in.ID)
	if err != nil {
		t.Fatal(err)
	}
	shown, _ := json.Marshal(found)
	for _, c := range to {
		for what, text := range map[string]string{"name": c.name, "number": c.shown, "id": c.id} {
			if is, want := bytes.Contains(shown, []byte(text)), c != gone; is != want {
				t.Errorf("%s: the %s is readable: %v", c.name, what, is)
			}
		}
	}
	if bytes.Contains(shown, []byte("Joan")) || found.Erased == nil || found.Erased.Count != 1 || !found.Erased.Partly || len(found.People) != 11 ||
		!bytes.Contains(found.Card, []byte(`Ring many people: 12 people in GB.`)) || !bytes.Contains(found.Card, []byte(`"recipientCount":12`)) {
		t.Errorf("%+v: %s", found.Erased, shown)
	}
	if _, err := found.Undo(); err == nil {
		t.Error("it can be undone with a payload that lacks a part")
	}
	if s := records(t, l, ledger.Filter{Intent: in.ID})[0].Summary(); !strings.Contains(s, "1 person was erased") {
		t.Errorf("summary %q", s)
	}
	wantNowhere(t, dir, gone)
	if r := verifyClean(t, l); r.Erased != 1 {
		t.Errorf("%+v", r)
	}
}

// wantNowhere checks that no file has something of the person in plain text.
func wantNowhere(t interface{ Errorf(string, ...any) }, dir string, c callee) {
	raw := readAll(dir)
	for _, text := range []string{c.name, c.number, c.shown, c.id} {
		if bytes.Contains(raw, []byte(text)) {
			t.Errorf("%q is in the state directory", text)
		}
	}
}

// TestEraseAnyOfAny: whoever is erased, nothing of them can be read, and all that is only the
// others' can.
func TestEraseAnyOfAny(t *testing.T) {
	var n int
	dir := filepath.Join(t.TempDir(), "state")
	l := open(t, ledger.Options{Dir: dir})
	rapid.Check(t, func(rt *rapid.T) {
		n++
		all := callees(rapid.IntRange(2, 8).Draw(rt, "recipients"))
		for i := range all { // other people than those of the last round
			all[i].id = fmt.Sprintf("%08d-e88f-4bd5-8bd4-0c2c6c1d7b%02d", n, i)
			all[i].number, all[i].shown = fmt.Sprintf("+447%04d%05d", n, i*1237), fmt.Sprintf("+44 7%04d %05d", n, i*1237)
		}
		mentioned := rapid.SampledFrom(all).Draw(rt, "mentioned")
		x, card := bulkCall(fmt.Sprint("n", n), all, rapid.SampledFrom([]string{"Hello.", "Ask " + mentioned.name, mentioned.number, "\"\\\u0000\u2028<" + mentioned.id}).Draw(rt, "text"))
		x.Caller.Name = fmt.Sprint("caller ", n) // the requests of one caller that are declined end in a pause
		request := approvalFor(x, time.Now().Add(time.Hour))
		request.Card, request.RecipientList = card, x.RecipientList
		if err := l.CreateApproval(t.Context(), request); err != nil {
			rt.Fatal(err)
		}
		erased := map[callee]bool{}
		for _, c := range all {
			if rapid.Bool().Draw(rt, "erased") {
				erased[c] = true
				if existed, err := l.Erase(t.Context(), c.subject(), ledger.Actor{Name: "root"}); !existed || err != nil {
					rt.Fatal(existed, err)
				}
			}
		}
		got, err := l.Approval(t.Context(), request.ID)
		if err != nil || got.Erased != len(erased) {
			rt.Fatalf("%d erased, want %d: %v", got.Erased, len(erased), err)
		}
		if whole := bytes.Equal(got.Payload, x.Payload) && bytes.Equal(got.Card, card); whole != (len(erased) == 0) || !whole && got.Payload != nil {
			rt.Errorf("payload %s, card %s", got.Payload, got.Card)
		}
		readable := string(got.Card)
		for _, r := range records(t, l, ledger.Filter{ApprovalID: request.ID}) {
			readable += string(r.Private.Card) + string(r.Private.Payload) + strings.Join(r.SubjectNames, " ")
		}
		for _, c := range all {
			for _, text := range []string{c.name, c.shown, c.id} {
				if is := strings.Contains(readable, text); is == erased[c] {
					rt.Errorf("%s, erased: %v, and %q is readable: %v in %s", c.name, erased[c], text, is, readable)
				}
			}
			if erased[c] && strings.Contains(readable, c.number) {
				rt.Errorf("the number of %s is readable", c.name)
			}
		}
		answer(t, l, request, ledger.Declined) // only so many may be pending
	})
	raw := readAll(dir)
	for _, c := range callees(8) {
		if bytes.Contains(raw, []byte(c.name)) {
			t.Errorf("%q is in the state directory", c.name)
		}
	}
	verifyClean(t, l)
}

// TestSameName: the number tells two recipients of one name apart.
func TestSameName(t *testing.T) {
	l := open(t, ledger.Options{})
	to := callees(3)
	to[1].name = to[0].name
	x, card := bulkCall("same", to, "Hello.")
	request := approvalFor(x, time.Now().Add(time.Hour))
	request.Card, request.RecipientList = card, x.RecipientList
	if err := l.CreateApproval(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Erase(t.Context(), to[0].subject(), ledger.Actor{Name: "root"}); err != nil {
		t.Fatal(err)
	}
	got, err := l.Approval(t.Context(), request.ID)
	if err != nil {
		t.Fatal(err)
	}
	var read struct{ To []string }
	if err := json.Unmarshal(got.Card, &read); err != nil || len(read.To) != 3 || read.To[0] != "(erased)" || slices.Contains(read.To[1:], "(erased)") {
		t.Errorf("%q, %v", read.To, err)
	}
}
