-- A care relationship may have begun or ended: between whom, and behind which number of the member's timeline. Gateways read on by
-- `number`. staff_id null: of anybody of that member's staff. seq null: no number of one timeline says when (member_id '*').
CREATE TABLE right_change (
    number    INTEGER PRIMARY KEY AUTOINCREMENT,
    member_id TEXT NOT NULL,
    staff_id  TEXT,
    seq       INTEGER,
    at        INTEGER NOT NULL
) STRICT;
CREATE INDEX right_change_by_member ON right_change (member_id, number);
CREATE INDEX right_change_by_age ON right_change (at);

-- What an operator took back. kind 'token': `key` is a jti; 'subject': `key` is a sub, whose tokens issued before `issued_before`
-- are meant; 'member': the connections of the member `key` that are open. After `forget_after` no token can be meant any more; null:
-- nobody knows when that is.
CREATE TABLE revocation (
    number        INTEGER PRIMARY KEY AUTOINCREMENT,
    kind          TEXT NOT NULL,
    key           TEXT NOT NULL,
    issued_before INTEGER,
    forget_after  INTEGER,
    at            INTEGER NOT NULL
) STRICT;
CREATE INDEX revocation_by_key ON revocation (kind, key);
CREATE INDEX revocation_by_end ON revocation (forget_after) WHERE forget_after IS NOT NULL;

-- Who broke the glass for whom: that member's REST reads are open to that clinician until then.
CREATE TABLE break_glass (
    staff_id  TEXT NOT NULL,
    member_id TEXT NOT NULL,
    until     INTEGER NOT NULL,
    PRIMARY KEY (staff_id, member_id)
) STRICT, WITHOUT ROWID;
