//go:build race

package sandbox

import "flag"

// With the race detector, SQLite is many times slower, because it is Go code. The random tests are
// not about races, so a few cases are enough. A flag on the command line has precedence.
func init() {
	if f := flag.Lookup("rapid.checks"); f != nil {
		f.Value.Set("8")
	}
}
