-- Human tasks.
-- `traceparent` is the trace of the submission: what workers do for a request goes on in it.
ALTER TABLE service_request ADD COLUMN traceparent TEXT COLLATE "C";

-- `interruptions` counts attempts in a row that were lost without an answer. `released_by` gave the task back, and nobody has
-- claimed it since. `completion` is the digest of the body that completed it, by which its repetition is known.
ALTER TABLE task ADD COLUMN interruptions BIGINT NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN released_by TEXT COLLATE "C";
ALTER TABLE task ADD COLUMN completion BYTEA;

CREATE INDEX task_by_assignee ON task (assignee_id, task_id) WHERE completed_at IS NULL AND assignee_id IS NOT NULL;
-- What staff may claim, and what services may start.
CREATE INDEX task_offered ON task (executor, assignee_role, speciality, task_id)
    WHERE completed_at IS NULL AND assigned_at IS NOT NULL AND assignee_id IS NULL AND executor <> 'system';
-- Attempts of services, whose leases end unheard.
CREATE INDEX task_leased ON task (lease_until) WHERE completed_at IS NULL AND executor = 'service' AND lease_until IS NOT NULL;
