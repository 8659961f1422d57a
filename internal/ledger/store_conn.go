package ledger

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"reflect"

	"modernc.org/sqlite"
)

// conn is the writer's connection. It uses the driver without database/sql, which would cost a
// commit a fifth of its time. Nobody else uses the connection, so it needs no pool, lock or
// cancellation.
type conn struct {
	c          driver.Conn
	statements map[string]statement
	args       []driver.NamedValue // of the statement that runs
}

// statement is a prepared statement as the driver has it.
type statement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

func openConn(ctx context.Context, dsn string) (*conn, error) {
	connector, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	c, err := connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{c: c, statements: map[string]statement{}}, nil
}

// close also closes the statements: an open one keeps SQLite from emptying its log into the file.
func (c *conn) close() {
	for _, st := range c.statements {
		st.Close()
	}
	c.c.Close()
}

// prepare prepares a query once.
func (c *conn) prepare(query string) (statement, error) {
	if st := c.statements[query]; st != nil {
		return st, nil
	}
	st, err := c.c.Prepare(query)
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	s, ok := st.(statement)
	if !ok {
		return nil, fmt.Errorf("the driver's %T has no contexts", st)
	}
	c.statements[query] = s
	return s, nil
}

// exec runs a statement and returns the number of changed rows.
func (c *conn) exec(query string, args ...any) (int64, error) {
	st, err := c.prepare(query)
	if err != nil {
		return 0, err
	}
	r, err := st.ExecContext(context.Background(), c.values(args))
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// rows reads all rows of a query.
func (c *conn) rows(query string, args []any, each func(scan func(...any) error) error) error {
	st, err := c.prepare(query)
	if err != nil {
		return err
	}
	r, err := st.QueryContext(context.Background(), c.values(args))
	if err != nil {
		return err
	}
	defer r.Close()
	row := make([]driver.Value, len(r.Columns()))
	for {
		switch err := r.Next(row); {
		case err == nil:
		case err == io.EOF:
			return nil
		default:
			return err
		}
		if err := each(func(into ...any) error { return scanRow(row, into) }); err != nil {
			return err
		}
	}
}

// values converts arguments to what drivers accept: int64, bool, string and []byte.
func (c *conn) values(args []any) []driver.NamedValue {
	c.args = c.args[:0]
	for i, a := range args {
		if n, ok := a.(int); ok {
			a = int64(n)
		}
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return c.args
}

// scanRow copies a row's values to the pointers.
func scanRow(row []driver.Value, into []any) error {
	if len(row) != len(into) {
		return fmt.Errorf("a row has %d columns, %d were expected", len(row), len(into))
	}
	for i, v := range row {
		switch p := into[i].(type) {
		case *[]byte:
			switch v := v.(type) {
			case string:
				*p = []byte(v)
			case []byte:
				*p = append([]byte(nil), v...)
			case nil:
				*p = nil
			}
			continue
		}
		to := reflect.ValueOf(into[i]).Elem()
		switch v := v.(type) {
		case string:
			if to.Kind() == reflect.String {
				to.SetString(v)
				continue
			}
		case int64:
			switch to.Kind() {
			case reflect.Int, reflect.Int64:
				to.SetInt(v)
				continue
			case reflect.Bool:
				to.SetBool(v != 0)
				continue
			}
		}
		return fmt.Errorf("column %d holds %T, not %s", i, v, to.Type())
	}
	return nil
}
