-- The tables of a ledger in SQLite. Times are microseconds since 1970, UTC. Ids are hex: 128 random
-- bits, or the number of a record in 48 bits and 80 random bits. An actor is JSON,
-- {"name":…,"via":…}; {} is nobody.

CREATE TABLE meta (
	name  TEXT PRIMARY KEY,
	value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The audit log. body is the record as it was hashed, one line of JSON.
CREATE TABLE records (
	seq  INTEGER PRIMARY KEY,
	body TEXT NOT NULL
) STRICT;

-- The keys of subjects. A subject has several rows if it had another name before
-- (Settlement.CreatedSubject). tag finds the row (a keyed hash of the subject), wrapped is the key
-- under the master key, name is the subject under its own key. Erasing a subject empties all three.
CREATE TABLE keys (
	id      TEXT PRIMARY KEY,
	tag     BLOB,
	wrapped BLOB,
	name    BLOB,
	erased  INTEGER
) STRICT;
CREATE INDEX keys_tag ON keys (tag);

-- Approval requests and their answers. fingerprint is a keyed hash of the organisation and the
-- payload's hash: the approval is bound to it. effect is a keyed hash of the organisation and the
-- effect key: the same call has the same one. seq is the record with the sealed payload and card, answered_seq the record of
-- the last answer, last_seq the last record about the request. person is the requester's name,
-- process the process that runs the call (see intents): the one that asked, or the one that took
-- over. shown is from when approvers see it. departed is when the requester's program stopped
-- waiting without having received anything; 0 if it did not. intent is the run that used the
-- approval. outcome says why an approval led to no run.
-- refills is a JSON list of what the approval adds to budgets, or empty.
-- quick is 1 for an answer sooner than the card can be read. reported is 1 once the requester has
-- received the outcome.
CREATE TABLE approvals (
	id           TEXT PRIMARY KEY,
	requester    TEXT NOT NULL,
	credential   TEXT NOT NULL,
	organisation TEXT NOT NULL,
	action       TEXT NOT NULL,
	fingerprint  TEXT NOT NULL,
	effect       TEXT NOT NULL,
	policy       TEXT NOT NULL,
	recipients   TEXT NOT NULL,
	needs        TEXT NOT NULL,
	repeats      TEXT NOT NULL,
	refills      TEXT NOT NULL DEFAULT '',
	state        TEXT NOT NULL,
	answered_by  TEXT NOT NULL,
	requested    INTEGER NOT NULL,
	answered     INTEGER NOT NULL,
	expires      INTEGER NOT NULL,
	seq          INTEGER NOT NULL,
	last_seq     INTEGER NOT NULL,
	person       TEXT NOT NULL,
	process      TEXT NOT NULL,
	intent       TEXT NOT NULL DEFAULT '',
	outcome      TEXT NOT NULL DEFAULT '',
	shown        INTEGER NOT NULL,
	departed     INTEGER NOT NULL DEFAULT 0,
	quick        INTEGER NOT NULL DEFAULT 0,
	reported     INTEGER NOT NULL DEFAULT 0,
	answered_seq INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX approvals_seq ON approvals (seq);
CREATE INDEX approvals_effect ON approvals (effect);
CREATE INDEX approvals_open ON approvals (expires) WHERE state IN ('pending', 'approved');
CREATE INDEX approvals_decided ON approvals (answered) WHERE state IN ('approved', 'declined', 'used');
CREATE INDEX approvals_last ON approvals (last_seq);

-- Pauses that a person ended: since the record seq, the requester may ask for the action again.
CREATE TABLE lifts (
	requester TEXT NOT NULL,
	action    TEXT NOT NULL,
	seq       INTEGER NOT NULL,
	PRIMARY KEY (requester, action)
) STRICT, WITHOUT ROWID;

-- Intents. seq is the record of the intent, settled_seq the record of its outcome. keys are the ids
-- of the keys that seal both, in the order of the subjects. process is the process that made the
-- intent. The id begins with seq, 12 hex digits, so it needs no index of its own. fingerprint and
-- effect are as in approvals. conflict_key is the first half of effect as a number; NULL once the
-- intent no longer conflicts with the same call. effect_kind is what it does to people, affects
-- keyed hashes of them, separated by spaces; both are empty if it does nothing to anybody. Processes keep those that are not NULL in memory and find later ones by the index. Like
-- everything that a commit writes, the index grows at its end only.
CREATE TABLE intents (
	seq          INTEGER PRIMARY KEY,
	id           TEXT NOT NULL,
	request      TEXT NOT NULL,
	caller       TEXT NOT NULL,
	credential   TEXT NOT NULL,
	organisation TEXT NOT NULL,
	action       TEXT NOT NULL,
	class        TEXT NOT NULL,
	fingerprint  TEXT NOT NULL,
	effect       TEXT NOT NULL,
	conflict_key INTEGER,
	effect_kind  TEXT NOT NULL,
	affects      TEXT NOT NULL,
	approval_id  TEXT NOT NULL,
	process      TEXT NOT NULL,
	keys         TEXT NOT NULL,
	prepared     INTEGER NOT NULL,
	state        TEXT NOT NULL,
	sent         INTEGER NOT NULL DEFAULT 0,
	outcome      TEXT NOT NULL DEFAULT '',
	status       INTEGER NOT NULL DEFAULT 0,
	latency      INTEGER NOT NULL DEFAULT 0,
	settled      INTEGER NOT NULL DEFAULT 0,
	settled_seq  INTEGER NOT NULL DEFAULT 0,
	debited      INTEGER NOT NULL DEFAULT 0,
	resolved_by  TEXT NOT NULL DEFAULT '{}',
	note         TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX intents_conflict ON intents (seq, conflict_key) WHERE conflict_key IS NOT NULL;
CREATE INDEX intents_open ON intents (prepared) WHERE state IN ('prepared', 'sent');
CREATE INDEX intents_unknown ON intents (seq) WHERE state = 'unknown';

-- Budgets with debits. full is when the budget is full again, in nanoseconds since 1970; refilled is
-- what is left of the units that an approval added, until the budget is full; seq is the last record
-- about it.
CREATE TABLE budgets (
	budget   TEXT NOT NULL,
	key      TEXT NOT NULL,
	full     INTEGER NOT NULL,
	refilled INTEGER NOT NULL,
	seq      INTEGER NOT NULL,
	PRIMARY KEY (budget, key)
) STRICT, WITHOUT ROWID;

-- Debits that may still be returned, of the intent with the record seq. cost and interval are in
-- nanoseconds; rest is when the budget would be full with the later debits alone.
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

-- Emergency stops. Those without resumed are in force, at most one of each scope. scope is
-- everything, ringing, or assistant: the calls in the name of person.
CREATE TABLE stops (
	id         INTEGER PRIMARY KEY,
	scope      TEXT NOT NULL,
	person     TEXT NOT NULL,
	at         INTEGER NOT NULL,
	stopped_by TEXT NOT NULL,
	note       TEXT NOT NULL,
	resumed    INTEGER,
	resumed_by TEXT,
	seq        INTEGER NOT NULL
) STRICT;

-- The API keys of Sippet, each attached to an organisation. name is the host and a fingerprint of
-- the key, organisation the host and random bits, seq the record that attached it. fingerprint is a
-- code of the row that only the master key can make.
CREATE TABLE api_keys (
	name         TEXT PRIMARY KEY,
	organisation TEXT NOT NULL,
	attached_by  TEXT NOT NULL,
	fingerprint  TEXT NOT NULL,
	attached     INTEGER NOT NULL,
	seq          INTEGER NOT NULL
) STRICT;

-- Access tokens. hash is the SHA-256 of the secret, which is stored nowhere. fingerprint is a code
-- of the row that only the master key can make. roles are separated by spaces. expires is 0 for
-- never; revoked and revoked_seq are 0 for a token that was not revoked. seq is the record that
-- issued it.
CREATE TABLE tokens (
	id          TEXT PRIMARY KEY,
	person      TEXT NOT NULL,
	roles       TEXT NOT NULL,
	interactive INTEGER NOT NULL,
	policy      TEXT NOT NULL,
	key_file    TEXT NOT NULL,
	hash        BLOB NOT NULL,
	fingerprint TEXT NOT NULL,
	created_by  TEXT NOT NULL,
	created     INTEGER NOT NULL,
	expires     INTEGER NOT NULL,
	revoked     INTEGER NOT NULL,
	seq         INTEGER NOT NULL,
	revoked_seq INTEGER NOT NULL
) STRICT;

-- Inbox sessions and single-use login codes. hash is the SHA-256 of a secret that is stored
-- nowhere; fingerprint as in tokens. kind is session, code (a link with a button) or open (a link
-- that opens a browser). credential is the token that was shown, or empty; local is 1 for the
-- person at this machine.
CREATE TABLE logins (
	hash        BLOB PRIMARY KEY,
	kind        TEXT    NOT NULL,
	person      TEXT    NOT NULL,
	credential  TEXT    NOT NULL,
	local       INTEGER NOT NULL,
	created     INTEGER NOT NULL,
	expires     INTEGER NOT NULL,
	fingerprint TEXT    NOT NULL
) STRICT;
CREATE INDEX logins_expires ON logins (expires);

-- Credentials that an action issued and that a person may take once. data is sealed under a key
-- that is wrapped beside it; taking it deletes the row.
CREATE TABLE handovers (
	approval_id TEXT PRIMARY KEY,
	wrapped     BLOB    NOT NULL,
	data        BLOB    NOT NULL,
	expires     INTEGER NOT NULL
) STRICT;
