-- A number that rises in the order of commits: whoever takes one keeps all others waiting until it has committed. For rows that are
-- few: people's rights, operators' revocations.
CREATE SEQUENCE right_change_numbers AS BIGINT;
CREATE SEQUENCE revocation_numbers AS BIGINT;

CREATE FUNCTION next_number(numbers regclass) RETURNS BIGINT LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1936026736, numbers::oid::bigint::int);
    RETURN nextval(numbers);
END $$;

-- A care relationship may have begun or ended: between whom, and behind which number of the member's timeline. Gateways read on by
-- `number`. staff_id null: of anybody of that member's staff. seq null: no number of one timeline says when (member_id '*').
CREATE TABLE right_change (
    number    BIGINT PRIMARY KEY DEFAULT next_number('right_change_numbers'),
    member_id TEXT COLLATE "C" NOT NULL,
    staff_id  TEXT COLLATE "C",
    seq       BIGINT,
    at        BIGINT NOT NULL
);
CREATE INDEX right_change_by_member ON right_change (member_id, number);
CREATE INDEX right_change_by_age ON right_change (at);

-- What an operator took back. kind 'token': `key` is a jti; 'subject': `key` is a sub, whose tokens issued before `issued_before`
-- are meant; 'member': the connections of the member `key` that are open. After `forget_after` no token can be meant any more; null:
-- nobody knows when that is.
CREATE TABLE revocation (
    number        BIGINT PRIMARY KEY DEFAULT next_number('revocation_numbers'),
    kind          TEXT COLLATE "C" NOT NULL,
    key           TEXT COLLATE "C" NOT NULL,
    issued_before BIGINT,
    forget_after  BIGINT,
    at            BIGINT NOT NULL
);
CREATE INDEX revocation_by_key ON revocation (kind, key);
CREATE INDEX revocation_by_end ON revocation (forget_after) WHERE forget_after IS NOT NULL;

-- Who broke the glass for whom: that member's REST reads are open to that clinician until then.
CREATE TABLE break_glass (
    staff_id  TEXT COLLATE "C" NOT NULL,
    member_id TEXT COLLATE "C" NOT NULL,
    until     BIGINT NOT NULL,
    PRIMARY KEY (staff_id, member_id)
);
