package ledger

import (
	"context"
	"database/sql"
)

// WrongOrganisation is an API key that was attached to an organisation without a record.
const WrongOrganisation FindingKind = "organisation"

// replayedKey is an API key as the log describes it.
type replayedKey struct {
	organisation, fingerprint string
	seq                       int64
	inTable                   bool
}

func (p *replay) applyAttached(r *Record) {
	p.keys[r.Credential] = &replayedKey{organisation: r.Organisation, fingerprint: r.Fingerprint, seq: r.Seq}
}

// checkAPIKeys compares the table of API keys with the log.
func (v *verifier) checkAPIKeys(ctx context.Context, conn *sql.Conn) error {
	rows, err := conn.QueryContext(ctx, "SELECT "+keyColumns+" FROM api_keys")
	if err != nil {
		return err
	}
	err = eachRow(rows, func(scan func(...any) error) error {
		var r keyRow
		if err := scan(r.fields()...); err != nil {
			return err
		}
		k := v.replay.keys[r.name]
		if k == nil && r.seq > 0 && r.seq <= v.anchor.seq { // its record was pruned
			k = &replayedKey{r.organisation, r.fingerprint, r.seq, false}
		}
		switch {
		case k == nil:
			v.add(WrongOrganisation, 0, r.name, "API key %s has no record", r.name)
			return nil
		case r.fingerprint != r.seal(v.s.seal), k.organisation != r.organisation, k.fingerprint != r.fingerprint, k.seq != r.seq:
			v.add(WrongOrganisation, k.seq, r.name, "API key %s is attached to another organisation than its record says", r.name)
		}
		k.inTable = true
		return nil
	})
	for name, k := range v.replay.keys {
		if !k.inTable {
			v.add(WrongOrganisation, k.seq, name, "API key %s has a record, but is missing from its table", name)
		}
	}
	return err
}
