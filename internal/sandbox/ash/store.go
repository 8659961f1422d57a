package ash

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"strings"

	"modernc.org/sqlite"
)

// Record is one record: stored values by attribute name. A stored value is a string, int64,
// float64, bool, Document or nil.
type Record map[string]any

// Text returns the value of a string attribute, or "" if it is null.
func (r Record) Text(name string) string { s, _ := r[name].(string); return s }

// store is a SQLite database with a table for each resource and a column for each stored attribute.
// Times, dates and UUIDs are text in a form that sorts correctly. Maps and arrays are JSON.
// SQLite's binary collation sorts as PostgreSQL's collation C.
type store struct {
	db    *sql.DB
	path  string
	table string // Domain.Table, quoted
	shape int64  // a checksum of the tables' definitions
}

// openStore opens the file at path, or a database in memory if path is empty. It uses a single
// connection, because each connection to memory would open a database of its own.
func openStore(ctx context.Context, path, table string, resources []*Resource) (*store, error) {
	dsn := "file::memory:"
	if path != "" {
		dsn = "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path) +
			"?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=busy_timeout(5000)&_txlock=immediate"
	}
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1)
	db.SetConnMaxLifetime(0)
	db.SetConnMaxIdleTime(0)
	ddl := []string{`CREATE TABLE IF NOT EXISTS ` + quoteName(table) + ` ("key" TEXT PRIMARY KEY, "value" INTEGER NOT NULL)`}
	for _, r := range resources {
		ddl = append(ddl, tableSQL(r)...)
	}
	all := strings.Join(ddl, ";\n")
	var foreign bool
	err = db.QueryRowContext(ctx, `SELECT count(*) > 0 AND count(*) FILTER (WHERE "name" = ?) = 0 FROM sqlite_master`, table).Scan(&foreign)
	if err == nil && foreign {
		err = errors.New("it belongs to another program")
	}
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("open database %q: %w", path, err)
	}
	if _, err := db.ExecContext(ctx, all); err != nil {
		db.Close()
		return nil, fmt.Errorf("create tables in %q: %w", path, err)
	}
	return &store{db: db, path: path, table: quoteName(table), shape: int64(crc32.ChecksumIEEE([]byte(all)))}, nil
}

// number returns the number with this key in the engine's own table.
func (s *store) number(ctx context.Context, q interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}, key string) (n int64, known bool, err error) {
	err = q.QueryRowContext(ctx, `SELECT "value" FROM `+s.table+` WHERE "key" = ?`, key).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return n, err == nil, err
}

// ReadFact returns one of the Facts of the database in the file at path, which need not be open.
// The table is Domain.Table. Known is false if there is no such file or no such fact.
func ReadFact(ctx context.Context, path, table, key string) (value int64, known bool, err error) {
	if _, err := os.Stat(path); path == "" || errors.Is(err, os.ErrNotExist) {
		return 0, false, nil
	}
	s, err := openStore(ctx, path, table, nil)
	if err != nil {
		return 0, false, err
	}
	defer s.db.Close()
	return s.number(ctx, s.db, key)
}

var columnTypes = map[Kind]string{Integer: "INTEGER", Bool: "INTEGER", Float: "REAL"}

func tableSQL(r *Resource) []string {
	columns := []string{`"seq" INTEGER PRIMARY KEY`}
	for _, a := range r.Attributes {
		if !a.isStored() {
			continue
		}
		t := columnTypes[a.Kind]
		if t == "" {
			t = "TEXT"
		}
		columns = append(columns, quoteName(a.Name)+" "+t)
	}
	out := []string{
		fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (%s)", quoteName(r.Name), strings.Join(columns, ", ")),
		fmt.Sprintf("CREATE UNIQUE INDEX IF NOT EXISTS %s ON %s (\"id\")", quoteName(r.Name+"_id"), quoteName(r.Name)),
	}
	for _, name := range r.Unique {
		out = append(out, fmt.Sprintf("CREATE UNIQUE INDEX IF NOT EXISTS %s ON %s (%s)", quoteName(r.Name+"_"+name), quoteName(r.Name), quoteName(name)))
	}
	for _, names := range r.Indexes {
		columns := make([]string, len(names))
		for i, n := range names {
			columns[i] = quoteName(n)
		}
		out = append(out, fmt.Sprintf("CREATE INDEX IF NOT EXISTS %s ON %s (%s)",
			quoteName(r.Name+"_"+strings.Join(names, "_")), quoteName(r.Name), strings.Join(columns, ", ")))
	}
	return out
}

// quoteName quotes a name from the domain. It does not escape, and must not get a client's text.
func quoteName(s string) string { return `"` + s + `"` }

// encodeColumn returns a stored value as a parameter of a statement.
func encodeColumn(v any) any {
	switch v := v.(type) {
	case Document:
		return string(v)
	case bool:
		if v {
			return int64(1)
		}
		return int64(0)
	}
	return v
}

// decodeColumn returns a column's value as a stored value.
func (a *Attribute) decodeColumn(v any) any {
	switch v := v.(type) {
	case nil:
		return nil
	case int64:
		if a.Kind == Bool {
			return v != 0
		}
		if a.Kind == Float {
			return float64(v)
		}
		return v
	case []byte:
		return a.decodeColumn(string(v))
	case string:
		if a.Kind == Map || a.Kind.isArray() {
			return Document(v)
		}
	}
	return v
}

// expr returns the attribute as an SQL expression over the table's alias.
func (a *Attribute) expr(alias string) string {
	if a.Expr != "" {
		return "(" + strings.ReplaceAll(a.Expr, "%s", alias) + ")"
	}
	return alias + "." + quoteName(a.Name)
}

// sortable returns the attribute as an SQL expression that SQLite sorts as PostgreSQL sorts the
// attribute.
func (a *Attribute) sortable(alias string) string {
	e := a.expr(alias)
	switch {
	case a.Kind == Decimal:
		return "CAST(" + e + " AS REAL)"
	case a.Kind == Map:
		return "ash_map_key(" + e + ")"
	case a.Kind.isArray():
		return "ash_array_key(" + e + ")"
	}
	return e
}

// These functions are missing in SQLite. They are registered for the whole process.
func init() {
	sqlite.MustRegisterDeterministicScalarFunction("ash_array_key", 1, arrayKey)
	sqlite.MustRegisterDeterministicScalarFunction("ash_map_key", 1, mapKey)
	sqlite.MustRegisterDeterministicScalarFunction("ash_like", 3, like)
}

func columnText(v driver.Value) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case []byte:
		return string(v), true
	}
	return "", false
}

// arrayKey returns a key that sorts arrays element by element, shorter ones first. It is
// hexadecimal, because cursors contain it.
func arrayKey(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
	s, ok := columnText(args[0])
	if !ok {
		return nil, nil
	}
	var items []string
	if err := json.Unmarshal([]byte(s), &items); err != nil {
		return nil, err
	}
	key := []byte{}
	for _, x := range items {
		key = append(append(key, x...), 0)
	}
	return hex.EncodeToString(key), nil
}

// mapKey returns a key that sorts objects as jsonb does: those with fewer keys first.
func mapKey(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
	s, ok := columnText(args[0])
	if !ok {
		return nil, nil
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(s), &m); err != nil {
		return nil, err
	}
	return fmt.Sprintf("%06d%s", len(m), s), nil
}

// like is PostgreSQL's LIKE. Its arguments are the text, the pattern, and whether to ignore case.
// SQLite's own LIKE always ignores the case of ASCII letters.
func like(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
	s, ok1 := columnText(args[0])
	p, ok2 := columnText(args[1])
	if !ok1 || !ok2 {
		return nil, nil
	}
	if args[2] != int64(0) {
		s, p = strings.ToLower(s), strings.ToLower(p)
	}
	if matchLike([]rune(s), []rune(p)) {
		return int64(1), nil
	}
	return int64(0), nil
}

// matchLike reports whether s matches the pattern p. It backtracks to the last % only, so that it
// takes at most len(s) × len(p) steps.
func matchLike(s, p []rune) bool {
	i, j, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case j < len(p) && p[j] == '%':
			star, mark = j, i
			j++
		case j < len(p) && p[j] == '\\' && j+1 < len(p) && p[j+1] == s[i]:
			i, j = i+1, j+2
		case j < len(p) && (p[j] == '_' || p[j] == s[i] && p[j] != '\\'):
			i, j = i+1, j+1
		case star >= 0:
			mark++
			i, j = mark, star+1
		default:
			return false
		}
	}
	for j < len(p) && p[j] == '%' {
		j++
	}
	return j == len(p)
}
