package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sippet-mcp": main, "sqlite": sqlite})
}

// TestScripts runs the scripts in testdata/script, which show the program at a shell. $LIVE is the
// URL of a stand-in for Sippet that answers every action with one row, and appends the action to
// $WORK/ran. The file free holds an unused address. until.sh waits for the output of a program in
// the background.
func TestScripts(t *testing.T) {
	if testing.Short() {
		t.Skip("the scripts are not run with -short")
	}
	if _, err := exec.LookPath("curl"); err != nil && os.Getenv("CI") != "" {
		t.Fatal("curl is missing, and in CI the scripts that need it must run")
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			live := httptest.NewServer(standIn(filepath.Join(e.WorkDir, "ran")))
			e.Defer(live.Close)
			page, err := filepath.Abs("../../schemas/testdata/page.txt")
			if err != nil {
				return err
			}
			free, err := freeAddress()
			if err != nil {
				return err
			}
			e.Setenv("LIVE", live.URL)
			e.Setenv("FREE", free)
			for name, text := range map[string]string{"free": free + "\n", "until.sh": untilScript} {
				if err := os.WriteFile(filepath.Join(e.WorkDir, name), []byte(text), 0o600); err != nil {
					return err
				}
			}
			e.Setenv("GORACE", "atexit_sleep_ms=0") // or the race detector delays the end of each command
			e.Setenv("SIPPET_NO_BROWSER", "true")   // or it opens one on the developer's machine
			e.Setenv("PAGE", page)
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("XDG_CONFIG_HOME", filepath.Join(e.WorkDir, "config"))
			return nil
		},
		RequireExplicitExec: true,
	})
}

const untilScript = `# until.sh FILE TEXT: waits until the file has the text.
for i in $(seq 200); do
	grep -q -e "$2" "$1" 2>/dev/null && exit
	sleep 0.1
done
cat "$1"
exit 1
`

func standIn(ran string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if key := r.Header.Get("X-Api-Key"); key != "sk_test_1234567890" && key != "sk_test_fedcba9876543210" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var body struct{ Action string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		if strings.HasSuffix(r.URL.Path, "/validate") {
			_, _ = w.Write([]byte(`{"success":true}`))
			return
		}
		f, err := os.OpenFile(ran, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			_, _ = f.WriteString(body.Action + "\n")
			_ = f.Close()
		}
		if strings.HasPrefix(body.Action, "list_") {
			_, _ = w.Write([]byte(`{"success":true,"data":[{"id":"c0000000-0000-4000-8000-000000000001","fullName":"Ada\u202e Lovelace"}]}`))
			return
		}
		_, _ = w.Write([]byte(`{"success":true,"data":{"id":"c0000000-0000-4000-8000-000000000001"}}`))
	})
}
