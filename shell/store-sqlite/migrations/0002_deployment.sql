-- Which deployment this is, and the stretches of its history.

CREATE TABLE deployment (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    id    BLOB NOT NULL,
    proof BLOB NOT NULL                     -- MAC over the identifier by the pepper
) STRICT;

CREATE TABLE incarnations (
    n               INTEGER PRIMARY KEY,                -- in the order in which they began
    id              BLOB NOT NULL UNIQUE,
    at              INTEGER NOT NULL,
    gap_incarnation BLOB,                              -- what a server has seen that this one does not know
    gap_seen        INTEGER,
    gap_found       INTEGER
) STRICT;

CREATE INDEX remembered_by_age ON remembered (at);
CREATE INDEX access_tokens_by_end ON access_tokens (coalesce(ended_at, expires_at)) WHERE kind <> 'api';
CREATE INDEX presence_online ON presence (tenant_id, machine_id) WHERE online = 1;

PRAGMA user_version = 2;
