// Package lint holds the rules about the source itself, as tests and small programs that `make
// lint` runs.
//
// The test in this folder is the architecture test: it reads the import graph and fails on an
// import that the table in imports_test.go does not allow. A new package needs a line in that
// table.
//
// Below it, words looks for retired terms, and golangci pins golangci-lint in a module of its own.
package lint
