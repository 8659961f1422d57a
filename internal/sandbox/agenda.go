package sandbox

import (
	"fmt"
	"time"

	"github.com/sippet-ai/sippet-mcp/internal/sandbox/ash"
)

// The agenda holds what is still to happen, as records: so it survives with
// the rest, and whatever a client does can take things off it. Nothing runs
// by itself: each request first lets happen what has become due.

// schedule puts something on the agenda. What names the happening, subject the
// record that it happens to.
func (o *organisation) schedule(t *ash.Tx, what, subject string, step int, after time.Duration) error {
	at := t.Now.Add(after)
	return t.Insert(o.resources["Agenda"], ash.Record{"id": o.idOf("agenda", what, subject, fmt.Sprint(step), at.Format(ash.TimeLayout)),
		"at": at.Format(ash.TimeLayout), "what": what, "subject": subject, "step": int64(step)})
}

// cancel takes everything about a subject off the agenda.
func (o *organisation) cancel(t *ash.Tx, subject string) error {
	return t.Exec(`DELETE FROM "Agenda" WHERE "subject" = ?`, subject)
}

// runDue lets everything happen that is due, each at its own time.
func (o *organisation) runDue(t *ash.Tx) error {
	now := t.Now
	defer func() { t.Now = now }()
	for {
		due, err := t.All(o.resources["Agenda"], `t."at" <= ? ORDER BY t."at", t."seq" LIMIT 1`, now.Format(ash.TimeLayout))
		if err != nil || len(due) == 0 {
			return err
		}
		item := due[0]
		if err := t.Delete(o.resources["Agenda"], item.Text("id")); err != nil {
			return err
		}
		if t.Now, err = time.Parse(ash.TimeLayout, item.Text("at")); err != nil {
			return fmt.Errorf("agenda: %w", err)
		}
		step, _ := item["step"].(int64)
		if err := o.runTask(t, item.Text("what"), item.Text("subject"), int(step)); err != nil {
			return fmt.Errorf("agenda: %s of %s: %w", item.Text("what"), item.Text("subject"), err)
		}
	}
}

// runTask is the table of happenings.
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
	return fmt.Errorf("nothing is called so")
}
