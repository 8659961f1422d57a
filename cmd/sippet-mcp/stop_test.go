package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
)

// ringing is a stand-in for Sippet with two live calls, and a third that cannot be ended if stuck.
func ringing(t *testing.T, stuck bool) (url string, ended func() []string) {
	t.Helper()
	var mu sync.Mutex
	var over []string
	live := map[string]bool{"c-1": true, "c-2": true}
	if stuck {
		live["c-3"] = true
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var b struct {
			Action string
			Input  struct{ CallUUID string }
		}
		_ = json.NewDecoder(r.Body).Decode(&b)
		answer := `[]`
		switch {
		case b.Action == "list_calls":
			var rows []string
			for c := range live {
				rows = append(rows, fmt.Sprintf(`{"callUuid":%q,"toNumber":"+4420\u202e79460123"}`, c))
			}
			answer = "[" + strings.Join(rows, ",") + "]"
		case b.Action == "end_call" && b.Input.CallUUID == "c-3":
			_, _ = w.Write([]byte(`{"success":false,"errors":[{"type":"not_found","message":"record not found"}]}`))
			return
		case b.Action == "end_call":
			over = append(over, b.Input.CallUUID)
			delete(live, b.Input.CallUUID)
			answer = `{}`
		}
		_, _ = w.Write([]byte(`{"success":true,"data":` + answer + `}`))
	}))
	t.Cleanup(s.Close)
	return s.URL, func() []string { mu.Lock(); defer mu.Unlock(); return over }
}

// TestStopEndsCalls: live calls are ended with a ledger and without one. The exit code is 1 if
// nothing is stopped, or a call may still be live.
func TestStopEndsCalls(t *testing.T) {
	for name, c := range map[string]struct {
		broken, stuck, noKey, terminal bool
		code                           int
		out, errs                      string
	}{
		"all well":      {terminal: true, out: "Ended: 2 calls."},
		"in a pipe":     {out: `"ended":true`},
		"no ledger":     {broken: true, code: 1, out: `"ended":true`, errs: "NOTHING IS STOPPED: the ledger's key "},
		"a stuck call":  {stuck: true, code: 1, errs: "calls may still be live: 1 could not be ended"},
		"no secret key": {noKey: true, code: 1, errs: "calls may still be live: no organisation to work in"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, ended := ringing(t, c.stuck)
			dir := t.TempDir()
			if c.broken {
				dir, _, _ = filledLedger(t)
				must(t, os.Remove(filepath.Join(dir, ledger.MasterKeyFile)))
			}
			env := map[string]string{"SIPPET_BASE_URL": url, "SIPPET_SECRET_KEY": "sk_test_1234567890", "SIPPET_STATE_DIR": dir}
			if c.noKey {
				delete(env, "SIPPET_SECRET_KEY")
			}
			var out, errs bytes.Buffer
			p := &program{in: strings.NewReader(""), out: &out, err: &errs, env: func(k string) string { return env[k] }, outTerminal: c.terminal,
				terminal: func() (terminal, error) { return nil, errors.New("none") }}
			if code := p.run(t.Context(), []string{"stop", "--end-calls"}); code != c.code {
				t.Errorf("exit code %d: %s%s", code, out.String(), errs.String())
			}
			want := 2
			if c.noKey {
				want = 0
			}
			if n := len(ended()); n != want {
				t.Errorf("%d calls were ended", n)
			}
			if !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.errs) {
				t.Errorf("%s%s", out.String(), errs.String())
			}
			if strings.ContainsRune(out.String(), 0x202e) {
				t.Errorf("%q", out.String())
			}
			if c.broken || c.noKey {
				return
			}
			l, err := ledger.Open(t.Context(), ledger.Options{Dir: dir})
			must(t, err)
			defer l.Close()
			in, err := l.Intents(t.Context(), ledger.IntentFilter{Action: "end_call", State: ledger.Succeeded})
			if must(t, err); len(in) != 2 {
				t.Errorf("%d records of ended calls", len(in))
			}
		})
	}
}
