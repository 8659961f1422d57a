package ash

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// Tx is the transaction in which one request is answered. Actions read and write through it.
//
// Conditions are SQL over the table's alias t, such as t."id" = ?, with their parameters.
type Tx struct {
	// Now is the time of the transaction. The code that runs in it may change it.
	Now time.Time

	ctx     context.Context
	engine  *Engine
	sql     *sql.Tx
	inserts map[string]*sql.Stmt // by resource name
}

// Exec runs an SQL statement.
func (t *Tx) Exec(query string, args ...any) error {
	if _, err := t.sql.ExecContext(t.ctx, query, args...); err != nil {
		return fmt.Errorf("statement %.60q: %w", query, err)
	}
	return nil
}

// Timestamp returns Now as a stored value of a Time attribute.
func (t *Tx) Timestamp() string { return t.Now.Format(TimeLayout) }

// NewID returns the next id of the domain. The database counts them, because several processes may
// use the same file.
func (t *Tx) NewID() (string, error) {
	var n uint64
	err := t.sql.QueryRowContext(t.ctx, `UPDATE `+t.engine.store.table+` SET "value" = "value" + 1 WHERE "key" = 'ids' RETURNING "value"`).Scan(&n)
	if err != nil {
		return "", fmt.Errorf("count ids: %w", err)
	}
	return t.engine.domain.NewID(n), nil
}

// Insert stores a new record. It sets the id of rec if rec has none.
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
		stmt, err = t.sql.PrepareContext(t.ctx, "INSERT INTO "+quoteName(r.Name)+" ("+strings.Join(names, ",")+") VALUES ("+strings.Join(marks, ",")+")")
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

// Update stores the changes to the record with this id.
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

// Delete deletes the record with this id. It is not an error if there is none.
func (t *Tx) Delete(r *Resource, id string) error {
	return t.Exec("DELETE FROM "+quoteName(r.Name)+` WHERE "id" = ?`, id)
}

// Get returns the record with this id, or nil.
func (t *Tx) Get(r *Resource, id string) (Record, error) {
	return t.First(r, `t."id" = ?`, id)
}

// First returns the first record in the order of insertion that meets the condition, or nil.
func (t *Tx) First(r *Resource, where string, args ...any) (Record, error) {
	recs, err := t.All(r, where+` ORDER BY t."seq" LIMIT 1`, args...)
	if err != nil || len(recs) == 0 {
		return nil, err
	}
	return recs[0], nil
}

// All returns the records that meet the condition, with all attributes that are not computed in Go.
// The condition may be followed by ORDER BY and LIMIT.
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

// queryRows returns the values of attrs in each record that meets the condition, followed by those
// of the extra SQL expressions.
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
	result, err := t.sql.QueryContext(t.ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", r.Name, err)
	}
	defer result.Close()
	targets := make([]any, len(columns))
	var rows [][]any
	for result.Next() {
		row := make([]any, len(columns))
		for i := range row {
			targets[i] = &row[i]
		}
		if err := result.Scan(targets...); err != nil {
			return nil, fmt.Errorf("read %s: %w", r.Name, err)
		}
		for i, a := range attrs {
			row[i] = a.decodeColumn(row[i])
		}
		rows = append(rows, row)
	}
	return rows, result.Err()
}

// Count returns the number of records that meet the condition.
func (t *Tx) Count(r *Resource, where string, args ...any) (int64, error) {
	var n int64
	err := t.sql.QueryRowContext(t.ctx, "SELECT count(*) FROM "+quoteName(r.Name)+" t WHERE "+where, args...).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", r.Name, err)
	}
	return n, nil
}
