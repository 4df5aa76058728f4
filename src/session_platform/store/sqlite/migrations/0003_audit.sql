-- The seal on the audit. `place` is a record's number in the chain (1, 2, 3 … without a gap), `link` the hash over it and the link
-- before it; both are null until the sealer has come by.
ALTER TABLE audit ADD COLUMN place INTEGER;
ALTER TABLE audit ADD COLUMN link BLOB;
CREATE UNIQUE INDEX audit_by_place ON audit (place) WHERE place IS NOT NULL;
CREATE INDEX audit_unsealed ON audit (id) WHERE place IS NULL;
CREATE INDEX audit_by_actor ON audit (actor, id);

-- One row a batch: the chain reached `place` with `link` then. It remembers the end when the newest records are gone.
CREATE TABLE audit_seal (
    number INTEGER PRIMARY KEY,
    place  INTEGER NOT NULL,
    link   BLOB NOT NULL,
    at     INTEGER NOT NULL
) STRICT;

-- Who seals, and until when nobody else may. One row.
CREATE TABLE audit_sealer (
    name  TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What an administrator made of a panel, over what the seed says: 1 the member is on it, 0 not.
CREATE TABLE panel_override (
    staff_id  TEXT NOT NULL,
    member_id TEXT NOT NULL,
    present   INTEGER NOT NULL,
    PRIMARY KEY (staff_id, member_id)
) STRICT, WITHOUT ROWID;
