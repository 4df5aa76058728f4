-- What backends publish. `publisher` is the service whose events introduced a thing and alone move it; null: the platform runs it.
ALTER TABLE session ADD COLUMN publisher TEXT COLLATE "C";
ALTER TABLE service_request ADD COLUMN publisher TEXT COLLATE "C";
ALTER TABLE task ADD COLUMN publisher TEXT COLLATE "C";

-- A backend says that the session is wrapping up.
ALTER TABLE session ADD COLUMN completing BIGINT NOT NULL DEFAULT 0;

-- How far a request is, as its backend said last: {estimated_completion_seconds, task_statuses} as JSON.
ALTER TABLE service_request ADD COLUMN told TEXT COLLATE "C";

-- A backend's task may belong to no request.
ALTER TABLE task ALTER COLUMN service_request_id DROP NOT NULL;

-- Who publishes under a source: the service that used it first.
CREATE TABLE event_source (
    source  TEXT COLLATE "C" PRIMARY KEY,
    service TEXT COLLATE "C" NOT NULL,
    at      BIGINT NOT NULL
);

-- Every event taken, so that it is taken once. `digest` is of what it says, by which another event under its id is known.
CREATE TABLE published_event (
    source   TEXT COLLATE "C" NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL,
    digest   BYTEA NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (source, event_id)
);
CREATE INDEX published_event_by_age ON published_event (at);
