package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMassRead reads all contacts with their birthdays, as a misled model would: through two servers
// of one ledger at once, with two clients each. It gets little more than 2,000, and then nothing by
// another list or by tests of calls. Where recordings are it is not told.
func TestMassRead(t *testing.T) {
	const contacts, servers, clients = 3500, 2, 2
	for _, profile := range []string{"team", "unattended"} {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			w := &world{dir: filepath.Join(t.TempDir(), "state")}
			w.bob = w.token(t, "bob", "agent", "--sandbox")
			var mu sync.Mutex
			seen := map[string]bool{}
			var wg sync.WaitGroup
			began := time.Now()
			var all []*modern
			for i := range servers {
				args := []string{"http", "--sandbox", "--sandbox-scale", "3500", "--state-dir", w.dir, "--policy", profile, "--addr", "127.0.0.1:0", "--log-level", "error"}
				if i > 0 {
					args = append(args, "--sandbox-db", filepath.Join(t.TempDir(), "other.db"))
				}
				p, err := spawn(args)
				must(t, err)
				t.Cleanup(func() { p.kill(); <-p.ended })
				must(t, p.listening())
				for range clients {
					all = append(all, &modern{p.url, &http.Client{Transport: bearer(w.bob)}})
				}
			}
			t.Logf("the servers began after %s", time.Since(began))
			began = time.Now()
			for i, c := range all {
				t.Cleanup(c.http.CloseIdleConnections)
				sort := []string{"id", "-id", "fullName", "-fullName"}[i]
				wg.Go(func() {
					next := `{"fields":["id","fullName","dateOfBirth"],"sort":"` + sort + `","page":{"limit":100}}`
					for next != "" {
						r, err := c.call("list_contacts", next, "")
						if err != nil {
							t.Error(err)
							return
						}
						got := r.Result.StructuredContent
						if r.outcome() == "limit_exceeded" {
							if got.RetryAfterSeconds < 1 || got.RetryAfterSeconds > 3600 || !strings.Contains(got.Message, "/people") {
								t.Errorf("%+v", got)
							}
							return
						}
						if r.outcome() != "done" {
							t.Errorf("%+v", r)
							return
						}
						mu.Lock()
						for _, row := range got.Results {
							seen[row.text("id")] = true
						}
						mu.Unlock()
						next = string(got.Next)
					}
				})
			}
			wg.Wait()
			t.Logf("%d people of %d were shown in %s", len(seen), contacts, time.Since(began))
			if n := len(seen); n < 1000 || n > 2000+servers*500+100 {
				t.Errorf("%d people were shown", n)
			}
			for _, c := range all {
				for tool, args := range map[string]string{
					"list_calls":            `{}`,
					"list_call_transcripts": `{"fields":["content"]}`,
					"validate_action":       `{"action":"update_contact","payload":{"identity":"0e6f1a52-4f0e-4a3b-9a87-1b6f0a0c9d11","input":{"fullName":"Guess"}}}`,
				} {
					if r := c.tool(t, tool, args); r.outcome() != "limit_exceeded" {
						t.Errorf("%s: %+v", tool, r)
					}
				}
				for field, tool := range map[string]string{"recordingUri": "list_calls", "systemPrompt": "list_ai_agents", "toolSettings": "list_ai_agents"} {
					if r := c.tool(t, tool, `{"fields":["id","`+field+`"]}`); r.outcome() != "invalid_arguments" {
						t.Errorf("%s: %+v", field, r)
					}
				}
			}
		})
	}
}
