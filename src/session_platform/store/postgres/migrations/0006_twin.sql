-- What the twin derives, and how the consumer groups that run beside the platform come along.

-- last_id: everything in the outbox up to this id is handled or parked. A replay raises the generation and starts again.
CREATE TABLE consumer_group (
    consumer_group TEXT COLLATE "C" PRIMARY KEY,
    generation     BIGINT NOT NULL DEFAULT 0,
    last_id        BIGINT NOT NULL DEFAULT 0
);

-- What a group could not handle, and everything of the same timeline behind it. `error` is null for what only waits. Retention
-- leaves the event itself where it is.
CREATE TABLE parked (
    consumer_group TEXT COLLATE "C" NOT NULL,
    timeline       TEXT COLLATE "C" NOT NULL,
    seq            BIGINT NOT NULL,
    error          TEXT COLLATE "C",
    at             BIGINT NOT NULL,
    PRIMARY KEY (consumer_group, timeline, seq)
);
CREATE INDEX parked_by_timeline ON parked (timeline, seq);

-- A member's events up to number `seq`, added up. `again` is the same of a replay that has not come as far yet.
CREATE TABLE twin (
    member_id TEXT COLLATE "C" PRIMARY KEY,
    seq       BIGINT NOT NULL,
    state     BYTEA NOT NULL,
    again     BYTEA
);

-- An answer about an account's coverage is current until a newer one comes.
ALTER TABLE coverage ADD COLUMN superseded_at BIGINT;
UPDATE coverage SET superseded_at = at
 WHERE EXISTS (SELECT 1 FROM coverage AS newer WHERE newer.account_id = coverage.account_id AND newer.coverage_id > coverage.coverage_id);
CREATE INDEX coverage_current ON coverage (account_id) WHERE superseded_at IS NULL;
CREATE INDEX coverage_superseded ON coverage (superseded_at) WHERE superseded_at IS NOT NULL;
CREATE INDEX eligibility_check_ended ON eligibility_check (ended_at) WHERE ended_at IS NOT NULL;
