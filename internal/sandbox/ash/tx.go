package ash

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// Tx is the answering of one request: one transaction at one time. What an
// action does, it does through its turn.
type Tx struct {
	ctx context.Context
	e   *Engine
	tx  *sql.Tx
	Now time.Time

	inserts map[string]*sql.Stmt
}

func (t *Tx) Exec(query string, args ...any) error {
	if _, err := t.tx.ExecContext(t.ctx, query, args...); err != nil {
		return fmt.Errorf("statement %.60q: %w", query, err)
	}
	return nil
}

// Timestamp is the turn's time as stored in time attributes.
func (t *Tx) Timestamp() string { return t.Now.Format(TimeLayout) }

// NewID makes an id that no other record has. The count is kept in the store,
// since several processes may share a file.
func (t *Tx) NewID() (string, error) {
	var n uint64
	err := t.tx.QueryRowContext(t.ctx, `UPDATE `+t.e.store.table+` SET "value" = "value" + 1 WHERE "key" = 'ids' RETURNING "value"`).Scan(&n)
	if err != nil {
		return "", fmt.Errorf("count ids: %w", err)
	}
	return t.e.domain.NewID(n), nil
}

// Insert stores a new record, which gets an id where it has none.
func (t *Tx) Insert(r *Resource, rec Record) error {
	if rec["id"] == nil {
		id, err := t.NewID()
		if err != nil {
			return err
		}
		rec["id"] = id
	}
	if t.inserts == nil {
		t.inserts = map[string]*sql.Stmt{}
	}
	stmt := t.inserts[r.Name]
	if stmt == nil {
		var names, marks []string
		for _, a := range r.Attributes {
			if a.isStored() {
				names = append(names, quoteName(a.Name))
				marks = append(marks, "?")
			}
		}
		var err error
		stmt, err = t.tx.PrepareContext(t.ctx, "INSERT INTO "+quoteName(r.Name)+" ("+strings.Join(names, ",")+") VALUES ("+strings.Join(marks, ",")+")")
		if err != nil {
			return fmt.Errorf("insert %s: %w", r.Name, err)
		}
		t.inserts[r.Name] = stmt
	}
	var args []any
	for _, a := range r.Attributes {
		if a.isStored() {
			args = append(args, encodeColumn(rec[a.Name]))
		}
	}
	if _, err := stmt.ExecContext(t.ctx, args...); err != nil {
		return fmt.Errorf("insert %s: %w", r.Name, err)
	}
	return nil
}

// Update stores the changes on the record of that id.
func (t *Tx) Update(r *Resource, id string, changes Record) error {
	var sets []string
	var args []any
	for _, name := range sortedKeys(changes) {
		if a := r.byName[name]; a == nil || !a.isStored() {
			return fmt.Errorf("update %s: no stored attribute %q", r.Name, name)
		}
		sets = append(sets, quoteName(name)+" = ?")
		args = append(args, encodeColumn(changes[name]))
	}
	if len(sets) == 0 {
		return nil
	}
	return t.Exec("UPDATE "+quoteName(r.Name)+" SET "+strings.Join(sets, ", ")+` WHERE "id" = ?`, append(args, id)...)
}

func (t *Tx) Delete(r *Resource, id string) error {
	return t.Exec("DELETE FROM "+quoteName(r.Name)+` WHERE "id" = ?`, id)
}

// Get reads a whole record by id; nil where there is none.
func (t *Tx) Get(r *Resource, id string) (Record, error) {
	return t.First(r, `t."id" = ?`, id)
}

// First reads the first whole record that the condition, over the alias t, lets
// through; nil where there is none.
func (t *Tx) First(r *Resource, where string, args ...any) (Record, error) {
	recs, err := t.All(r, where+` ORDER BY t."seq" LIMIT 1`, args...)
	if err != nil || len(recs) == 0 {
		return nil, err
	}
	return recs[0], nil
}

// All reads whole records; where may go on with ORDER BY and LIMIT.
func (t *Tx) All(r *Resource, where string, args ...any) ([]Record, error) {
	var attrs []*Attribute
	for _, a := range r.Attributes {
		if a.Compute == nil {
			attrs = append(attrs, a)
		}
	}
	rows, err := t.queryRows(r, attrs, nil, where, args)
	var recs []Record
	for _, row := range rows {
		rec := make(Record, len(attrs))
		for i, a := range attrs {
			rec[a.Name] = row[i]
		}
		recs = append(recs, rec)
	}
	return recs, err
}

// queryRows reads the attributes of records, and behind them the values of extra
// expressions.
func (t *Tx) queryRows(r *Resource, attrs []*Attribute, extra []string, where string, args []any) ([][]any, error) {
	columns := make([]string, 0, len(attrs)+len(extra)+1)
	for _, a := range attrs {
		columns = append(columns, a.expr("t"))
	}
	columns = append(columns, extra...)
	if len(columns) == 0 {
		columns = append(columns, "1")
	}
	query := "SELECT " + strings.Join(columns, ", ") + " FROM " + quoteName(r.Name) + " t WHERE " + where
	found, err := t.tx.QueryContext(t.ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", r.Name, err)
	}
	defer found.Close()
	targets := make([]any, len(columns))
	var rows [][]any
	for found.Next() {
		row := make([]any, len(columns))
		for i := range row {
			targets[i] = &row[i]
		}
		if err := found.Scan(targets...); err != nil {
			return nil, fmt.Errorf("read %s: %w", r.Name, err)
		}
		for i, a := range attrs {
			row[i] = a.decodeColumn(row[i])
		}
		rows = append(rows, row)
	}
	return rows, found.Err()
}

// Count counts the records that the condition lets through.
func (t *Tx) Count(r *Resource, where string, args ...any) (int64, error) {
	var n int64
	err := t.tx.QueryRowContext(t.ctx, "SELECT count(*) FROM "+quoteName(r.Name)+" t WHERE "+where, args...).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", r.Name, err)
	}
	return n, nil
}
