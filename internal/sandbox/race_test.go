//go:build race

package sandbox

import "flag"

// The race detector makes SQLite, which is compiled Go, many times
// slower: then a few random cases have to do, since what they are about is not
// races. A flag on the command line still counts.
func init() {
	if f := flag.Lookup("rapid.checks"); f != nil {
		f.Value.Set("8")
	}
}
