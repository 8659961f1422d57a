-- Questions that wait in the inbox. person is who asks, inbox whether it is answered there, asker the process that asked (as
-- intents.owner), intent the id of the run that spent the yes, answered_seq the record of the last answer, outcome the word for what
-- kept a yes from running, quick whether it was given sooner than the card can be read, told whether the caller has heard what came of it.
ALTER TABLE grants ADD COLUMN person       TEXT    NOT NULL DEFAULT '';
ALTER TABLE grants ADD COLUMN inbox        INTEGER NOT NULL DEFAULT 0;
ALTER TABLE grants ADD COLUMN asker        TEXT    NOT NULL DEFAULT '';
ALTER TABLE grants ADD COLUMN intent       TEXT    NOT NULL DEFAULT '';
ALTER TABLE grants ADD COLUMN answered_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE grants ADD COLUMN outcome      TEXT    NOT NULL DEFAULT '';
ALTER TABLE grants ADD COLUMN quick        INTEGER NOT NULL DEFAULT 0;
ALTER TABLE grants ADD COLUMN told         INTEGER NOT NULL DEFAULT 0;
CREATE INDEX grants_inbox ON grants (last_seq) WHERE inbox = 1;

-- Who is logged in to the inbox, and codes that log somebody in once. hash is the SHA-256 of a secret that is kept nowhere, print a
-- code of the row that only the master key can make. kind is session, code (a link with a button) or open (a link that a browser is
-- opened with). credential is the token that was shown, empty where none was; local is 1 for the person at this machine.
CREATE TABLE logins (
	hash       BLOB PRIMARY KEY,
	kind       TEXT    NOT NULL,
	person     TEXT    NOT NULL,
	credential TEXT    NOT NULL,
	local      INTEGER NOT NULL,
	created    INTEGER NOT NULL,
	expires    INTEGER NOT NULL,
	print      TEXT    NOT NULL
) STRICT;
CREATE INDEX logins_expires ON logins (expires);

-- What an action issued and a person may take once. data is sealed under a key that is wrapped beside it; the row goes with both.
CREATE TABLE handovers (
	grant_id TEXT PRIMARY KEY,
	wrapped  BLOB    NOT NULL,
	data     BLOB    NOT NULL,
	expires  INTEGER NOT NULL
) STRICT;
