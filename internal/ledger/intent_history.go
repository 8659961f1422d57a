package ledger

import (
	"context"
	"strings"
	"time"

	"github.com/sippet-ai/sippet-mcp/schemas"
)

// ChangeFilter selects what a caller changed.
type ChangeFilter struct {
	Organisation string
	// Caller is the name of the caller, whichever program it used; Everybody selects all callers.
	Caller    string
	Everybody bool
	Since     time.Time
	// Subjects are persons: changes of their contacts are selected. Without them Actions are the
	// names of the actions.
	Subjects, Actions []string
	// Limit bounds the changes that are read.
	Limit int
}

// Change is an intent that ran, or may have run.
type Change struct {
	Intent
	// Subject is the one of the filter's that was changed or created; empty without Subjects.
	Subject string
}

// dayQuery begins a query of the intents since a time that ran or may have run. It reads the end of
// the table only, because intents are stored in the order of their times.
const dayQuery = ` FROM intents WHERE seq > coalesce((SELECT seq FROM intents WHERE prepared < ?1 ORDER BY seq DESC LIMIT 1), 0)
	AND organisation = ?2 AND state IN ('prepared', 'sent', 'succeeded', 'unknown') AND `

// FindChanges implements Ledger.
func (s *SQLite) FindChanges(ctx context.Context, f ChangeFilter) (all []Change, more int, err error) {
	cond, args := "effect_kind = ?4", []any{micros(f.Since), f.Organisation, clip(f.Caller), string(schemas.ContactChange)}
	tags, ids := map[string]string{}, map[string]string{} // keyed hash → subject; id of a key → subject
	if f.Subjects == nil {
		cond, args = "action IN (''"+strings.Repeat(", ?", len(f.Actions))+")", args[:3]
		for _, name := range f.Actions {
			args = append(args, name)
		}
	} else if ids, err = s.keysOf(ctx, f.Subjects); err != nil {
		return nil, 0, err
	}
	for _, subject := range f.Subjects {
		tags[s.seal.affects(f.Organisation, []string{subject})] = subject
	}
	type match struct {
		seq     int64
		subject string
	}
	var found []match
	by := "caller->>'name' = ?3 AND "
	if f.Everybody {
		by = "?3 IS NOT NULL AND "
	}
	query := "SELECT seq, affects, keys" + dayQuery + by + cond + " ORDER BY seq DESC"
	err = s.rows(ctx, query, args, func(scan func(...any) error) error {
		var seq int64
		var affects, keys string
		if err := scan(&seq, &affects, &keys); err != nil {
			return err
		}
		m := match{seq: seq}
		for tag := range strings.FieldsSeq(affects) {
			if m.subject = tags[tag]; m.subject != "" {
				break
			}
		}
		if first, _, _ := strings.Cut(keys, ","); ids[first] != "" { // the record that was changed or created
			m.subject = ids[first]
		}
		if m.subject != "" || f.Subjects == nil {
			found = append(found, m)
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	for _, m := range found[:min(f.Limit, len(found))] {
		in, err := s.readIntent(ctx, intentAtQuery, m.seq)
		if err != nil {
			return nil, 0, err
		}
		if in != nil { // else it was pruned meanwhile
			all = append(all, Change{*in, m.subject})
		}
	}
	return all, max(0, len(found)-f.Limit), nil
}

// keysOf returns the subjects of the keys that they have, by the key's id.
func (s *SQLite) keysOf(ctx context.Context, subjects []string) (map[string]string, error) {
	ids := map[string]string{}
	for len(subjects) > 0 {
		n := min(maxLoad, len(subjects))
		names, args := map[string]string{}, []any{}
		for _, subject := range subjects[:n] {
			tag := mac(s.seal.tag, subject)
			names[string(tag)], args = subject, append(args, tag)
		}
		query := "SELECT id, tag FROM keys WHERE tag IN (?" + strings.Repeat(", ?", n-1) + ")"
		err := s.rows(ctx, query, args, func(scan func(...any) error) error {
			var id string
			var tag []byte
			err := scan(&id, &tag)
			ids[id] = names[string(tag)]
			return err
		})
		if err != nil {
			return nil, err
		}
		subjects = subjects[n:]
	}
	return ids, nil
}

// FindLatest implements Ledger.
func (s *SQLite) FindLatest(ctx context.Context, x Txn, since time.Time) (map[string]Intent, error) {
	if x.EffectKind == "" || len(x.Affects) == 0 {
		return nil, nil
	}
	tags, found := map[string]string{}, map[string]Intent{}
	for _, person := range x.Affects {
		tags[s.seal.affects(x.Organisation, []string{person})] = person
	}
	query := "SELECT " + intentColumns + dayQuery + "effect_kind = ?3 ORDER BY seq DESC"
	err := s.rows(ctx, query, []any{micros(since), x.Organisation, string(x.EffectKind)}, func(scan func(...any) error) error {
		in, err := scanIntent(scan)
		if err != nil {
			return err
		}
		for tag := range strings.FieldsSeq(in.affects) {
			person, wanted := tags[tag]
			if _, known := found[person]; wanted && !known {
				found[person] = *in
			}
		}
		return nil
	})
	return found, err
}
