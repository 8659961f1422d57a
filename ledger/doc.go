// Package ledger remembers.
package ledger
