package main

import (
	"bytes"
	"testing"
)

func TestTable(t *testing.T) {
	for name, c := range map[string]struct {
		screen  int
		columns []column
		want    string
	}{
		"in a line":      {0, columns("id", "what"), "id    what\n1     a call\n1000  another\n2     a third\n"},
		"as wide as it":  {16, columns("id", "what"), "id    what\n1     a call\n1000  another\n2     a third\n"},
		"in blocks":      {12, columns("id", "what"), "id: 1\nwhat: a call\n\nid: 1000\nwhat: another\n\nid: 2\nwhat: a third\n"},
		"column dropped": {12, []column{{name: "id", drop: 1}, {name: "what"}}, "what\na call\nanother\na third\n"},
		"cells cut":      {0, []column{{name: "id", most: 3}, {name: "what"}}, "id   what\n1    a call\n10…  another\n2    a third\n"},
		"colour":         {0, []column{{name: "id", colour: func(string) string { return red }}, {name: "what"}}, "id    what\n(31)1   (0)  a call\n(31)1000(0)  another\n(31)2   (0)  a third\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			list := newTable(&program{out: &b}, c.columns...)
			list.screen = c.screen
			if name == "colour" {
				list.paint = func(code, s string) string {
					if code == bold {
						return s
					}
					return "(" + code + ")" + s + "(0)"
				}
			}
			list.flush()
			list.row("1", "a call")
			list.row("1000", "another")
			list.flush()
			list.row("2", "a third")
			list.flush()
			if b.String() != c.want {
				t.Errorf("got\n%s\nwant\n%s", b.String(), c.want)
			}
		})
	}
}
