//go:build !race

package inbox_test

// racing says that the race detector is on.
const racing = false
