package serve_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/policy"
	"github.com/sippet-ai/sippet-mcp/rpc"
	"github.com/sippet-ai/sippet-mcp/rpc/rpctest"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// TestEndOfInput: calls in flight are finished and answered after the end of the input, also one
// without a line end.
func TestEndOfInput(t *testing.T) {
	w := newWorld(t, nil)
	hold := make(chan struct{})
	w.up.On(rpctest.Run, "update_contact", rpctest.Always(rpctest.Answer{Usual: true, Until: hold}))
	p := pipe(t, w)
	p.begin(t)
	const n = 8
	for i := range n {
		p.write(t, call(fmt.Sprint(i+1), "update_contact", fmt.Sprintf(`{"fields":["id"],"identity":%q,"input":{"defaultLanguage":"l%d"}}`, anID, i), ""))
	}
	w.up.Await(t, 4*n) // each read the contact, was validated, read what it replaces, and runs
	go func() {
		fmt.Fprint(p.in, call("99", "list_contacts", "{}", ""))
		p.in.Close()
	}()
	w.up.Await(t, 4*n+1)
	select {
	case err := <-p.done:
		t.Fatalf("ended with calls in flight: %v", err)
	default:
	}
	close(hold)
	seen := map[string]bool{}
	for range n + 1 {
		line := p.read(t)
		var r struct{ ID json.Number }
		if err := json.Unmarshal([]byte(line), &r); err != nil || outcomeOf(t, line) != "done" {
			t.Errorf("%v: %s", err, line)
		}
		seen[string(r.ID)] = true
	}
	if len(seen) != n+1 {
		t.Errorf("answers to %v", seen)
	}
	if err := <-p.done; err != nil {
		t.Error(err)
	}
}

// TestEndOfInputAfterStrangeFrames: a message that is answered without being a request does not
// count as one.
func TestEndOfInputAfterStrangeFrames(t *testing.T) {
	w := newWorld(t, nil)
	hold := make(chan struct{})
	w.up.On(rpctest.Run, "", rpctest.Always(rpctest.Answer{Usual: true, Until: hold}))
	p := pipe(t, w)
	p.begin(t)
	p.write(t, call(`"a\u0062"`, "list_contacts", "{}", ""))
	p.write(t, call("1e1", "list_contacts", "{}", ""))
	w.up.Await(t, 2)
	strange := []string{
		`{"jsonrpc":"2.0","id":73}`,
		`{"jsonrpc":"2.0","id":74,"error":{"code":-32000,"message":"a late reply to an expired elicitation"}}`,
		`{"jsonrpc":"2.0","id":75,"params":{}}`,
	}
	for _, f := range strange {
		p.write(t, f)
		if line := p.read(t); !strings.Contains(line, `"error"`) {
			t.Errorf("%s: %s", f, line)
		}
	}
	ended := make(chan struct{})
	go func() { p.in.Close(); close(ended) }()
	<-ended
	select {
	case line := <-p.out:
		t.Errorf("a call in flight was abandoned: %s", line)
	case <-time.After(100 * time.Millisecond): // long enough for a server that does not wait
	}
	close(hold)
	for range 2 {
		if line := p.read(t); outcomeOf(t, line) != "done" {
			t.Errorf("%s", line)
		}
	}
	begun := time.Now()
	if err := <-p.done; err != nil || time.Since(begun) > 10*time.Second {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
}

// TestEndOfInputEndsWait: after the end of the input the client cannot reply any more, and the call
// does not wait for anybody.
func TestEndOfInputEndsWait(t *testing.T) {
	w := newWorld(t, nil)
	p := pipe(t, w)
	p.begin(t)
	p.write(t, call("1", "end_call", `{"input":{"callUuid":"c"}}`, ""))
	if q := p.read(t); !strings.Contains(q, "elicitation/create") {
		t.Fatalf("%s", q)
	}
	p.in.Close()
	if line := p.read(t); outcomeOf(t, line) != "approval_pending" || runs(w.up) != 0 {
		t.Errorf("%d runs, %s", runs(w.up), line)
	}
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		t.Error("the end of input waits for a person")
	}
}

// TestPendingRequests: 50 requests of a caller may be pending. One call waits for the answer, the
// others say that it is pending, the next one fails at once, and reads continue. Each reply counts,
// also after its call was answered.
func TestPendingRequests(t *testing.T) {
	w := newWorld(t, nil)
	p := pipe(t, w)
	p.begin(t)
	most := ledger.MaxPending("end_call")
	for i := range most {
		p.write(t, call(fmt.Sprint(i+1), "end_call", fmt.Sprintf(`{"input":{"callUuid":"c-%d"}}`, i), ""))
	}
	var elicitations []string
	for range 2*most - 1 {
		q := p.read(t)
		var m struct {
			ID     json.Number
			Method string
		}
		switch err := json.Unmarshal([]byte(q), &m); {
		case err == nil && m.Method == "elicitation/create":
			elicitations = append(elicitations, string(m.ID))
		case err != nil || outcomeOf(t, q) != "approval_pending":
			t.Fatalf("%s", q)
		}
	}
	if len(elicitations) != most {
		t.Fatalf("%d dialogues", len(elicitations))
	}
	reads()
	p.write(t, call("100", "end_call", `{"input":{"callUuid":"c-100"}}`, ""))
	if line := p.read(t); outcomeOf(t, line) != "limit_exceeded" || !strings.Contains(line, `"isError":true`) {
		t.Errorf("%s", line)
	}
	p.write(t, call("101", "list_contacts", `{}`, ""))
	if line := p.read(t); outcomeOf(t, line) != "done" {
		t.Errorf("%s", line)
	}
	w.up.Forget()
	for _, id := range elicitations {
		p.write(t, `{"jsonrpc":"2.0","id":`+id+`,"result":{"action":"accept","content":{"approve":true}}}`)
	}
	if line := p.read(t); outcomeOf(t, line) != "done" {
		t.Errorf("%s", line)
	}
	for end := time.Now().Add(20 * time.Second); runs(w.up) != most; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d runs", runs(w.up))
		}
	}
}

// TestManyCalls: more calls at once than the queue of the SDK has workers.
func TestManyCalls(t *testing.T) {
	w := newWorld(t, nil)
	p := pipe(t, w)
	p.begin(t)
	const n = 300
	go func() {
		for i := range n {
			fmt.Fprintln(p.in, call(fmt.Sprint(i+1), "list_contacts", `{"fields":["id"]}`, ""))
		}
	}()
	seen := map[string]bool{}
	for range n {
		line := p.read(t)
		var r struct{ ID json.Number }
		if err := json.Unmarshal([]byte(line), &r); err != nil || outcomeOf(t, line) != "done" {
			t.Fatalf("%v: %s", err, line)
		}
		seen[string(r.ID)] = true
	}
	if len(seen) != n || runs(w.up) != n {
		t.Errorf("%d answers, %d runs", len(seen), runs(w.up))
	}
}

// TestIntegers: integers of 64 bits keep their value in both directions.
func TestIntegers(t *testing.T) {
	w := newWorld(t, nil)
	w.up.On(rpctest.Run, "", rpctest.OK(`{"id":"`+anID+`","metadata":{"n":9223372036854775807,"f":1.10,"e":1e400}}`))
	p := pipe(t, w)
	p.begin(t)
	p.write(t, call("1", "create_contact", `{"fields":["id","metadata"],"input":{"fullName":"x","metadata":{"n":9007199254740993,"f":1.10}}}`, ""))
	line := p.read(t)
	if !strings.Contains(line, `"n":9223372036854775807,"f":1.10,"e":1e400`) {
		t.Errorf("%s", line)
	}
	for _, r := range w.up.Requests() {
		if !strings.Contains(string(r.Body), `"metadata":{"f":1.10,"n":9007199254740993}`) {
			t.Errorf("%s", r.Body)
		}
	}
}

// TestLongLine: a line that is too long gets an error, and the following ones are served.
func TestLongLine(t *testing.T) {
	w := newWorld(t, nil)
	p := pipe(t, w)
	p.begin(t)
	p.write(t, strings.Repeat("x", 20<<20))
	if line := p.read(t); !strings.Contains(line, `"id":null`) || !strings.Contains(line, "15 MiB") {
		t.Errorf("%s", line)
	}
	p.write(t, "\n\r\n  ")
	p.write(t, call("1", "list_contacts", `{}`, "")+"\r")
	if line := p.read(t); outcomeOf(t, line) != "done" {
		t.Errorf("%s", line)
	}
	go func() {
		fmt.Fprint(p.in, strings.Repeat("x", 16<<20))
		p.in.Close()
	}()
	if line := p.read(t); !strings.Contains(line, "15 MiB") {
		t.Errorf("%s", line)
	}
	if n := len(w.up.Requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// panics is an upstream with a bug.
type panics struct{ policy.Upstream }

const inside = "a secret of the inside"

func (panics) Run(context.Context, rpc.Request) (rpc.Result, *schemas.Error) {
	panic(errors.New(inside))
}

// TestPanic: the client gets outcome_unknown without internals. The log has the cause.
func TestPanic(t *testing.T) {
	check := func(t *testing.T, w *world, answer string) {
		t.Helper()
		if outcomeOf(t, answer) != "outcome_unknown" || strings.Contains(answer, inside) || strings.Contains(answer, "goroutine") || !strings.Contains(answer, `"isError":true`) {
			t.Errorf("%s", answer)
		}
		if log := w.log.String(); !strings.Contains(log, inside) || !strings.Contains(log, "goroutine") {
			t.Errorf("the log does not help: %s", log)
		}
	}
	wrap := func(u policy.Upstream) policy.Upstream { return panics{u} }
	t.Run("http", func(t *testing.T) {
		s := listen(t, newWorld(t, wrap))
		_, body := s.post(t, call("1", "update_contact", `{"identity":"`+anID+`","input":{}}`, ""), "Mcp-Session-Id", s.session(t))
		check(t, s.world, body)
	})
	t.Run("stdio", func(t *testing.T) {
		p := pipe(t, newWorld(t, wrap))
		p.begin(t)
		p.write(t, call("1", "update_contact", `{"identity":"`+anID+`","input":{}}`, ""))
		check(t, p.world, p.read(t))
		p.write(t, `{"jsonrpc":"2.0","id":2,"method":"ping"}`)
		if line := p.read(t); !strings.Contains(line, `"result":{}`) {
			t.Errorf("%s", line)
		}
	})
}

// TestProgress: a client that asks for progress is told that the call waits for a person.
func TestProgress(t *testing.T) {
	p := pipe(t, newWorld(t, nil))
	p.begin(t)
	p.write(t, call("1", "end_call", `{"input":{"callUuid":"c"}}`, `"_meta":{"progressToken":"tok"}`))
	elicitation, progress := "", ""
	for range 2 {
		line := p.read(t)
		if strings.Contains(line, "elicitation/create") {
			elicitation = line
		} else {
			progress = line
		}
	}
	if !strings.Contains(progress, "notifications/progress") || !strings.Contains(progress, `"tok"`) {
		t.Errorf("%s", progress)
	}
	var m struct{ ID json.Number }
	if err := json.Unmarshal([]byte(elicitation), &m); err != nil {
		t.Fatalf("%v: %s", err, elicitation)
	}
	reads()
	p.write(t, `{"jsonrpc":"2.0","id":`+string(m.ID)+`,"result":{"action":"accept","content":{"approve":true}}}`)
	if line := p.read(t); outcomeOf(t, line) != "done" {
		t.Errorf("%s", line)
	}
}

// TestCancelled: no answer goes to a cancelled id, and it no longer counts as in flight. A later
// request may use the id again.
func TestCancelled(t *testing.T) {
	for _, id := range []string{"7", `"7"`, `"a\u0062,\""`, "1e1"} {
		t.Run(id, func(t *testing.T) {
			w := newWorld(t, nil)
			hold := make(chan struct{})
			w.up.On(rpctest.Run, "", rpctest.Always(rpctest.Answer{Usual: true, Until: hold}))
			p := pipe(t, w)
			p.begin(t)
			p.write(t, call(id, "list_contacts", "{}", ""))
			p.write(t, call("8", "list_contacts", "{}", ""))
			w.up.Await(t, 2)
			cancel := func(id string) string {
				return `{"jsonrpc":"2.0","method":"notifications\/cancelled","params":{"reason":"x","requestId":` + id + `}}`
			}
			for _, unknown := range []string{"9", `"9"`, "null", "[8]", `{"requestId":8}`} {
				p.write(t, cancel(unknown))
			}
			p.write(t, `{"jsonrpc":"2.0","id":10,"method":"notifications/cancelled","params":{"requestId":8}}`) // a request
			if line := p.read(t); !strings.Contains(line, `"id":10,`) {
				t.Errorf("%s", line)
			}
			p.write(t, cancel(id))
			p.write(t, cancel(id)) // again, which must not count for the next request of that id
			p.write(t, `{"jsonrpc":"2.0","id":11,"method":"ping"}`)
			if line := p.read(t); !strings.Contains(line, `"id":11,`) {
				t.Errorf("%s", line)
			}
			close(hold)
			if line := p.read(t); !strings.Contains(line, `"id":8,`) || outcomeOf(t, line) != "done" {
				t.Errorf("%s", line)
			}
			p.write(t, cancel(id)) // has an answer or will get none: nothing to cancel
			p.write(t, call(id, "list_contacts", "{}", ""))
			begun := time.Now()
			p.in.Close()
			var answers []string
			for line := range p.out {
				answers = append(answers, line)
			}
			// The SDK may end the second call with the first, which has the same id; it is answered all
			// the same.
			if len(answers) != 1 || outcomeOf(t, answers[0]) == "" {
				t.Errorf("%d answers: %v", len(answers), answers)
			}
			if d := time.Since(begun); d > 10*time.Second {
				t.Errorf("the end of input took %v", d)
			}
		})
	}
}
