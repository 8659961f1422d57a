package ledger

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A caller has a share of the ledger: the bytes that the records about its calls may take. It is a
// budget (see budget.go), of which one time is stored, in meta: when it is whole again. It is debited
// in the transaction that writes the records, so it costs no commit, and neither another process nor
// a restart makes it whole. All callers together have a share too.
//
// When a share is used up, calls that would be recorded are rejected with a *LimitError, except for
// hanging up. What cannot be rejected, the outcome of a call that runs, is debited all the same. Of
// events, half of the share is for whole records; then they are only counted (audit_count.go).

// share is how many bytes there are at first, and how many grow back in an hour.
type share struct{ most, hourly int64 }

var (
	callerShare = share{64 << 20, 16 << 20}
	totalShare  = share{512 << 20, 256 << 20}
)

// What a record takes beside its line, in bytes: as a row, and the row of an intent or a request.
const (
	rowSize  = 200
	callSize = 1000
	keySize  = 400 // of a subject
	idSize   = 33  // of a key in an intent
)

// What is kept of one call, in bytes. A longer payload is kept with its request only, and longer
// replaced values not at all, so that the call cannot be undone.
const (
	maxKeptTwice = 256 << 10
	maxReplaced  = 256 << 10
	// maxEvent bounds payload, card and replaced values of an event.
	maxEvent = 32 << 10
)

// sharePrefix begins the names of shares in meta. The name of the caller follows; nothing for the
// share of all.
const sharePrefix = "share "

// wholeAgain is when the share of a caller is whole again, in nanoseconds since 1970.
type wholeAgain struct {
	caller string
	at     int64
}

// used is the number of bytes that records of a transaction take.
type used struct {
	caller string
	bytes  int64
}

func (s share) interval() int64 { return int64(time.Hour) / s.hourly }

// left returns how many bytes remain at a time; less than 0 if more was used than there is.
func (s share) left(full int64, now time.Time) int64 {
	return s.most - max(0, full-now.UnixNano())/s.interval()
}

// use debits a share for a record. It rejects nothing; checkShare does.
func (t *tx) use(r *Record, line int) {
	n := int64(line) + rowSize + t.newKeys*keySize
	t.newKeys = 0
	if r.Phase == PhasePrepared || r.Phase == PhaseRequested {
		n += callSize + int64(len(r.Affects))
		if r.Sealed != nil {
			n += int64(len(r.Sealed.Keys)) * idSize
		}
	}
	t.used = append(t.used, used{r.Caller.Name, n})
}

// shareLeft returns how many bytes remain of the share of a caller, or of all callers for an empty
// name.
func (t *tx) shareLeft(caller string) (int64, share, error) {
	full, err := t.shareFull(caller)
	if err != nil {
		return 0, share{}, err
	}
	s := callerShare
	if caller == "" {
		s = totalShare
	}
	left := s.left(full, t.now)
	for _, u := range t.used {
		if caller == "" || u.caller == caller {
			left -= u.bytes
		}
	}
	return left, s, nil
}

// shareFull returns when a share is whole again.
func (t *tx) shareFull(caller string) (int64, error) {
	if full, ok := t.s.shares[caller]; ok {
		return full, nil
	}
	var text string
	if _, err := t.row("SELECT value FROM meta WHERE name = ?", []any{sharePrefix + caller}, &text); err != nil {
		return 0, err
	}
	full, _ := strconv.ParseInt(text, 10, 64) // 0 for a share that was never used
	t.s.shares[caller] = full
	return full, nil
}

// checkShare rejects a change if its records, which the transaction holds by now, are more than
// remains of the caller's share, or of that of all.
func (t *tx) checkShare(caller Actor) error {
	for _, name := range []string{caller.clipped().Name, ""} {
		left, s, err := t.shareLeft(name)
		if err != nil {
			return err
		}
		if left >= 0 {
			continue
		}
		limit := &LimitError{Budget: "bytes in the ledger", RetryAfter: time.Duration(-left * s.interval()), burst: s.most}
		for _, u := range t.used {
			if u.caller == caller.clipped().Name {
				limit.needed += u.bytes
			}
		}
		if name != "" {
			limit.Key = "caller:" + name
		}
		limit.Left = max(0, left+limit.needed)
		return limit
	}
	return nil
}

// hangUpAgain is how soon a caller that has used up its share may hang up the same call again.
const hangUpAgain = 5 * time.Second

// checkCommitShare is checkShare for a call that is about to run. One that a person approved passes:
// its request was checked. So does hanging up, but not the same call over and over.
func (t *tx) checkCommitShare(x *Txn, effect string) error {
	if x.ApprovalID != "" {
		return nil
	}
	err := t.checkShare(x.Caller)
	if err == nil || x.Action != HangUp {
		return err
	}
	seqs, _ := t.s.conflicts.find(conflictKey(effect))
	for _, seq := range seqs {
		var again int
		const query = "SELECT count(*) FROM intents WHERE seq = ? AND effect = ? AND caller = ? AND state <> 'not_sent' AND prepared > ?"
		if _, e := t.row(query, []any{seq, effect, x.Caller.column(), micros(t.now.Add(-hangUpAgain))}, &again); e != nil {
			return e
		}
		if again > 0 {
			var limit *LimitError
			if errors.As(err, &limit) {
				limit.RetryAfter = hangUpAgain
			}
			return err
		}
	}
	return nil
}

// storeHead stores the head with its code, and what the transaction used of shares, in one statement.
// Without the code nothing would show that the last records were changed or truncated.
func (t *tx) storeHead() error {
	const one = "INSERT OR REPLACE INTO meta (name, value) VALUES ('head', ?), ('share ', ?)"
	const two = one + ", (?, ?)"
	query := one
	args := append(make([]any, 0, 4), t.s.seal.headCode(t.head), "")
	t.wholeAgain = append(t.wholeAgain[:0], wholeAgain{})
	for i := -1; i < len(t.used); i++ {
		name := "" // of all callers
		if i >= 0 {
			name = t.used[i].caller
			if slices.ContainsFunc(t.wholeAgain, func(w wholeAgain) bool { return w.caller == name }) {
				continue
			}
		}
		left, s, err := t.shareLeft(name)
		if err != nil {
			return err
		}
		at := t.now.UnixNano() + (s.most-left)*s.interval()
		value := strconv.FormatInt(at, 10)
		if i < 0 {
			t.wholeAgain[0].at, args[1] = at, value
			continue
		}
		t.wholeAgain = append(t.wholeAgain, wholeAgain{name, at})
		args = append(args, sharePrefix+name, value)
		if query = two; len(args) > 4 {
			query += strings.Repeat(", (?, ?)", len(args)/2-2)
		}
	}
	_, err := t.exec(query, args...)
	return err
}
