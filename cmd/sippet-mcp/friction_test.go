package main

import (
	"cmp"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite what is generated in README.md and docs/policy.md")

// frictionProfiles are the profiles under which the jobs are done. Under read-only there are only reads.
var frictionProfiles = []string{"desktop", "team", "unattended"}

const (
	// maxApprovals is how many approvals one job may need.
	maxApprovals = 2

	frictionBegin = "<!-- `make docs` writes this table. -->\n"
	frictionEnd   = "<!-- The end of the table. -->\n"
)

// friction is how many approvals a job needs.
type friction struct {
	approvals int
	another   int    // those of the approvals that must be another person's
	denied    string // the action that was denied; empty if the job was done
}

// row returns the index of the row in which the summary counts the job.
func (f friction) row() int {
	if f.denied != "" {
		return len(frictionRows) - 1
	}
	return f.approvals
}

func (f friction) String() string {
	switch {
	case f.denied != "":
		return "denied"
	case f.another == f.approvals && f.another > 0:
		return fmt.Sprintf("%d, by another person", f.approvals)
	case f.another > 0:
		return fmt.Sprintf("%d, %d by another person", f.approvals, f.another)
	}
	return fmt.Sprint(f.approvals)
}

// frictionRows are the rows of the summary.
var frictionRows = [maxApprovals + 2]string{"none", "one", "two", "the job is denied"}

// TestFriction does twenty ordinary jobs under each profile and counts the approvals. No job needs
// more than two, and the documents have the figures.
func TestFriction(t *testing.T) {
	if len(jobs) != 20 {
		t.Fatalf("%d jobs", len(jobs))
	}
	measured := make([]map[string]friction, len(frictionProfiles))
	t.Run("jobs", func(t *testing.T) {
		for i, profile := range frictionProfiles {
			t.Run(profile, func(t *testing.T) {
				t.Parallel()
				measured[i] = measureFriction(t, profile)
			})
		}
	})
	if t.Failed() {
		return
	}
	head := fmt.Sprintf(" | %s |\n|---|%s\n", strings.Join(frictionProfiles, " | "), strings.Repeat("---|", len(frictionProfiles)))
	each, summary := "| job"+head, "| approvals for a job"+head
	for _, j := range jobs {
		each += "| " + j.name + " |"
		for _, m := range measured {
			each += " " + m[j.name].String() + " |"
		}
		each += "\n"
	}
	for n, name := range frictionRows {
		summary += "| " + name + " |"
		for _, m := range measured {
			count := 0
			for _, f := range m {
				if f.row() == n {
					count++
				}
			}
			summary += fmt.Sprintf(" %d |", count)
		}
		summary += "\n"
	}
	compareBlock(t, "../../README.md", summary)
	compareBlock(t, docs+"policy.md", each)
}

// compareBlock compares the generated table of a page, and rewrites it with -update.
func compareBlock(t *testing.T, path, table string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	must(t, err)
	before, rest, found := strings.Cut(string(raw), frictionBegin)
	_, after, closed := strings.Cut(rest, frictionEnd)
	if !found || !closed {
		t.Fatalf("%s lacks the line %q or %q", path, frictionBegin, frictionEnd)
	}
	switch want := before + frictionBegin + "\n" + table + "\n" + frictionEnd + after; {
	case *update:
		must(t, os.WriteFile(path, []byte(want), 0o600))
	case string(raw) != want:
		t.Errorf("%s is outdated, update it with make docs. Measured:\n%s", path, table)
	}
}

// measureFriction does all jobs under a profile, in one organisation of the sandbox.
func measureFriction(t *testing.T, profile string) map[string]friction {
	w := &world{dir: filepath.Join(t.TempDir(), "state")}
	w.bob, w.ada = w.token(t, "bob", "agent", "--sandbox"), w.token(t, "ada", "approver", "--sandbox")
	p, err := spawn([]string{"http", "--sandbox", "--state-dir", w.dir, "--policy", profile, "--addr", "127.0.0.1:0", "--approval-wait", "0s", "--log-level", "error"})
	must(t, err)
	t.Cleanup(func() {
		p.kill()
		<-p.ended
		if s := p.faults(); s != "" {
			t.Errorf("the server logged an error: %s", s)
		}
	})
	must(t, p.listening())
	as := &assistant{t: t, client: &modern{p.url, &http.Client{Transport: bearer(w.bob)}}, approver: &answerer{strings.TrimSuffix(p.url, "/mcp"), w.ada}}
	t.Cleanup(as.client.http.CloseIdleConnections)
	out := map[string]friction{}
	for _, j := range jobs {
		as.job, as.friction = j.name, friction{}
		j.do(as)
		if as.approvals > maxApprovals {
			t.Errorf("%s needs %d approvals", j.name, as.approvals)
		}
		out[j.name] = as.friction
	}
	return out
}

// assistant is that of a support team. Its calls go to a server over MCP, and another
// person approves in the inbox what needs it.
type assistant struct {
	t        *testing.T
	client   *modern
	approver *answerer
	job      string
	friction
}

// do makes a call that changes something. Once one call of a job was denied, the others are not made.
func (as *assistant) do(action, args string) record {
	as.t.Helper()
	return as.together(action, args)[0]
}

// together makes several calls of one action at once. What must be approved is one card in the inbox,
// with a line for each.
func (as *assistant) together(action string, all ...string) []record {
	as.t.Helper()
	out, answers := make([]record, len(all)), make([]*reply, len(all))
	needs := ""
	for i, args := range all {
		if as.denied == "" {
			answers[i] = as.client.tool(as.t, action, args)
			needs = cmp.Or(needs, answers[i].Result.StructuredContent.Approval.Needs)
		}
	}
	if needs != "" {
		as.approvals++
	}
	if needs == "approve" {
		as.another++
	}
	for i, args := range all {
		if as.denied == "" {
			out[i] = as.end(action, args, answers[i])
		}
	}
	return out
}

// end has a call approved if it must be, and returns the result.
func (as *assistant) end(action, args string, r *reply) record {
	as.t.Helper()
	if a := r.Result.StructuredContent.Approval; r.outcome() == "approval_pending" {
		as.approver.approve(as.t, a.ID)
		until(as.t, 20*time.Second, func() bool {
			r = as.client.tool(as.t, "approval_status", `{"id":"`+a.ID+`"}`)
			return r.outcome() != "approval_pending"
		}, func() string { return fmt.Sprintf("%s: %s does not run: %+v", as.job, action, r) })
	}
	switch r.outcome() {
	case "done":
	case "denied":
		as.denied = action
	default:
		as.t.Fatalf("%s: %s %s: %+v", as.job, action, args, r)
	}
	return r.Result.StructuredContent.Result
}

// list reads records. A read never needs an approval.
func (as *assistant) list(action, args string) []record {
	as.t.Helper()
	r := as.client.tool(as.t, action, args)
	if r.outcome() != "done" {
		as.t.Fatalf("%s: %s %s: %+v", as.job, action, args, r)
	}
	return r.Result.StructuredContent.Results
}

// first returns the first record that a list has.
func (as *assistant) first(action, args string) record {
	as.t.Helper()
	all := as.list(action, args)
	if len(all) == 0 {
		as.t.Fatalf("%s: %s %s finds nothing", as.job, action, args)
	}
	return all[0]
}

// contact returns the id of a contact.
func (as *assistant) contact(name string) string {
	as.t.Helper()
	return as.first("list_contacts", fmt.Sprintf(`{"fields":["id"],"filter":{"fullName":{"eq":%q}}}`, name)).text("id")
}

// live returns the callUuid of the live call from a number.
func (as *assistant) live(number string) string {
	as.t.Helper()
	return as.first("list_calls", fmt.Sprintf(`{"fields":["callUuid"],"filter":{"fromNumber":{"eq":%q},"status":{"eq":"answered"}}}`, number)).text("callUuid")
}

// record is a record of Sippet's as an answer has it.
type record map[string]any

func (r record) text(field string) string { s, _ := r[field].(string); return s }

// ids returns a JSON list of ids.
func ids(list []string) string { return `["` + strings.Join(list, `","`) + `"]` }
