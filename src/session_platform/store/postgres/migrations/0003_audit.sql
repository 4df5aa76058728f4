-- The seal on the audit. `place` is a record's number in the chain (1, 2, 3 … without a gap), `link` the hash over it and the link
-- before it; both are null until the sealer has come by.
ALTER TABLE audit ADD COLUMN place BIGINT;
ALTER TABLE audit ADD COLUMN link BYTEA;
CREATE UNIQUE INDEX audit_by_place ON audit (place) WHERE place IS NOT NULL;
CREATE INDEX audit_unsealed ON audit (id) WHERE place IS NULL;
CREATE INDEX audit_by_actor ON audit (actor, id);

-- One row a batch: the chain reached `place` with `link` then. It remembers the end when the newest records are gone.
CREATE TABLE audit_seal (
    number BIGINT PRIMARY KEY,
    place  BIGINT NOT NULL,
    link   BYTEA NOT NULL,
    at     BIGINT NOT NULL
);

-- Who seals, and until when nobody else may. One row.
CREATE TABLE audit_sealer (
    name  TEXT COLLATE "C" PRIMARY KEY,
    owner TEXT COLLATE "C" NOT NULL,
    until BIGINT NOT NULL
);

-- What an administrator made of a panel, over what the seed says: 1 the member is on it, 0 not.
CREATE TABLE panel_override (
    staff_id  TEXT COLLATE "C" NOT NULL,
    member_id TEXT COLLATE "C" NOT NULL,
    present   BIGINT NOT NULL,
    PRIMARY KEY (staff_id, member_id)
);
