// Package ledger stores what the program must remember: approvals, intents, budgets, the emergency
// stop, access tokens and the audit log. It decides nothing; package policy does.
//
// To run an action that changes something, commit it first and settle it afterwards:
//
//	l, err := ledger.Open(ctx, ledger.Options{Dir: stateDir})
//	intent, err := l.Commit(ctx, ledger.Txn{Call: call, ApprovalID: id}) // durable, or rejected
//	res, err := upstream.Run(ctx, request)                               // only now
//	err = l.Settle(ctx, ledger.Settlement{Intent: intent.ID, …})         // durable; then answer
//
// # Intents
//
// No action runs without a durable intent, and only Commit creates one. In one transaction it uses
// the approval, debits the budgets and writes the intent with its audit record. It may also reject
// the call, which changes nothing:
//
//	*StoppedError    an emergency stop is in force
//	*ConflictError   the same call is in flight, may have run, or ran within ten minutes
//	ErrApproval…     the approval does not allow this call
//	*LimitError      a budget holds too little
//	*StoreError      the store cannot be used, so nothing may be sent
//
// An intent is prepared, then sent, then succeeded, failed, not_sent or unknown; sent may be
// skipped. An intent is abandoned if its process ended, or if it is older than any request may
// last. The sweep makes abandoned intents unknown, in Open and every 15 seconds. A late Settle
// still counts.
//
// An unknown intent conflicts with the same call until a person resolves it, or approves a
// repetition. [ApprovalRequest].Repeats names the intent that the card showed, and Commit accepts
// the repetition of that intent once.
//
// # Approvals
//
// An approval request is bound to requester, credential, organisation, action and payload.
// CreateApproval revokes an open request for the same call. Only Commit uses an approval; a
// settlement as not_sent returns it. The recipients are bound too: if they alone have changed, the
// error is ErrRecipientsChanged.
//
// An answer in the inbox needs the request's id only: an ApprovalRequest that was read from the
// ledger matches itself. [SQLite.ApprovalsVersion] and [SQLite.ApprovalsChanged] show every process
// that requests changed.
//
// # Tokens, logins and handovers
//
// Tokens (token.go) authenticate programs. Logins (login.go) authenticate persons: single-use codes
// and sessions. Of all secrets only hashes are stored. A credential that an action issued is a
// handover (approval_handover.go). It is stored outside of the audit log, under a key of its own,
// until a person takes it or it expires.
//
// # Budgets
//
// Commit applies all [Debit] values of a call or none. A settlement as not_sent returns them
// (budget.go).
//
// The bytes that a caller's calls take of the ledger are a budget as well (share.go). When it is used
// up, Commit and CreateApproval return a *LimitError, and events are only counted (audit_count.go).
//
// # Emergency stop
//
// A stop has a [StopScope]: everything, ringing, or the assistants of one person. Within it Stop
// rejects everything but reads, [HangUp] and what is safe ([Txn.Safe]), in all processes, and
// revokes the open approvals. Several stops can be in force. Commit reads them in its own
// transaction, so it never misses one. [SQLite.CurrentStops] is at most [FreshFor] old.
//
// # The audit log
//
// Each change appends a [Record]: one line of JSON with the SHA-256 of the line before. Personal
// data is sealed with AES-256-GCM under a key for each subject. These keys are sealed under the
// master key, and the hash chain covers the ciphertext. A record about several subjects needs all
// their keys, so erasing one subject makes it unreadable. Only a call to several recipients is
// sealed in parts, so that what belongs to one stays readable when another is erased. Reads do not
// wait for their record: RecordEvent queues it, and events that do not fit are counted in a record.
//
// A subject that an action is about to create has a [Provisional] name. Its key moves to the
// created subject, so a subject may have several keys; Erase destroys them all. The subjects of an
// answer are found later, by Event.FindSubjects, on the goroutine that writes the record.
//
// With a retention the oldest records are removed, and the log begins at an anchor
// (audit_prune.go). Records of unfinished calls, and all later records, are kept.
//
// [SQLite.Verify] reads the whole log and compares the tables with it. A code that only the master
// key can make marks the last record; every transaction checks it before it writes. Checkpoints are
// signed every thousand records or every minute. Somebody who has the state directory with its keys
// can write another log, or restore an old copy. Only a checkpoint that was kept elsewhere shows
// that.
//
// The log holds no secrets, and no field of a [Call] may hold one.
//
// # The state directory
//
//	ledger.db        SQLite: WAL, synchronous=FULL; for any number of processes
//	master.key       opens what is sealed; required to open the ledger; may be in the keychain
//	checkpoint.key   signs checkpoints
//	checkpoint.pub   verifies them; keep a copy elsewhere
//	checkpoints      signed notes, one after the other; keep a copy elsewhere
//	reserve          keeps room for an emergency stop on a full disk (store_reserve.go)
//	inbox            the address of this ledger's inbox on this machine; written by cmd/sippet-mcp
//
// While a process has the ledger open, nothing else in it may open and close ledger.db: on POSIX
// that releases all locks of the process.
//
// # Writing
//
// One goroutine of a process writes (store_writer.go). Queued changes share a transaction and its
// fsync. Each has its own savepoint, so that a rejected one undoes itself only. An index in memory
// finds conflicting intents (intent_conflict.go), so that the file grows at its ends only. With
// Options.ReadOnly nothing is written (store_readonly.go).
//
// # Store errors
//
// A [StoreError] is one sentence for a person and a [StoreErrorKind]. A full disk, a locked file
// and a temporary read-only file system pass: the next call tries again, and so does the ledger,
// every second. On a full disk an emergency stop can still be made, and calls in flight settle; other
// changes wait until there is room again (store_reserve.go). [SQLite.StoreError] returns the result of the last attempt. For the other kinds a
// person must act, and the sentence says how.
package ledger
