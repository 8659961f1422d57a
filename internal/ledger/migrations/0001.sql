-- Times are microseconds since 1970, UTC. Ids are hex: 128 random bits, or the number of
-- a record in 48 bits and 80 random ones.

CREATE TABLE meta (
	name  TEXT PRIMARY KEY,
	value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The audit chain. body is the record as it was hashed, one line of JSON.
CREATE TABLE records (
	seq  INTEGER PRIMARY KEY,
	body TEXT NOT NULL
) STRICT;

-- A subject has one row, or several where it had another name before (see Settlement.Becomes). tag finds it (a keyed hash of the subject), wrapped is its
-- key under the master key, name is the subject under its own key. Erasing
-- empties all three.
CREATE TABLE keys (
	id      TEXT PRIMARY KEY,
	tag     BLOB,
	wrapped BLOB,
	name    BLOB,
	erased  INTEGER
) STRICT;
CREATE INDEX keys_tag ON keys (tag);

-- print is a keyed hash of upstream and the payload's hash; seq is the record that holds the sealed payload and card, last_seq the
-- last one that tells of the grant.
CREATE TABLE grants (
	id         TEXT PRIMARY KEY,
	principal  TEXT NOT NULL,
	credential TEXT NOT NULL,
	upstream   TEXT NOT NULL,
	action     TEXT NOT NULL,
	print      TEXT NOT NULL,
	policy     TEXT NOT NULL,
	reach      TEXT NOT NULL,
	needs      TEXT NOT NULL,
	repeats    TEXT NOT NULL,
	state      TEXT NOT NULL,
	answerer   TEXT NOT NULL,
	asked      INTEGER NOT NULL,
	answered   INTEGER NOT NULL,
	expires    INTEGER NOT NULL,
	seq        INTEGER NOT NULL,
	last_seq   INTEGER NOT NULL
) STRICT;
CREATE INDEX grants_seq ON grants (seq);
CREATE INDEX grants_same ON grants (print);
CREATE INDEX grants_open ON grants (expires) WHERE state IN ('pending', 'granted');

-- seq is the record of the intent, settled_seq that of its end; keys are the ids of the keys that both are sealed
-- under, in the order of the subjects.
-- The id begins with seq, 12 hex digits, and so needs no index of its own. same is the first half of print as a number,
-- NULL where the intent stands in no payload's way any more: processes keep what is not NULL in memory, and find what others
-- added by the index, which like all else that a commit writes grows at its end.
CREATE TABLE intents (
	seq         INTEGER PRIMARY KEY,
	id          TEXT NOT NULL,
	request     TEXT NOT NULL,
	principal   TEXT NOT NULL,
	credential  TEXT NOT NULL,
	upstream    TEXT NOT NULL,
	action      TEXT NOT NULL,
	class       TEXT NOT NULL,
	print       TEXT NOT NULL,
	same        INTEGER,
	grant_id    TEXT NOT NULL,
	owner       TEXT NOT NULL,
	keys        TEXT NOT NULL,
	prepared    INTEGER NOT NULL,
	state       TEXT NOT NULL,
	sent        INTEGER NOT NULL DEFAULT 0,
	outcome     TEXT NOT NULL DEFAULT '',
	status      INTEGER NOT NULL DEFAULT 0,
	latency     INTEGER NOT NULL DEFAULT 0,
	settled     INTEGER NOT NULL DEFAULT 0,
	settled_seq INTEGER NOT NULL DEFAULT 0,
	debited     INTEGER NOT NULL DEFAULT 0,
	resolver    TEXT NOT NULL DEFAULT '',
	note        TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX intents_way ON intents (seq, same) WHERE same IS NOT NULL;
CREATE INDEX intents_open ON intents (prepared) WHERE state IN ('prepared', 'sent');
CREATE INDEX intents_unknown ON intents (seq) WHERE state = 'unknown';

-- A budget that was taken from: full is when it is full again, in nanoseconds since 1970, seq the last record that tells of it.
CREATE TABLE budgets (
	budget TEXT NOT NULL,
	key    TEXT NOT NULL,
	full   INTEGER NOT NULL,
	seq    INTEGER NOT NULL,
	PRIMARY KEY (budget, key)
) STRICT, WITHOUT ROWID;

-- What may still be given back, of the intent whose record is seq: cost and interval are in nanoseconds, and rest is when the budget
-- would be full had only the later debits been taken.
CREATE TABLE debits (
	id       INTEGER PRIMARY KEY,
	seq      INTEGER NOT NULL,
	budget   TEXT NOT NULL,
	key      TEXT NOT NULL,
	cost     INTEGER NOT NULL,
	interval INTEGER NOT NULL,
	burst    INTEGER NOT NULL,
	rest     INTEGER NOT NULL
) STRICT;
CREATE INDEX debits_seq ON debits (seq);
CREATE INDEX debits_budget ON debits (budget, key);

CREATE TABLE freezes (
	id      INTEGER PRIMARY KEY,
	at      INTEGER NOT NULL,
	who     TEXT NOT NULL,
	note    TEXT NOT NULL,
	resumed INTEGER,
	resumer TEXT,
	seq     INTEGER NOT NULL
) STRICT;

-- hash is the SHA-256 of the secret, which is kept nowhere; print a code of the row that only the master key can make. roles
-- are parted by blanks. expires is 0 where it never does, revoked and revoked_seq where it was not. seq is the record
-- that issued it, revoked_seq the one that revoked it.
CREATE TABLE tokens (
	id          TEXT PRIMARY KEY,
	person      TEXT NOT NULL,
	roles       TEXT NOT NULL,
	interactive INTEGER NOT NULL,
	policy      TEXT NOT NULL,
	key_file    TEXT NOT NULL,
	hash        BLOB NOT NULL,
	print       TEXT NOT NULL,
	creator     TEXT NOT NULL,
	created     INTEGER NOT NULL,
	expires     INTEGER NOT NULL,
	revoked     INTEGER NOT NULL,
	seq         INTEGER NOT NULL,
	revoked_seq INTEGER NOT NULL
) STRICT;
