package ledger_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/ledger"
	"github.com/sippet-ai/sippet-mcp/schemas"
)

// TestMain runs the other process of a test if SIPPET_LEDGER_CHILD says what it does.
func TestMain(m *testing.M) {
	if what := os.Getenv("SIPPET_LEDGER_CHILD"); what != "" {
		if err := childMain(what, os.Getenv("SIPPET_LEDGER_DIR")); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func childCommand(t testing.TB, dir, what string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self)
	c.Env = append(os.Environ(), "SIPPET_LEDGER_CHILD="+what, "SIPPET_LEDGER_DIR="+dir)
	return c
}

// startChild starts the other process: lines are its output, in is its standard input.
func startChild(t testing.TB, dir, what string) (c *exec.Cmd, in io.WriteCloser, lines *bufio.Scanner) {
	t.Helper()
	c = childCommand(t, dir, what)
	c.Stderr = t.Output()
	in, err := c.StdinPipe()
	if err == nil {
		var out io.ReadCloser
		out, err = c.StdoutPipe()
		lines = bufio.NewScanner(out)
	}
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return c, in, lines
}

func childMain(what, dir string) error {
	ctx := context.Background()
	l, err := ledger.Open(ctx, ledger.Options{Dir: dir})
	if err != nil {
		return err
	}
	word, arg, _ := strings.Cut(what, " ")
	switch word {
	case "open":
		return l.Close()
	case "race":
		return raceChild(ctx, l, arg)
	case "watch":
		return watchChild(ctx, l)
	case "load":
		return loadChild(ctx, l)
	}
	return errors.New("unknown command")
}

// raceChild uses each approval that stdin names, with eight callers at once, and prints the
// intents.
func raceChild(ctx context.Context, l ledger.Ledger, name string) error {
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		payload, approval, _ := strings.Cut(in.Text(), " ")
		x := call(payload)
		x.ApprovalID = approval
		var wg sync.WaitGroup
		var mu sync.Mutex
		var committed []string
		for range 8 {
			wg.Go(func() {
				got, err := l.Commit(ctx, x)
				var p *ledger.ConflictError
				if err != nil && !errors.Is(err, ledger.ErrApprovalUsed) && !errors.As(err, &p) {
					fmt.Println("error:", err)
				}
				if err == nil {
					mu.Lock()
					committed = append(committed, got.ID)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		fmt.Println("won", strings.Join(committed, " "))
	}
	return l.Close()
}

// watchChild prints when an emergency stop begins and when it ends.
func watchChild(ctx context.Context, l ledger.Ledger) error {
	fmt.Println("ready")
	stopped := false
	for range 1500 {
		stops, err := l.CurrentStops(ctx)
		if err != nil {
			return err
		}
		if on := len(stops) > 0; on != stopped {
			stopped = on
			fmt.Println("stopped", stopped, time.Now().UnixNano())
			if !stopped {
				return l.Close()
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	return errors.New("no emergency stop began")
}

// loadChild commits and settles without end, and prints each.
func loadChild(ctx context.Context, l ledger.Ledger) error {
	var out sync.Mutex
	print := func(s string) {
		out.Lock()
		defer out.Unlock()
		fmt.Println(s)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				x := call(ledger.NewID())
				x.Subjects = []string{"contact:" + x.Hash[:8]}
				in, err := l.Commit(ctx, x)
				if err != nil {
					print("error: " + err.Error())
					return
				}
				print("prepared " + in.ID)
				l.RecordEvent(event("contact:1"))
				if err := l.Settle(ctx, ledger.Settlement{Intent: in.ID, State: ledger.Succeeded, Sent: true, Outcome: schemas.Done, Result: []byte(`{}`)}); err != nil {
					print("error: " + err.Error())
					return
				}
				print("settled " + in.ID)
			}
		})
	}
	wg.Wait()
	return nil
}

func TestApprovalUsedOnceAcrossProcesses(t *testing.T) {
	dir := t.TempDir()
	l := open(t, ledger.Options{Dir: dir})
	type peer struct {
		c     *exec.Cmd
		in    io.WriteCloser
		lines *bufio.Scanner
	}
	var peers []peer
	for i := range 3 {
		c, in, lines := startChild(t, dir, fmt.Sprint("race ", i))
		if !lines.Scan() || lines.Text() != "ready" {
			t.Fatal(lines.Text())
		}
		peers = append(peers, peer{c, in, lines})
	}
	for round := range 20 {
		name := fmt.Sprint("raced", round)
		x := call(name)
		request := createApproval(t, l, x, time.Now().Add(time.Minute))
		answer(t, l, request, ledger.Approved)
		for _, p := range peers {
			fmt.Fprintln(p.in, name, request.ID)
		}
		var committed []string
		for _, p := range peers {
			if !p.lines.Scan() || !strings.HasPrefix(p.lines.Text(), "won") {
				t.Fatal(p.lines.Text())
			}
			committed = append(committed, strings.Fields(p.lines.Text())[1:]...)
		}
		if len(committed) != 1 {
			t.Fatalf("round %d: used %d times", round, len(committed))
		}
	}
	for _, p := range peers {
		p.in.Close()
		if err := p.c.Wait(); err != nil {
			t.Error(err)
		}
	}
	verifyClean(t, l)
}

func TestStopAcrossProcesses(t *testing.T) {
	dir := t.TempDir()
	l := open(t, ledger.Options{Dir: dir})
	var all []*bufio.Scanner
	for range 3 {
		c, _, lines := startChild(t, dir, "watch")
		t.Cleanup(func() { c.Process.Kill(); c.Wait() })
		if !lines.Scan() || lines.Text() != "ready" {
			t.Fatal(lines.Text())
		}
		all = append(all, lines)
	}
	time.Sleep(50 * time.Millisecond)
	for _, on := range []bool{true, false} {
		began := time.Now()
		var err error
		if on {
			err = l.Stop(t.Context(), everything, ledger.Actor{Name: "ada"}, "")
		} else {
			_, err = l.Resume(t.Context(), everything, ledger.Actor{Name: "ada"})
		}
		if err != nil {
			t.Fatal(err)
		}
		for i, lines := range all {
			var got bool
			var at int64
			if !lines.Scan() {
				t.Fatal("it ended")
			}
			if _, err := fmt.Sscanf(lines.Text(), "stopped %t %d", &got, &at); err != nil || got != on {
				t.Fatal(lines.Text())
			}
			if late := time.Unix(0, at).Sub(began); late > time.Second {
				t.Errorf("process %d noticed it after %v", i, late)
			}
		}
	}
}

func TestConcurrentStart(t *testing.T) {
	for range 5 {
		dir := filepath.Join(t.TempDir(), "state")
		var all []*exec.Cmd
		for range 6 {
			c, _, _ := startChild(t, dir, "open")
			all = append(all, c)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				l, err := ledger.Open(t.Context(), ledger.Options{Dir: dir})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := l.Commit(t.Context(), call(ledger.NewID())); err != nil {
					t.Error(err)
				}
				l.Close()
			})
		}
		wg.Wait()
		for _, c := range all {
			if err := c.Wait(); err != nil {
				t.Error(err)
			}
		}
		if r := verifyClean(t, open(t, ledger.Options{Dir: dir})); r.Intents != 4 {
			t.Errorf("%+v", r)
		}
	}
}

// TestKilledProcess: one process is killed at a random moment, again and again, while another
// continues. Nothing that was durable is lost, and the log verifies.
func TestKilledProcess(t *testing.T) {
	rounds := 50
	if testing.Short() {
		rounds = 8
	}
	dir := t.TempDir()
	l := open(t, ledger.Options{Dir: dir})
	prepared, settled := map[string]bool{}, map[string]bool{}
	for round := range rounds {
		c, _, lines := startChild(t, dir, "load")
		kill := time.AfterFunc(10*time.Millisecond+rand.N(100*time.Millisecond), func() { c.Process.Kill() })
		for lines.Scan() {
			word, id, _ := strings.Cut(lines.Text(), " ")
			switch word {
			case "prepared":
				prepared[id] = true
			case "settled":
				settled[id] = true
			default:
				t.Fatalf("round %d: %s", round, lines.Text())
			}
		}
		c.Wait()
		kill.Stop()
		settle(t, l, commit(t, l, call(fmt.Sprint("mine", round))), ledger.Succeeded)
	}
	l.Close()
	l = open(t, ledger.Options{Dir: dir}) // makes the intents of killed processes unknown
	all, err := l.Intents(t.Context(), ledger.IntentFilter{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]ledger.IntentState{}
	unknown := 0
	for _, in := range all {
		got[in.ID] = in.State
		switch in.State {
		case ledger.Unknown:
			unknown++
		case ledger.Succeeded:
		default:
			t.Errorf("intent %s of a killed process is %s", in.ID, in.State)
		}
	}
	for id := range prepared {
		if got[id] == "" {
			t.Errorf("intent %s was committed and is lost", id)
		}
	}
	for id := range settled {
		if got[id] != ledger.Succeeded {
			t.Errorf("intent %s was settled and is %s", id, got[id])
		}
	}
	r := verifyClean(t, l)
	t.Logf("%d rounds: %d intents printed as prepared, %d as settled; in the ledger %d, %d of them unknown, %d records, %d checkpoints",
		rounds, len(prepared), len(settled), len(all), unknown, r.Records, r.Checkpoints)
}
