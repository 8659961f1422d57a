package main

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// person is at the terminal. Flush drops what they typed ahead; then they type the answer.
type person struct {
	*strings.Reader
	shown  strings.Builder
	answer string
}

func (s *person) Write(p []byte) (int, error) { return s.shown.Write(p) }
func (s *person) Flush() error                { s.Reader = strings.NewReader(s.answer); return nil }
func (s *person) Close() error                { return nil }

// runTerminal runs the program on a terminal, where it prints colours and tables.
func runTerminal(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	code, out, errs, _ = runTerminalWith(t, nil, args...)
	return code, out, errs
}

// runTerminalWith runs the program with a person who answers. ran are the actions that reached
// Sippet.
func runTerminalWith(t *testing.T, who *person, args ...string) (code int, out, errs, ran string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ran")
	live := httptest.NewServer(standIn(file))
	defer live.Close()
	var o, e watched // background work logs too
	env := map[string]string{"SIPPET_BASE_URL": live.URL, "SIPPET_SECRET_KEY": "sk_test_1234567890", "SIPPET_STATE_DIR": t.TempDir()}
	p := &program{in: strings.NewReader(""), out: &o, err: &e, env: func(k string) string { return env[k] },
		outTerminal: true, errTerminal: true,
		terminal: func() (terminal, error) {
			if who == nil {
				return nil, errors.New("none")
			}
			return who, nil
		}}
	code = p.run(context.Background(), args)
	raw, _ := os.ReadFile(file)
	return code, o.String(), e.String(), regexp.MustCompile(`list_\w+\n`).ReplaceAllString(string(raw), "") // the reads for the card
}

// TestAnswerOnTerminal: only the word approve runs the call; nothing that was typed before counts. If
// the terminal ends without an answer, the call waits for one in the inbox.
func TestAnswerOnTerminal(t *testing.T) {
	for _, c := range []struct {
		answer string
		code   int
		ran    string
	}{
		{"approve\n", 0, "delete_contact\n"}, {"APPROVE \n", 0, "delete_contact\n"},
		{"no\n", 5, ""}, {"y\n", 5, ""}, {"\n", 5, ""}, {"yes\n", 5, ""}, {"approve it\n", 5, ""}, {"", 6, ""}, {"approve", 6, ""},
	} {
		t.Run(strings.TrimSpace(c.answer), func(t *testing.T) {
			who := &person{Reader: strings.NewReader("approve\napprove\n"), answer: c.answer}
			code, _, errs, ran := runTerminalWith(t, who, "call", "delete_contact", `{"input":{"contactId":"c0000000-0000-4000-8000-000000000001"}}`, "--approval-wait", "50ms", "--no-browser")
			if code != c.code || ran != c.ran {
				t.Errorf("exit code %d, ran %q, want %d and %q", code, ran, c.code, c.ran)
			}
			if !strings.Contains(who.shown.String(), `Erase the contact "Ada\u{202e} Lovelace" for good.`+"\n") || !strings.HasSuffix(strings.TrimSpace(who.shown.String()), "\nErase this record? Type approve to run this call:") {
				t.Errorf("the prompt was\n%s", who.shown.String())
			}
			if c.code != 6 && strings.Contains(errs, "next:") {
				t.Errorf("the person gets the next step of a model: %s", errs)
			}
		})
	}
}

// TestLogIsEscaped: a log line on a terminal quotes untrusted text, escaped.
func TestLogIsEscaped(t *testing.T) {
	var b strings.Builder
	log, err := newLogger(&program{err: &b, errTerminal: true}, "info")
	if err != nil {
		t.Fatal(err)
	}
	evil := "x\x1b]0;pwned\x07\x1b[2J\u202e"
	log.Warn(evil, "err", errors.New(evil), "why", evil)
	for _, bad := range []string{"\x1b]", "\x1b[2J", "\x07", "\u202e"} {
		if strings.Contains(b.String(), bad) {
			t.Errorf("%q is in %q", bad, b.String())
		}
	}
}

func TestTablesOnTerminal(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want []string // in stdout where code is 0, else in stderr
	}{
		{[]string{"actions"}, 0, []string{"\x1b[1maction ", "delete_contact                      destructive  contacts       confirm   Erase a contact"}},
		{[]string{"call", "list_contacts", `{"fields":["fullName","id"]}`}, 0,
			[]string{"\x1b[1mfullName      id\x1b[0m", "Ada Lovelace  c0000000-0000-4000-8000-000000000001"}},
		{[]string{"call", "flag_call_for_review", `{"identity":"c0000000-0000-4000-8000-000000000001"}`}, 0,
			[]string{"id: c0000000-0000-4000-8000-000000000001\n"}},
		{[]string{"call", "list_contacts", `{"fields":["name"]}`}, 2,
			[]string{"invalid_arguments: the arguments do not fit list_contacts\n  fields[0]: unknown value \"name\"", "next: nothing was sent"}},
		{[]string{"call", "who_am_i", "--json"}, 0, []string{`{"outcome":"done","result":{`}},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			code, out, errs := runTerminal(t, c.args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d: %s", code, c.code, errs)
			}
			text := out
			if c.code != 0 {
				text = errs
			}
			for _, w := range c.want {
				if !strings.Contains(text, w) {
					t.Errorf("no %q in\n%s", w, text)
				}
			}
		})
	}
}
