-- What backends publish. `publisher` is the service whose events introduced a thing and alone move it; null: the platform runs it.
ALTER TABLE session ADD COLUMN publisher TEXT;
ALTER TABLE service_request ADD COLUMN publisher TEXT;
ALTER TABLE task ADD COLUMN publisher TEXT;

-- A backend says that the session is wrapping up.
ALTER TABLE session ADD COLUMN completing INTEGER NOT NULL DEFAULT 0;

-- How far a request is, as its backend said last: {estimated_completion_seconds, task_statuses} as JSON.
ALTER TABLE service_request ADD COLUMN told TEXT;

-- A backend's task may belong to no request.
ALTER TABLE task ALTER COLUMN service_request_id DROP NOT NULL;

-- Who publishes under a source: the service that used it first.
CREATE TABLE event_source (
    source  TEXT PRIMARY KEY,
    service TEXT NOT NULL,
    at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Every event taken, so that it is taken once. `digest` is of what it says, by which another event under its id is known.
CREATE TABLE published_event (
    source   TEXT NOT NULL,
    event_id TEXT NOT NULL,
    digest   BLOB NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (source, event_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX published_event_by_age ON published_event (at);
