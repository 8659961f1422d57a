package sandbox

import (
	"fmt"
	"time"
)

// The agenda holds what is still to happen, as records: so it survives with
// the rest, and whatever a client does can take things off it. Nothing runs
// by itself: each request first lets happen what has become due.

// schedule puts something on the agenda. What names the happening, subject the
// record that it happens to.
func (o *organisation) schedule(t *turn, what, subject string, step int, after time.Duration) error {
	at := t.now.Add(after)
	return t.insert(o.r["Agenda"], record{"id": o.named("agenda", what, subject, fmt.Sprint(step), at.Format(timeLayout)),
		"at": at.Format(timeLayout), "what": what, "subject": subject, "step": int64(step)})
}

// cancel takes everything about a subject off the agenda.
func (o *organisation) cancel(t *turn, subject string) error {
	return t.exec(`DELETE FROM "Agenda" WHERE "subject" = ?`, subject)
}

// tick lets everything happen that is due, each at its own time.
func (o *organisation) tick(t *turn) error {
	now := t.now
	defer func() { t.now = now }()
	for {
		due, err := t.all(o.r["Agenda"], `t."at" <= ? ORDER BY t."at", t."seq" LIMIT 1`, now.Format(timeLayout))
		if err != nil || len(due) == 0 {
			return err
		}
		item := due[0]
		if err := t.remove(o.r["Agenda"], item.text("id")); err != nil {
			return err
		}
		if t.now, err = time.Parse(timeLayout, item.text("at")); err != nil {
			return fmt.Errorf("agenda: %w", err)
		}
		step, _ := item["step"].(int64)
		if err := o.happen(t, item.text("what"), item.text("subject"), int(step)); err != nil {
			return fmt.Errorf("agenda: %s of %s: %w", item.text("what"), item.text("subject"), err)
		}
	}
}

// happen is the table of happenings.
func (o *organisation) happen(t *turn, what, subject string, step int) error {
	switch what {
	case queuePatience:
		return o.giveUp(t, subject)
	case "listen":
		return t.update(o.r["EmailMailbox"], subject, record{"listenerStatus": "running"})
	case "classify_email":
		return o.classifyEmail(t, subject)
	case answerEmail:
		return o.sendAnswer(t, subject)
	case bounceEmail:
		return o.bounceAnswer(t, subject)
	}
	call, err := t.get(o.r["Call"], subject)
	if err != nil || call == nil {
		return err
	}
	switch what {
	case "ring":
		return o.ring(t, call)
	case "answer":
		return o.pickUp(t, call)
	case "say":
		return o.say(t, call, step)
	case "hang_up":
		return o.hangUp(t, call, "completed")
	case "busy", "no_answer", "failed":
		return o.hangUp(t, call, what)
	}
	return fmt.Errorf("nothing is called so")
}
