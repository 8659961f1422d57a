package ledger

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// PhaseAttached says that an API key, in Credential, belongs to an Organisation from now on.
const PhaseAttached Phase = "attached"

// The rejections of an API key.
var (
	// ErrNoOrganisation is returned for an organisation that has no key and made no call.
	ErrNoOrganisation = newRejection("no such organisation is recorded")
	// ErrOtherHost is returned for a key that is used at another host than the organisation's.
	ErrOtherHost = newRejection("the key is for another host than the organisation")
	// ErrKeyMoved rejects a call of a program that was started before its key was attached to
	// another organisation.
	ErrKeyMoved = newRejection("the API key was attached to another organisation since this program was started")
)

// UnresolvedError rejects a key that would forget calls without a known outcome: those of the
// organisation that it leaves, or of one that it may belong to.
type UnresolvedError struct {
	Organisation string
	Intents      int
}

// Is makes errors.Is(e, ErrRejected) true.
func (*UnresolvedError) Is(target error) bool { return target == ErrRejected }

func (e *UnresolvedError) Error() string {
	return fmt.Sprintf("calls of the organisation %s have no known outcome: %d", e.Organisation, e.Intents)
}

// Organisation is an organisation of Sippet with the API keys that are attached to it.
type Organisation struct {
	// ID is the host of Sippet's API and a random part.
	ID   string
	Keys []APIKey
	// Unresolved is the number of its calls that are in flight or have an unknown outcome.
	Unresolved int
}

// APIKey is a secret key of Sippet as the ledger knows it.
type APIKey struct {
	// Name is the host and a fingerprint of the key, as rpc.Client.KeyName returns it.
	Name string
	// Attached is when it was attached, and By who did it; nobody if it was new to the ledger.
	Attached time.Time
	By       Actor
}

// keyRow is a row of the table api_keys.
type keyRow struct {
	name, organisation, by, fingerprint string
	attached, seq                       int64
}

const keyColumns = "name, organisation, attached_by, fingerprint, attached, seq"

func (r *keyRow) fields() []any {
	return []any{&r.name, &r.organisation, &r.by, &r.fingerprint, &r.attached, &r.seq}
}

// seal returns the fingerprint of a row: a code that only the master key can make.
func (r *keyRow) seal(s *sealer) string {
	return hex.EncodeToString(mac(derive(s.fingerprintKey, "api key"),
		strings.Join([]string{r.name, r.organisation, r.by, fmt.Sprint(r.attached), fmt.Sprint(r.seq)}, "\x00")))
}

const keyQuery = "SELECT " + keyColumns + " FROM api_keys WHERE name = ?"

// check rejects a row that was written or changed by hand.
func (r *keyRow) check(s *SQLite) error {
	if r.fingerprint != r.seal(s.seal) {
		return &StoreError{Corrupt, s.path, fmt.Errorf("the organisation of the API key %s was changed", r.name)}
	}
	return nil
}

// newOrganisation returns the id of a new organisation for a key.
func newOrganisation(key string) string { return hostOf(key) + " " + NewID()[:12] }

// unresolved is the condition for intents that are in flight or have an unknown outcome.
const unresolved = "state IN ('prepared', 'sent', 'unknown')"

// OpenOrganisation implements Ledger.
func (s *SQLite) OpenOrganisation(ctx context.Context, key string) (id string, alone bool, err error) {
	var r keyRow
	if found, err := s.row(ctx, keyQuery, []any{key}, r.fields()...); err != nil || found {
		if err == nil {
			err = r.check(s)
		}
		return r.organisation, false, err
	}
	err = s.write(ctx, func(t *tx) error {
		var keys int
		found, err := t.row(keyQuery, []any{key}, r.fields()...)
		if err != nil || found { // another process was first
			if err == nil {
				err = r.check(s)
			}
			return err
		}
		if _, err := t.row("SELECT count(*) FROM api_keys", nil, &keys); err != nil {
			return err
		}
		alone = keys > 0
		// The key may replace the one of such a call. Its organisation would send the call again.
		var open UnresolvedError
		found, err = t.row("SELECT organisation, count(*) FROM intents WHERE "+unresolved+
			" AND substr(organisation, 1, length(?1)) = ?1 GROUP BY organisation ORDER BY min(seq) LIMIT 1",
			[]any{hostOf(key) + " "}, &open.Organisation, &open.Intents)
		if err != nil || found {
			if err == nil {
				err = &open
			}
			return err
		}
		r = keyRow{name: key, organisation: newOrganisation(key)}
		return t.attachKey(&r, Actor{})
	})
	return r.organisation, alone, err
}

// hostOf returns the host in the name of a key or the id of an organisation.
func hostOf(name string) string {
	host, _, _ := strings.Cut(name, " ")
	return host
}

// attachKey writes the row of a key, and its record.
func (t *tx) attachKey(r *keyRow, by Actor) error {
	r.by, r.attached, r.seq = by.column(), micros(t.now), t.head.seq+1
	r.fingerprint = r.seal(t.s.seal)
	_, err := t.exec("INSERT OR REPLACE INTO api_keys ("+keyColumns+") VALUES (?, ?, ?, ?, ?, ?)",
		r.name, r.organisation, r.by, r.fingerprint, r.attached, r.seq)
	if err != nil {
		return err
	}
	return t.append(&Record{Phase: PhaseAttached, Credential: r.name, Organisation: r.organisation, Fingerprint: r.fingerprint, By: by})
}

// AttachKey implements Ledger.
func (s *SQLite) AttachKey(ctx context.Context, key, organisation string, by Actor) (revoked int, err error) {
	err = s.write(ctx, func(t *tx) error {
		organisation, known := organisation, 0
		if organisation == "" {
			organisation = newOrganisation(key)
		} else if found, err := t.row("SELECT 1 FROM api_keys WHERE organisation = ?1 UNION ALL SELECT 1 FROM intents WHERE organisation = ?1 LIMIT 1",
			[]any{organisation}, &known); err != nil || !found {
			if err == nil {
				err = ErrNoOrganisation
			}
			return err
		}
		if hostOf(key) != hostOf(organisation) {
			return ErrOtherHost
		}
		var old keyRow
		found, err := t.row(keyQuery, []any{key}, old.fields()...)
		switch {
		case err != nil || found && old.organisation == organisation:
			return err
		case !found:
			return t.attachKey(&keyRow{name: key, organisation: organisation}, by)
		}
		var open int
		if _, err := t.row("SELECT count(*) FROM intents WHERE organisation = ? AND "+unresolved, []any{old.organisation}, &open); err != nil {
			return err
		}
		if open > 0 {
			return &UnresolvedError{old.organisation, open}
		}
		if revoked, err = t.revokeApprovals("organisation = ?", []any{old.organisation}, by); err != nil {
			return err
		}
		return t.attachKey(&keyRow{name: key, organisation: organisation}, by)
	})
	return revoked, err
}

// checkKey rejects a call of a program that knows the organisation of its key no more. It reads in
// the transaction, so a call that was accepted before the key was attached is not committed after.
func (t *tx) checkKey(key, organisation, action string) error {
	if key == "" || action == HangUp {
		return nil
	}
	var now string
	_, err := t.row("SELECT organisation FROM api_keys WHERE name = ?", []any{key}, &now)
	if err == nil && now != organisation {
		err = ErrKeyMoved
	}
	return err
}

// Organisations implements Ledger.
func (s *SQLite) Organisations(ctx context.Context) ([]Organisation, error) {
	var all []Organisation
	byID := map[string]int{}
	find := func(id string) *Organisation {
		i, ok := byID[id]
		if !ok {
			i = len(all)
			byID[id], all = i, append(all, Organisation{ID: id})
		}
		return &all[i]
	}
	err := s.rows(ctx, "SELECT "+keyColumns+" FROM api_keys ORDER BY seq", nil, func(scan func(...any) error) error {
		var r keyRow
		err := scan(r.fields()...)
		if err == nil {
			o := find(r.organisation)
			o.Keys = append(o.Keys, APIKey{Name: r.name, Attached: fromMicros(r.attached), By: parseActor(r.by)})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	err = s.rows(ctx, "SELECT organisation, count(iif("+unresolved+", 1, NULL)) FROM intents GROUP BY organisation ORDER BY min(seq)",
		nil, func(scan func(...any) error) error {
			var id string
			var n int
			err := scan(&id, &n)
			if err == nil {
				find(id).Unresolved = n
			}
			return err
		})
	return all, err
}
