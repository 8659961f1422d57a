package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// sqlite is a command for scripts, `sqlite FILE STATEMENT`, that tampers with a ledger.
func sqlite() {
	db, err := sql.Open("sqlite", os.Args[1])
	if err == nil {
		_, err = db.Exec(os.Args[2])
	}
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const (
	personSubject = "contact:c0000000-0000-4000-8000-000000000001"
	otherSubject  = "contact:c0000000-0000-4000-8000-000000000002"
	hostile       = "x\x1b]0;pwned\x07\x1b[2J\u202e\u009b31m\u2028"
)

// filledLedger creates a state directory and records calls of every kind, with hostile text in
// every field that a client or Sippet chooses. It returns an intent that ran and one with an
// unknown outcome.
func filledLedger(t *testing.T) (dir string, ran, unknown ledger.Intent) {
	t.Helper()
	dir = t.TempDir()
	l, err := openLedger(t.Context(), dir, false, keeping{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	update := ledger.Txn{Call: ledger.Call{Caller: ledger.Actor{Name: "ada", Via: "stdio"}, Client: hostile, Action: "update_contact", Class: schemas.Write, Hash: "1", EffectKey: "1",
		Decision: "confirm", Why: "because " + hostile, Policy: "v1", Subjects: []string{personSubject},
		Payload:  []byte(`{"action":"update_contact","identity":"c0000000-0000-4000-8000-000000000001","input":{"fullName":"Grace` + "\u202e\u009b" + `"}}`),
		Replaced: []byte(`{"fullName":"Ada"}`), Card: []byte(`{"title":"Change the contact` + "\u202e" + `.","effect":"Nobody notices.","reason":"asked` + "\u009b" + `"}`)}}
	request := ledger.ApprovalRequest{ID: ledger.NewID(), Requester: update.Caller, Action: update.Action, Hash: update.Hash, EffectKey: update.EffectKey, Policy: update.Policy, Needs: "confirm", Subjects: update.Subjects,
		Payload: update.Payload, Card: update.Card, Expires: time.Now().Add(time.Minute)}
	must(t, l.CreateApproval(t.Context(), request))
	must(t, l.AnswerApproval(t.Context(), request, ledger.Reply{State: ledger.Approved, By: ledger.Actor{Name: "ada" + hostile}}))
	update.ApprovalID = request.ID
	ran, err = l.Commit(t.Context(), update)
	must(t, err)
	must(t, l.Settle(t.Context(), ledger.Settlement{Intent: ran.ID, State: ledger.Succeeded, Sent: true, Status: 200, Outcome: schemas.Done, Latency: time.Millisecond, Result: []byte(`{"id":"1","fullName":"` + "\u202e" + `"}`)}))
	create := ledger.Txn{Call: ledger.Call{Caller: ledger.Actor{Name: "ada", Via: "stdio"}, Action: "create_contact", Class: schemas.Write, Hash: "2", EffectKey: "2", Decision: "validate", Subjects: []string{personSubject, otherSubject},
		Payload: []byte(`{"action":"create_contact","input":{"fullName":"Bob"}}`)}}
	unknown, err = l.Commit(t.Context(), create)
	must(t, err)
	must(t, l.Settle(t.Context(), ledger.Settlement{Intent: unknown.ID, State: ledger.Unknown, Sent: true, Outcome: schemas.OutcomeUnknown}))
	l.RecordEvent(ledger.Event{Call: ledger.Call{Caller: ledger.Actor{Name: hostile}, Action: "delete_contact", Class: schemas.Destructive, Decision: "deny", Why: hostile}, Outcome: schemas.Denied})
	// A pending request, which a stop revokes.
	request.ID, request.Hash, request.Expires = ledger.NewID(), "3", time.Now().Add(time.Hour)
	must(t, l.CreateApproval(t.Context(), request))
	must(t, l.Close())
	return dir, ran, unknown
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// at runs the program: on a terminal if there is someone at it, else in a pipe.
func at(t *testing.T, ctx context.Context, who *person, dir string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e watched // goroutines log too
	p := &program{in: strings.NewReader(""), out: &o, err: &e, env: func(string) string { return "" }, outTerminal: who != nil, errTerminal: who != nil,
		terminal: func() (terminal, error) {
			if who == nil {
				return nil, errors.New("none")
			}
			return who, nil
		}}
	code = p.run(ctx, append(args, "--state-dir", dir))
	return code, o.String(), e.String()
}

func TestAuditTerminal(t *testing.T) {
	dir, ran, unknown := filledLedger(t)
	for _, c := range []struct {
		args []string
		code int
		want []string // in stdout and stderr
	}{
		{[]string{"audit", "list"}, 0, []string{"\x1b[1mnr ", " requested  ", "confirm", ran.ID, "Change the contact\\u{202e}.", "\x1b[33moutcome_unknown", "approved by ada"}},
		{[]string{"audit", "list", "--phase", "rejected", "--limit", "1"}, 0, []string{"delete_contact", "\x1b[31mdenied"}},
		{[]string{"audit", "list", "--caller", "ada", "--phase", "settled"}, 0, []string{"update_contact", "create_contact"}},
		{[]string{"audit", "list", "--caller", "nobody"}, 0, []string{"no records found"}},
		{[]string{"audit", "show", ran.ID}, 0, []string{"update_contact: succeeded", "answer       approved by ada", "Replaced", `"fullName": "Ada"`,
			"Approval card", "Nobody notices.", "Written by the AI as its reason: asked\\u{9b}", "Sippet's answer", "requested", "settled"}},
		{[]string{"audit", "show", ran.ApprovalID}, 0, []string{"update_contact: used", "Sippet's answer"}},
		{[]string{"audit", "show", "1"}, 0, []string{"update_contact: used"}},
		{[]string{"audit", "show", unknown.ID}, 0, []string{"create_contact: unknown", "with list_contacts", "audit resolve " + unknown.ID}},
		{[]string{"audit", "show", "999"}, 1, []string{`no intent, approval request or record "999" is recorded`}},
		{[]string{"audit", "show", hostile}, 1, []string{"no intent, approval request or record"}},
		{[]string{"audit", "subject", "c0000000-0000-4000-8000-000000000001"}, 0, []string{"update_contact", "create_contact"}},
		{[]string{"audit", "subject", "+447700900900"}, 0, []string{"nothing is recorded about phone:+447700900900"}},
		{[]string{"audit", "undo", ran.ID}, 0, []string{`sippet-mcp call update_contact '{"identity":"c0000000-0000-4000-8000-000000000001","input":{"fullName":"Ada"}}'`, "It has not been run"}},
		{[]string{"audit", "undo", unknown.ID}, 1, []string{"the outcome of intent " + unknown.ID + " is unknown"}},
		{[]string{"audit", "intents"}, 0, []string{unknown.ID, "list_contacts", "audit resolve"}},
		{[]string{"audit", "verify"}, 0, []string{"No faults: the audit log is as it was written", "kept elsewhere"}},
		{[]string{"audit", "export"}, 0, []string{`"phase":"requested"`, `\u009b`}},
		{[]string{"stop", "--note", hostile}, 0, []string{"Stopped everything, by " + me(), "Revoked: 1 approval request.", "the state directory " + dir, "Resume with: sippet-mcp resume --state-dir"}},
		{[]string{"stop"}, 0, []string{"Stopped already: everything, by " + me(), "Revoked: 0 approval requests."}},
		{[]string{"audit", "list", "--phase", "stopped"}, 0, []string{"stopped by " + me() + ", via terminal: x", "; 1 approval request revoked", "; 0 approval requests revoked"}},
		{[]string{"resume"}, 0, []string{"Resumed everything. The stop was made by " + me()}},
		{[]string{"resume"}, 0, []string{"There was no emergency stop."}},
		{[]string{"stop", "--scope", "ringing"}, 0, []string{"Stopped ringing, by " + me(), "Everything but ringing goes on, in every sippet-mcp", "Resume with: sippet-mcp resume --state-dir", " --scope ringing"}},
		{[]string{"stop", "--scope", "assistant"}, 0, []string{"Stopped the assistants of " + me() + ", by " + me(), "For them only reads and hanging up go on, in every", " --scope assistant --of "}},
		{[]string{"resume", "--scope", "everything"}, 0, []string{"There was no emergency stop of everything.", "Still stopped: ringing. Resume with: sippet-mcp resume", "Still stopped: the assistants of " + me()}},
		{[]string{"resume"}, 0, []string{"Resumed ringing.", "Resumed the assistants of " + me() + "."}},
	} {
		t.Run(strings.Join(c.args[:min(3, len(c.args))], " "), func(t *testing.T) {
			code, out, errs := at(t, t.Context(), &person{}, dir, c.args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, w := range c.want {
				if !strings.Contains(out+errs, w) {
					t.Errorf("no %q in\n%s%s", w, out, errs)
				}
			}
			for _, bad := range []string{"\x1b]", "\x1b[2J", "\x07", "\u202e", "\u009b", "\u2028"} {
				if strings.Contains(out+errs, bad) {
					t.Errorf("%q is in\n%q", bad, out+errs)
				}
			}
		})
	}
}

// JSON holds every field, and no character that a terminal at the end of the pipe would obey.
func TestAuditJSON(t *testing.T) {
	dir, ran, unknown := filledLedger(t)
	one := func(args ...string) map[string]any {
		t.Helper()
		code, out, errs := at(t, t.Context(), nil, dir, args...)
		var m map[string]any
		if err := json.Unmarshal([]byte(out), &m); err != nil || code != 0 || errs != "" || strings.Count(out, "\n") != 1 {
			t.Fatalf("exit code %d, %v: %s%s", code, err, out, errs)
		}
		for _, r := range out {
			if _, n := schemas.Clean(string(r)); n > 0 {
				t.Errorf("%q is in %q", r, out)
			}
		}
		return m
	}
	m := one("audit", "show", ran.ID)
	if got := m["payload"].(map[string]any)["input"].(map[string]any)["fullName"]; got != "Grace\u202e\u009b" {
		t.Errorf("the payload was changed: %q", got)
	}
	if m["client"] != hostile || len(m["records"].([]any)) != 4 || !cmp.Equal(m["people"], []any{personSubject}) {
		t.Errorf("got %v", m)
	}
	one("audit", "list", "--phase", "rejected")
	one("audit", "list", "--caller", "ada", "--phase", "settled", "--action", "update_contact")
	one("audit", "intents", "--unknown")
	u := one("audit", "undo", ran.ID)
	if u["action"] != "update_contact" || !strings.HasPrefix(u["command"].(string), "sippet-mcp call update_contact ") {
		t.Errorf("undo: %v", u)
	}
	s := one("stop", "--note", "lunch")
	if s["stopped"] != true || s["revoked"] != 1.0 || s["note"] != "lunch" || s["already"] != nil || s["new"] != nil || s["stateDir"] != dir {
		t.Errorf("stop: %v", s)
	}
	if s = one("stop"); s["already"] != true || s["note"] != "lunch" {
		t.Errorf("stop again: %v", s)
	}
	if s = one("resume"); s["resumed"] != true || s["stops"].([]any)[0].(map[string]any)["note"] != "lunch" {
		t.Errorf("resume: %v", s)
	}
	one("audit", "resolve", unknown.ID, "--as", "failed", "--note", "checked")
	for _, id := range []string{unknown.ID, "nonsense"} {
		if code, _, errs := at(t, t.Context(), nil, dir, "audit", "resolve", id, "--as", "failed", "--note", "checked"); code != 1 || !strings.Contains(errs, id) {
			t.Errorf("resolving %s: %d, %s", id, code, errs)
		}
	}
	v := one("audit", "verify")
	if v["ok"] != true || v["intents"] != 2.0 || v["outside"] != false {
		t.Errorf("verify: %v", v)
	}
}

// Erased data is nowhere to be read, and what is left says so.
func TestAuditErase(t *testing.T) {
	dir, ran, unknown := filledLedger(t)
	contact := strings.TrimPrefix(personSubject, "contact:")
	if code, _, errs := at(t, t.Context(), nil, dir, "audit", "erase", contact); code != 1 || !strings.Contains(errs, "--yes") {
		t.Errorf("without a terminal: %d, %s", code, errs)
	}
	who := &person{Reader: strings.NewReader("yes\n"), answer: "no\n"}
	if code, _, errs := at(t, t.Context(), who, dir, "audit", "erase", contact); code != 1 || !strings.Contains(errs, "nothing was erased") {
		t.Errorf("no: %d, %s", code, errs)
	}
	who = &person{answer: "yes\n"}
	code, out, errs := at(t, t.Context(), who, dir, "audit", "erase", contact, "+447700900900")
	if code != 1 || !strings.Contains(out, personSubject+" is erased: its data in") || !strings.Contains(errs, "nothing is recorded about phone:+447700900900") {
		t.Errorf("yes: %d, %s%s", code, out, errs)
	}
	if q := who.shown.String(); !strings.Contains(q, personSubject+": 5 records, 1 of them also about others") || !strings.Contains(q, "phone:+447700900900: 0 records") {
		t.Errorf("the confirmation showed %s", q)
	}
	for _, id := range []string{ran.ID, unknown.ID} {
		_, out, _ = at(t, t.Context(), nil, dir, "audit", "show", id)
		var m ledger.AuditedCall
		if err := json.Unmarshal([]byte(out), &m); err != nil || m.Erased == nil || m.Erased.By.Name != me() || m.Payload != nil {
			t.Errorf("%v: %s", err, out)
		}
		if strings.Contains(out, "Grace") || strings.Contains(out, "Bob") || strings.Contains(out, `"sealed"`) {
			t.Errorf("erased data is in the output: %s", out)
		}
	}
	if _, out, _ = at(t, t.Context(), &person{}, dir, "audit", "show", ran.ID); !strings.Contains(out, "erased       a person in this call was erased") {
		t.Errorf("show does not mention the erasure:\n%s", out)
	}
	if code, _, errs = at(t, t.Context(), nil, dir, "audit", "undo", ran.ID); code != 1 || !strings.Contains(errs, "can no longer be read") {
		t.Errorf("undo: %d, %s", code, errs)
	}
	if _, out, _ = at(t, t.Context(), nil, dir, "audit", "list", "--phase", "prepared", "--action", "update_contact"); !strings.Contains(out, `"erased":true`) {
		t.Errorf("the list does not mark the record as erased: %s", out)
	}
	if code, out, _ = at(t, t.Context(), nil, dir, "audit", "verify"); code != 0 || !strings.Contains(out, `"erased":1`) {
		t.Errorf("verify: %d, %s", code, out)
	}
}

// A tampered record is printed too, and cannot write to the terminal.
func TestAuditTamperedRecord(t *testing.T) {
	dir, _, _ := filledLedger(t)
	db, err := sql.Open("sqlite", filepath.Join(dir, ledger.File))
	must(t, err)
	_, err = db.Exec("UPDATE records SET body = replace(body, 'update_contact', 'x' || char(27, 93, 127, 10) || 'y') WHERE seq = 1")
	must(t, err)
	must(t, db.Close())
	for command, want := range map[string]string{"list": "INVALID RECORD", "show": `x\u{1b}]\u{7f}`, "export": `x\u001b]\u007f`} {
		args := []string{"audit", command}
		if command == "show" {
			args = append(args, "1")
		}
		code, out, errs := at(t, t.Context(), &person{}, dir, args...)
		if code != 0 || !strings.Contains(out, want) || strings.ContainsAny(out+errs, "\x7f") || strings.Contains(out+errs, "\x1b]") {
			t.Errorf("%s: exit code %d, no %q or something that a terminal obeys in %q", command, code, want, out+errs)
		}
	}
}

// watched collects what a running program writes.
type watched struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

func TestAuditListFollow(t *testing.T) {
	dir, _, _ := filledLedger(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, errs watched
	p := &program{in: strings.NewReader(""), out: &out, err: &errs, env: func(string) string { return "" }}
	ended := make(chan int)
	go func() { ended <- p.run(ctx, []string{"audit", "list", "-f", "--phase", "stopped", "--state-dir", dir}) }()
	time.Sleep(50 * time.Millisecond)
	for n := range 2 {
		if code, _, errs := at(t, t.Context(), nil, dir, "stop"); code != 0 {
			t.Fatal(errs)
		}
		for end := time.Now().Add(10 * time.Second); strings.Count(out.String(), `"phase":"stopped"`) != n+1; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("after %d stops: %s%s", n+1, out.String(), errs.String())
			}
		}
	}
	cancel()
	if code := <-ended; code != 0 || errs.String() != "" || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("exit code %d, %s%s", code, out.String(), errs.String())
	}
}

func TestAuditListFitsTerminal(t *testing.T) {
	records := []ledger.Record{
		{Seq: 1, Time: time.Now(), Phase: ledger.PhasePrepared, Intent: strings.Repeat("0", 32), Caller: ledger.Actor{Name: "ada", Via: "stdio"}, Action: "start_bulk_outbound_call", Decision: "confirm",
			Private: &ledger.Private{Card: []byte(`{"title":"Ring four hundred people with the AI agent of the winter campaign."}`)}},
		{Seq: 2, Time: time.Now(), Phase: ledger.PhaseSettled, Action: "start_bulk_outbound_call", Outcome: schemas.OutcomeUnknown, State: "unknown"},
	}
	for _, c := range []struct {
		screen int
		head   []string
	}{
		{0, []string{"nr", "time", "phase", "action", "caller", "outcome", "decision", "id", "summary"}},
		{200, []string{"nr", "time", "phase", "action", "caller", "outcome", "decision", "id", "summary"}},
		{130, []string{"nr", "time", "phase", "action", "caller", "outcome", "decision", "summary"}},
		{110, []string{"nr", "time", "phase", "action", "caller", "outcome", "summary"}},
		{100, []string{"nr", "time", "phase", "action", "outcome", "summary"}},
		{60, []string{"nr", "time", "phase", "action", "outcome", "summary"}},
	} {
		var b bytes.Buffer
		list := newTable(&program{out: &b}, recordColumns...)
		list.screen = c.screen
		for _, some := range [][]ledger.Record{records, records[1:]} {
			for i := range some {
				list.row(recordCells(&some[i], time.Now())...)
			}
			list.flush()
		}
		lines := strings.Split(strings.TrimSpace(b.String()), "\n")
		if got := strings.Fields(lines[0]); !cmp.Equal(got, c.head) || len(lines) != 4 || lines[2] != lines[3] {
			t.Errorf("%d: got\n%s", c.screen, b.String())
		}
		for _, line := range lines {
			if n := len([]rune(line)); c.screen >= 100 && n > c.screen {
				t.Errorf("%d: %d characters in %q", c.screen, n, line)
			}
		}
	}
}

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]time.Time{
		"": {}, "2h": now.Add(-2 * time.Hour), "1h30m": now.Add(-90 * time.Minute), "7d": now.AddDate(0, 0, -7), "2w": now.AddDate(0, 0, -14),
		"2026-03-01T12:00:00+01:00": time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC), "2026-03-01": time.Date(2026, 3, 1, 0, 0, 0, 0, time.Local),
	} {
		if got, err := parseTime("since", in, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"yesterday", "-2h", "7", "2026-13-01", "7d2h", "999999d"} {
		if got, err := parseTime("since", in, now); err == nil || !strings.Contains(err.Error(), "--since") {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
}
