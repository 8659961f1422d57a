//go:build race

package inbox_test

// racing is true if the race detector is on, which makes everything about ten times slower.
const racing = true
