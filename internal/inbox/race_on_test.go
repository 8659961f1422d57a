//go:build race

package inbox_test

// racing says that the race detector is on, which makes all some ten times slower.
const racing = true
