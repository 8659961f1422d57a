// Package ledger remembers: what was about to be done before it is done, how
// it ended before anybody is told, who agreed to it, and that a person stopped
// everything. It decides nothing; package policy does, with what is kept here.
//
//	l, err := ledger.Open(ctx, ledger.Options{Dir: stateFolder})
//	intent, err := l.Commit(ctx, ledger.Txn{Call: call, Grant: id})   // durable, or refused
//	res, err := upstream.Run(ctx, request)                            // only now
//	err = l.Settle(ctx, ledger.Settlement{Intent: intent.ID, …})      // durable, then answer
//
// # Intents
//
// No action without a durable intent. Commit is the one way to get one: in a
// single transaction it spends the person's yes, writes the intent and its
// audit record, or refuses and changes nothing:
//
//	*StoppedError   a person stopped the program
//	*ConflictError    the same caller's same payload is in flight, may have run, or
//	               (where the action is not repeatable) ran within ten minutes
//	ErrGrant…      the yes does not fit
//	*LimitError    a budget does not hold what it would take
//	*Trouble       the store cannot be used; nothing may be sent
//
// An intent goes prepared → sent → succeeded, failed, not_sent or unknown. Sent
// may be skipped. What nobody settles, because its process died or it is older
// than any request lasts, the sweeper makes unknown; it runs in Open and every
// 15 seconds. A settlement that comes after it still counts. An unknown intent
// stays in the way of its payload until a person resolves it, or agrees to
// repeat it: the grant's Repeats names the intent that the card told of, and
// Commit lets exactly that one be repeated, once.
//
// # Grants
//
// A grant is a question to a person and the answer, bound to caller,
// credential, organisation, action, payload and policy: Ask, Answer, Check. Of
// one binding only the last question counts. It is spent nowhere but in Commit,
// and given back when nothing was sent. A read that a person had to confirm
// spends its yes the same way. Whom the call reaches is bound too: where that
// alone has changed the yes is refused with ErrRecipientsChanged.
//
// Some questions wait in the inbox (question.go, answer.go). A grant that was
// read from here answers itself, so whoever answers there needs no more than
// its id; [SQLite.Version] and [SQLite.Changed] tell all processes that there is news.
//
// # People
//
// Tokens let programs in (token.go), logins people (login.go): codes that are
// good once, and sessions. Of all secrets only hashes are kept. What an action
// issues to a person waits outside of the chain, under a key of its own, until
// it is taken or its time is over (handover.go).
//
// # Budgets
//
// A [Debit] takes from a budget in Commit, all or nothing, and is given back
// where nothing was sent (budget.go). [SQLite.Left] only looks.
//
// # Freeze
//
// Freeze stops everything but reads and [HangUp], on all processes, and voids
// every open grant. Commit looks in its own transaction and is never late;
// [SQLite.Frozen], for the rest, is at most FreshFor old.
//
// # The chain
//
// Everything leaves a [Record]: one line of JSON with the SHA-256 of the line
// before. What is said of persons is sealed with AES-256-GCM under a key for
// each subject, and those keys under the master key; the chain covers the
// ciphertext. A record that concerns several subjects needs all their keys, so
// erasing one of them makes it unreadable. Reads do not wait for their record:
// Note queues it, and what does not fit is counted in a record of its own.
//
// A subject that is about to be created has a [Provisional] name, and its key
// goes over to the subject that it becomes: a subject may have several keys,
// and Erase destroys them all. Who is in an answer is found later, by the
// event's Find, on the goroutine that writes it down.
//
// With a retention the oldest records are removed, and the chain begins at an
// anchor (prune.go, anchor.go). What is not over is never removed.
//
// [SQLite.Verify] reads all of it and holds the tables against it. Its last
// record is sealed with a code of the master key, which every transaction looks
// at before it writes after it, and checkpoints are signed
// every thousand records or every minute. Who holds the folder with its keys
// can still write another chain, or put an old copy of the folder back: only a
// checkpoint that was kept elsewhere shows that.
//
// Secrets have no place in the chain: what an action issues is held beside it,
// sealed, until whoever approved it takes it (handover.go), and no field of a
// [Call] may hold one.
//
// # The folder
//
//	ledger.db        SQLite: WAL, synchronous=FULL; any number of processes
//	master.key       opens what is sealed; without it nothing can be read or written. Or it is in the keychain
//	checkpoint.key   signs checkpoints
//	checkpoint.pub   verifies them; keep a copy elsewhere
//	checkpoints      signed notes, one after the other; keep a copy elsewhere
//	inbox            the address of this ledger's inbox on this machine; written by cmd/sippet-mcp
//
// In a process that has the ledger open, nothing else may open and close
// ledger.db: on POSIX that gives away the locks of the whole process.
//
// # Writing
//
// One goroutine of a process writes (writer.go). Changes that wait together
// share a transaction and its fsync, each behind its own savepoint, so a
// refused one takes nothing else with it. What may stand in the way of a
// payload is known in memory (way.go), so that the file grows at its ends only.
//
// With Options.ReadOnly nothing is written at all (readonly.go).
//
// # Trouble
//
// A [Trouble] is one sentence for a person and a [Kind]. A full disk, a lock
// that another process holds and a file system that is read-only for a while
// pass by themselves: the next call tries again, and the ledger itself does so
// every second; [SQLite.Trouble] tells how that went. For the others a person must do
// something, and the sentence says what.
package ledger
