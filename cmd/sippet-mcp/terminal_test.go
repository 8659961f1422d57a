package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// person is the program with somebody at the terminal, who reads colour and tables.
func person(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	live := httptest.NewServer(standIn(filepath.Join(t.TempDir(), "ran")))
	defer live.Close()
	var o, e bytes.Buffer
	env := map[string]string{"SIPPET_BASE_URL": live.URL, "SIPPET_SECRET_KEY": "sk_test_1234567890"}
	p := &program{in: strings.NewReader(""), out: &o, err: &e, env: func(k string) string { return env[k] },
		outTerminal: true, errTerminal: true,
		terminal: func() (io.ReadWriteCloser, error) { return nil, errors.New("none") }}
	code = p.run(context.Background(), args)
	return code, o.String(), e.String()
}

func TestATerminalGetsTables(t *testing.T) {
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
			code, out, errs := person(t, c.args...)
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
