package sandbox

import (
	"fmt"
	"sync"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/sandbox/ash"
)

// schedule adds a task to the agenda. What names the task, subject is the id of the record that it
// is about, and step counts the tasks of a series.
//
// The agenda is a resource, so that a file keeps it, and so that an action can cancel its tasks.
func (o *organisation) schedule(t *ash.Tx, what, subject string, step int, after time.Duration) error {
	at := t.Now.Add(after)
	return t.Insert(o.resources["Agenda"], ash.Record{
		"id": o.idOf("agenda", what, subject, fmt.Sprint(step), at.Format(ash.TimeLayout)),
		"at": at.Format(ash.TimeLayout), "what": what, "subject": subject, "step": int64(step)})
}

// cancel removes all tasks about a subject from the agenda.
func (o *organisation) cancel(t *ash.Tx, subject string) error {
	return t.Exec(`DELETE FROM "Agenda" WHERE "subject" = ?`, subject)
}

// runDue runs the tasks that are due, each at its own time.
func (o *organisation) runDue(t *ash.Tx) error {
	now := t.Now
	defer func() { t.Now = now }()
	for {
		due, err := t.All(o.resources["Agenda"], `t."at" <= ? ORDER BY t."at", t."seq" LIMIT 1`, now.Format(ash.TimeLayout))
		if err != nil || len(due) == 0 {
			return err
		}
		task := due[0]
		if err := t.Delete(o.resources["Agenda"], task.Text("id")); err != nil {
			return err
		}
		if t.Now, err = time.Parse(ash.TimeLayout, task.Text("at")); err != nil {
			return fmt.Errorf("agenda: %w", err)
		}
		step, _ := task["step"].(int64)
		if err := o.runTask(t, task.Text("what"), task.Text("subject"), int(step)); err != nil {
			return fmt.Errorf("agenda: %s of %s: %w", task.Text("what"), task.Text("subject"), err)
		}
	}
}

func (o *organisation) runTask(t *ash.Tx, what, subject string, step int) error {
	switch what {
	case abandonTask:
		return o.abandonEntry(t, subject)
	case "listen":
		return t.Update(o.resources["EmailMailbox"], subject, ash.Record{"listenerStatus": "running"})
	case "classify_email":
		return o.classifyEmail(t, subject)
	case answerTask:
		return o.sendAnswer(t, subject)
	case bounceTask:
		return o.bounceAnswer(t, subject)
	}
	call, err := t.Get(o.resources["Call"], subject)
	if err != nil || call == nil {
		return err
	}
	switch what {
	case "ring":
		return o.markRinging(t, call)
	case "answer":
		return o.markAnswered(t, call)
	case "say":
		return o.speakLine(t, call, step)
	case "hang_up":
		return o.endCall(t, call, "completed")
	case "busy", "no_answer", "failed":
		return o.endCall(t, call, what)
	}
	return fmt.Errorf("unknown task %q", what)
}

// Clock is a clock that runs faster or slower than the real one, for [Options]. Several goroutines
// may use it.
type Clock struct {
	mu    sync.Mutex
	at    time.Time // the clock's time when it was last set
	since time.Time // the real time when it was last set
	speed float64
}

// NewClock returns a clock that starts at start and runs speed times as fast as real time. At speed
// 0 it only moves by Advance.
func NewClock(start time.Time, speed float64) *Clock {
	return &Clock{at: start, since: time.Now(), speed: max(speed, 0)}
}

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *Clock) now() time.Time {
	return c.at.Add(time.Duration(float64(time.Since(c.since)) * c.speed))
}

// Advance moves the clock forward. The next run performs what is then due.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.since = c.now().Add(d), time.Now()
}
