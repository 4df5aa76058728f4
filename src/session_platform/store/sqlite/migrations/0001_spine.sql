-- Times are whole microseconds since 1970 (UTC); JSON is text, or a blob where it only passes through.

-- ---------------------------------------------------------------------------------------------------------------- timelines
-- last_*: the newest event. pruned_*: the newest event that retention took. Zeros: there is none.
CREATE TABLE timeline_head (
    timeline     TEXT PRIMARY KEY,
    epoch        INTEGER NOT NULL DEFAULT 1,
    last_epoch   INTEGER NOT NULL DEFAULT 0,
    last_seq     INTEGER NOT NULL DEFAULT 0,
    last_tag     INTEGER NOT NULL DEFAULT 0,
    pruned_epoch INTEGER NOT NULL DEFAULT 0,
    pruned_seq   INTEGER NOT NULL DEFAULT 0,
    pruned_tag   INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: plain row ids start again after the newest rows were pruned. `redacted` is null where it equals `full`.
CREATE TABLE outbox (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    timeline           TEXT NOT NULL,
    epoch              INTEGER NOT NULL,
    seq                INTEGER NOT NULL,
    tag                INTEGER NOT NULL,
    event_id           TEXT NOT NULL,
    name               TEXT NOT NULL,
    session_id         TEXT,
    service_request_id TEXT,
    at                 INTEGER NOT NULL,
    full_body          BLOB NOT NULL,
    redacted_body      BLOB,
    UNIQUE (timeline, seq)
) STRICT;
CREATE INDEX outbox_by_age ON outbox (at);

-- How far a consumer group has handled a timeline, written in the transaction of the effect.
CREATE TABLE inbox (
    consumer_group TEXT NOT NULL,
    generation     INTEGER NOT NULL DEFAULT 0,
    timeline       TEXT NOT NULL,
    seq            INTEGER NOT NULL,
    PRIMARY KEY (consumer_group, generation, timeline)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
    scope       TEXT NOT NULL,
    key         TEXT NOT NULL,
    body_digest BLOB NOT NULL,
    status      INTEGER NOT NULL,
    answer      BLOB NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (at);

-- Keys the platform makes for itself (cursors); the highest number of a purpose is the current one, older ones still verify.
CREATE TABLE secret (
    purpose TEXT NOT NULL,
    number  INTEGER NOT NULL,
    value   BLOB NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (purpose, number)
) STRICT, WITHOUT ROWID;

-- The newest position that a device of a subject acknowledged.
CREATE TABLE acknowledgement (
    subject   TEXT NOT NULL,
    device_id TEXT NOT NULL,
    timeline  TEXT NOT NULL,
    epoch     INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    tag       INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (subject, device_id, timeline)
) STRICT, WITHOUT ROWID;

-- ------------------------------------------------------------------------------------------------------------------- access
CREATE TABLE audit (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    audit_id   TEXT NOT NULL UNIQUE,
    at         INTEGER NOT NULL,
    actor      TEXT NOT NULL,
    action     TEXT NOT NULL,
    member_id  TEXT,
    session_id TEXT,
    outcome    TEXT NOT NULL,
    reason     TEXT
) STRICT;
CREATE INDEX audit_by_member ON audit (member_id, id);

-- ---------------------------------------------------------------------------------------------------------------- directory
CREATE TABLE member (
    member_id     TEXT PRIMARY KEY,
    first_name    TEXT NOT NULL,
    last_name     TEXT NOT NULL,
    date_of_birth TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Whose insurance, and what its payer needs to know to find it.
CREATE TABLE account (
    account_id         TEXT PRIMARY KEY,
    payer_id           TEXT NOT NULL,
    payer_name         TEXT NOT NULL,
    member_id_at_payer TEXT NOT NULL,
    first_name         TEXT NOT NULL,
    last_name          TEXT NOT NULL,
    date_of_birth      TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- place 0 is the member's own account, then the dependants'.
CREATE TABLE holding (
    member_id  TEXT NOT NULL REFERENCES member,
    account_id TEXT NOT NULL REFERENCES account,
    place      INTEGER NOT NULL,
    PRIMARY KEY (member_id, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX holding_by_account ON holding (account_id);

-- Members that exist by rule: every id that is member_prefix and digits, unless listed above. The account, its payer data and the
-- person follow from the digits.
CREATE TABLE member_pattern (
    member_prefix       TEXT PRIMARY KEY,
    account_prefix      TEXT NOT NULL,
    payer_member_prefix TEXT NOT NULL,
    payer_id            TEXT NOT NULL,
    payer_name          TEXT NOT NULL,
    first_name          TEXT NOT NULL,
    last_name           TEXT NOT NULL,
    date_of_birth       TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE staff (
    staff_id     TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    role         TEXT NOT NULL,
    specialities TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- member_id '*': every member of the seed.
CREATE TABLE panel (
    staff_id  TEXT NOT NULL,
    member_id TEXT NOT NULL,
    PRIMARY KEY (staff_id, member_id)
) STRICT, WITHOUT ROWID;

-- ----------------------------------------------------------------------------------------------------------------- sessions
CREATE TABLE session (
    session_id          TEXT PRIMARY KEY,
    member_id           TEXT NOT NULL,
    account_id          TEXT,
    type                TEXT NOT NULL,
    channel             TEXT NOT NULL,
    intent              TEXT,
    metadata            TEXT,
    device_id           TEXT,
    previous_session_id TEXT,
    initiator_id        TEXT NOT NULL,
    created_at          INTEGER NOT NULL,
    last_activity_at    INTEGER NOT NULL,
    ended_at            INTEGER,
    end_reason          TEXT,
    outcome             TEXT,
    ended_by            TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX session_open_by_member ON session (member_id) WHERE ended_at IS NULL;
CREATE INDEX session_open ON session (last_activity_at) WHERE ended_at IS NULL;

CREATE TABLE session_participant (
    session_id TEXT NOT NULL REFERENCES session,
    id         TEXT NOT NULL,
    role       TEXT NOT NULL,
    joined_at  INTEGER NOT NULL,
    PRIMARY KEY (session_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX session_participant_by_id ON session_participant (id);

-- ----------------------------------------------------------------------------------------------------------------- careflow
-- data, error and payer_errors are JSON.
CREATE TABLE service_request (
    service_request_id TEXT PRIMARY KEY,
    session_id         TEXT,
    member_id          TEXT NOT NULL,
    service            TEXT NOT NULL,
    subject            TEXT,
    reason             TEXT,
    priority           TEXT NOT NULL,
    data               TEXT,
    initiator_id       TEXT NOT NULL,
    target_role        TEXT,
    target_speciality  TEXT,
    current_call_id    TEXT,
    status             TEXT NOT NULL,
    stage              TEXT NOT NULL,
    percent_complete   INTEGER NOT NULL DEFAULT 0,
    error              TEXT,
    payer_errors       TEXT,
    result             BLOB,
    canceled_by        TEXT,
    submitted_at       INTEGER NOT NULL,
    completed_at       INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX service_request_by_member ON service_request (member_id, submitted_at);
CREATE INDEX service_request_by_session ON service_request (session_id);

-- The queue of work. `attempt` is the fencing token: it rises with every claim. `failures` counts attempts that ended with a
-- failure, not lost ones; `try` rises only after a definite answer, and is part of the idempotency key of a task's side effects.
-- `run_at` is null while a task waits for an earlier one of its request. The smaller `urgency`, the sooner.
CREATE TABLE task (
    task_id            TEXT PRIMARY KEY,
    service_request_id TEXT NOT NULL REFERENCES service_request,
    session_id         TEXT,
    member_id          TEXT NOT NULL,
    task_type          TEXT NOT NULL,
    title              TEXT NOT NULL,
    place              INTEGER NOT NULL,
    urgency            INTEGER NOT NULL,
    executor           TEXT NOT NULL,
    status             TEXT NOT NULL,
    assignee_id        TEXT,
    assignee_role      TEXT NOT NULL,
    assignee_name      TEXT,
    speciality         TEXT,
    form               TEXT,
    attempt            INTEGER NOT NULL DEFAULT 0,
    try                INTEGER NOT NULL DEFAULT 1,
    failures           INTEGER NOT NULL DEFAULT 0,
    run_at             INTEGER,
    lease_owner        TEXT,
    lease_until        INTEGER,
    assigned_at        INTEGER,
    started_at         INTEGER,
    due_at             INTEGER,
    completed_at       INTEGER,
    completed_by       TEXT,
    result             BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX task_by_request ON task (service_request_id, place);
CREATE INDEX task_by_member ON task (member_id, task_id);
CREATE INDEX task_by_session ON task (session_id) WHERE completed_at IS NULL;
CREATE INDEX task_queue ON task (task_type, urgency, run_at)
    WHERE completed_at IS NULL AND executor = 'system' AND run_at IS NOT NULL;

-- How long finished work of a kind took, most recent last: what estimates are made from.
CREATE TABLE duration (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    task_type TEXT NOT NULL,
    took_us   INTEGER NOT NULL
) STRICT;
CREATE INDEX duration_by_type ON duration (task_type, id);

-- -------------------------------------------------------------------------------------------------------------- eligibility
-- One running check an account and payer: a second one joins it (the partial unique index says so).
CREATE TABLE eligibility_check (
    check_id    TEXT PRIMARY KEY,
    account_id  TEXT NOT NULL,
    payer_id    TEXT NOT NULL,
    task_id     TEXT NOT NULL,
    started_at  INTEGER NOT NULL,
    ended_at    INTEGER,
    coverage_id TEXT,
    failure     TEXT,
    answer      BLOB
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX eligibility_check_running ON eligibility_check (account_id, payer_id) WHERE ended_at IS NULL;

-- Every answer about an account's coverage, never changed; the newest is current. `details` is CoverageDetails as JSON.
CREATE TABLE coverage (
    coverage_id TEXT PRIMARY KEY,
    account_id  TEXT NOT NULL,
    details     BLOB NOT NULL,
    at          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX coverage_by_account ON coverage (account_id, coverage_id);
