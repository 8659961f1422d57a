package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// text looks at a file of prose, or of prose and markup.
func (s *scan) text(raw []byte) error {
	s.prose(1, string(raw))
	return nil
}

// tables looks at a file of SQL.
func (s *scan) tables(raw []byte) error {
	s.prose(1, string(raw))
	s.created(1, string(raw))
	return nil
}

var (
	table  = regexp.MustCompile(`(?is)\bCREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(\w+)\s*\(`)
	index  = regexp.MustCompile(`(?i)\bCREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:IF\s+NOT\s+EXISTS\s+)?(\w+)`)
	alter  = regexp.MustCompile(`(?i)\bALTER\s+TABLE\s+\w+\s+(?:ADD\s+COLUMN|RENAME\s+COLUMN\s+\w+\s+TO|RENAME\s+TO)\s+(\w+)`)
	clause = regexp.MustCompile(`(?i)^(PRIMARY|UNIQUE|FOREIGN|CHECK|CONSTRAINT)$`)
	remark = regexp.MustCompile(`--[^\n]*`)
	first  = regexp.MustCompile(`^\s*(\w+)`)
)

// created looks at the names that SQL creates: tables, their columns, and indexes.
func (s *scan) created(line int, sql string) {
	sql = remark.ReplaceAllString(sql, "")
	at := func(i int) int { return line + strings.Count(sql[:i], "\n") }
	for _, re := range []*regexp.Regexp{index, alter} {
		for _, m := range re.FindAllStringSubmatchIndex(sql, -1) {
			s.name(at(m[2]), "column or index", sql[m[2]:m[3]])
		}
	}
	for _, m := range table.FindAllStringSubmatchIndex(sql, -1) {
		s.name(at(m[2]), "table", sql[m[2]:m[3]])
		depth, begin := 1, m[1]
		for i := m[1]; i < len(sql) && depth > 0; i++ {
			switch sql[i] {
			case '(':
				depth++
			case ')':
				depth--
			}
			if depth == 0 || depth == 1 && sql[i] == ',' {
				if c := first.FindStringSubmatch(sql[begin:i]); c != nil && !clause.MatchString(c[1]) {
					s.name(at(i), "column", c[1])
				}
				begin = i + 1
			}
		}
	}
}

// properties looks at the property names of a JSON schema. A schema has no lines to speak of.
func (s *scan) properties(raw []byte) error {
	s.prose(1, string(raw))
	var schema any
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&schema); err != nil {
		return err
	}
	var visit func(any)
	visit = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				visit(e)
			}
		case map[string]any:
			if names, ok := v["properties"].(map[string]any); ok {
				for _, name := range slices.Sorted(maps.Keys(names)) {
					s.name(1, "property", name)
				}
			}
			for _, key := range slices.Sorted(maps.Keys(v)) {
				visit(v[key])
			}
		}
	}
	visit(schema)
	return nil
}
