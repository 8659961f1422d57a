//go:build !race

package inbox_test

// racing is true if the race detector is on.
const racing = false
