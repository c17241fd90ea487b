-- Everything Muster keeps. Identifiers are 16 bytes, times whole milliseconds since 1970, names of states text.
-- Rows that other rows name are never deleted, so foreign keys need no index on the side of the child.

CREATE TABLE meta (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    clean INTEGER NOT NULL                  -- 1: closed in good order, nothing happened since
) STRICT;
INSERT INTO meta (one, clean) VALUES (1, 0);

CREATE TABLE tenants (
    id         BLOB NOT NULL PRIMARY KEY,
    code       TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sites (
    tenant_id  BLOB NOT NULL REFERENCES tenants (id),
    id         BLOB NOT NULL,
    code       TEXT NOT NULL,
    approval   INTEGER NOT NULL,
    requests   INTEGER NOT NULL,
    reimage    TEXT NOT NULL,
    seats      INTEGER,
    hold_cap   INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, code)
) STRICT, WITHOUT ROWID;

CREATE TABLE grants (
    tenant_id    BLOB NOT NULL,
    id           BLOB NOT NULL,
    site_id      BLOB NOT NULL,
    kind         TEXT NOT NULL,             -- token, site_key, machine
    version      INTEGER,                   -- of a site key
    fingerprint  BLOB,                      -- of a site key
    machine_id   BLOB,                      -- for one pending machine
    secret       BLOB NOT NULL UNIQUE,
    hash         BLOB NOT NULL,
    uses         TEXT NOT NULL,             -- once, capped, unlimited
    uses_limit   INTEGER,                   -- capped
    uses_count   INTEGER,                   -- capped
    bound_at     INTEGER,                   -- once, spent
    bound_key    BLOB,                      -- once, spent by a key
    expires_at   INTEGER,
    labels       TEXT NOT NULL,
    role         TEXT,
    machine_kind TEXT,
    approval     INTEGER NOT NULL,
    state        TEXT NOT NULL,             -- live, rotated_out, revoked
    ended_at     INTEGER,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, site_id) REFERENCES sites (tenant_id, id)
) STRICT;
CREATE INDEX grants_of_site ON grants (tenant_id, site_id, id);
CREATE UNIQUE INDEX grants_site_key ON grants (tenant_id, site_id, version) WHERE kind = 'site_key';
CREATE INDEX grants_of_machine ON grants (tenant_id, machine_id, id) WHERE kind = 'machine';

CREATE TABLE machines (
    n            INTEGER PRIMARY KEY,       -- the order in which they came; the row of machine_search
    tenant_id    BLOB NOT NULL,
    id           BLOB NOT NULL,
    site_id      BLOB NOT NULL,
    name         TEXT NOT NULL,
    hostname     TEXT,
    kind         TEXT NOT NULL,
    hardware_id  TEXT,
    key          BLOB,
    generation   INTEGER NOT NULL,
    role         TEXT,
    labels       TEXT NOT NULL,
    attributes   TEXT NOT NULL,
    grant_id     BLOB,
    state        TEXT NOT NULL,             -- pending, active, suspended, retired
    state_since  INTEGER NOT NULL,
    state_cause  TEXT,                      -- suspended, retired
    state_reason TEXT,                      -- suspended, retired
    created_at   INTEGER NOT NULL,
    enrolled_at  INTEGER,
    UNIQUE (tenant_id, id),
    FOREIGN KEY (tenant_id, site_id) REFERENCES sites (tenant_id, id)
) STRICT;
CREATE UNIQUE INDEX machines_live_hardware ON machines (tenant_id, hardware_id)
    WHERE state <> 'retired' AND hardware_id IS NOT NULL;
CREATE INDEX machines_retired_hardware ON machines (tenant_id, hardware_id, state_since)
    WHERE state = 'retired' AND hardware_id IS NOT NULL;
CREATE INDEX machines_by_state ON machines (tenant_id, state, id);
CREATE INDEX machines_by_site ON machines (tenant_id, site_id, state, id);

-- The words of each machine, so that a search need not read every row. Written once a commit, not once a machine.
CREATE VIRTUAL TABLE machine_search USING fts5 (
    words, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii', prefix = '1 2 3 4 5 6'
);

-- Kept with each change of a machine, not counted: how many stand in which state.
CREATE TABLE machine_counts (
    tenant_id BLOB NOT NULL,
    site_id   BLOB NOT NULL,
    state     TEXT NOT NULL,
    n         INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, site_id, state)
) STRICT, WITHOUT ROWID;
-- The fingerprint comes first, so that one index serves a signed request, which names no tenant. Fingerprints come in no
-- order: an index of them alone stays dense where a table in their order would not.
CREATE TABLE keys (
    fingerprint BLOB NOT NULL,
    tenant_id   BLOB NOT NULL,
    algorithm   TEXT NOT NULL,
    spki        BLOB NOT NULL,
    machine_id  BLOB NOT NULL,
    generation  INTEGER NOT NULL,
    standing    TEXT NOT NULL,              -- current, superseded, revoked
    PRIMARY KEY (fingerprint, tenant_id),
    FOREIGN KEY (tenant_id, machine_id) REFERENCES machines (tenant_id, id)
) STRICT;
CREATE UNIQUE INDEX keys_current ON keys (tenant_id, machine_id) WHERE standing = 'current';
CREATE INDEX keys_revoked ON keys (tenant_id, machine_id) WHERE standing = 'revoked';

CREATE TABLE presence (
    tenant_id  BLOB NOT NULL,
    machine_id BLOB NOT NULL,
    last_seen  INTEGER NOT NULL,
    online     INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, machine_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE holds (
    tenant_id       BLOB NOT NULL,
    id              BLOB NOT NULL,
    site_id         BLOB NOT NULL,
    reason          TEXT NOT NULL,
    algorithm       TEXT,                   -- of the claimant's key
    spki            BLOB,                   -- of the claimant's key
    fingerprint     BLOB,                   -- of the claimant's key
    hardware_id     TEXT,
    hostname        TEXT,
    kind            TEXT NOT NULL,
    attributes      TEXT NOT NULL,
    source          TEXT,
    method          TEXT NOT NULL,
    existing        BLOB,
    grant_id        BLOB,
    state           TEXT NOT NULL,          -- open, approved, rejected
    decided_at      INTEGER,
    decided_by      TEXT,
    decided_machine BLOB,                   -- approved
    decided_reason  TEXT,                   -- rejected
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, site_id) REFERENCES sites (tenant_id, id)
) STRICT;
CREATE UNIQUE INDEX holds_by_id ON holds (id);
CREATE INDEX holds_by_key ON holds (tenant_id, fingerprint, id) WHERE fingerprint IS NOT NULL;
CREATE INDEX holds_by_hardware ON holds (tenant_id, hardware_id, id)
    WHERE fingerprint IS NULL AND hardware_id IS NOT NULL;
CREATE INDEX holds_open ON holds (tenant_id, expires_at) WHERE state = 'open';
CREATE INDEX holds_open_of_site ON holds (tenant_id, site_id, expires_at) WHERE state = 'open';
CREATE INDEX holds_about_machine ON holds (tenant_id, existing, id) WHERE existing IS NOT NULL;

CREATE TABLE credentials (
    tenant_id    BLOB NOT NULL,
    id           BLOB NOT NULL,
    machine_id   BLOB NOT NULL,
    generation   INTEGER NOT NULL,
    kind         TEXT NOT NULL,             -- certificate, bearer
    key          BLOB,                      -- certificate
    secret       BLOB,                      -- bearer
    hash         BLOB,                      -- bearer
    not_before   INTEGER NOT NULL,
    not_after    INTEGER NOT NULL,
    state        TEXT NOT NULL,             -- reserved, issued, ended
    certificate  BLOB,                      -- certificate, issued
    ended_at     INTEGER,
    ended_reason TEXT,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, machine_id) REFERENCES machines (tenant_id, id)
) STRICT;
CREATE INDEX credentials_of_machine ON credentials (tenant_id, machine_id, id);
CREATE UNIQUE INDEX credentials_secret ON credentials (secret) WHERE secret IS NOT NULL;

CREATE TABLE operators (
    tenant_id  BLOB NOT NULL REFERENCES tenants (id),
    id         BLOB NOT NULL,
    name       TEXT NOT NULL,
    role       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE access_tokens (
    tenant_id   BLOB NOT NULL,
    id          BLOB NOT NULL,
    operator_id BLOB NOT NULL,
    kind        TEXT NOT NULL,              -- api, login, session
    name        TEXT NOT NULL,
    role        TEXT NOT NULL,
    secret      BLOB NOT NULL UNIQUE,
    hash        BLOB NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    ended_at    INTEGER,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, operator_id) REFERENCES operators (tenant_id, id)
) STRICT;
CREATE INDEX access_tokens_listed ON access_tokens (tenant_id, id) WHERE kind <> 'login';

CREATE TABLE remembered (
    tenant_id BLOB NOT NULL,
    key       BLOB NOT NULL,
    request   BLOB NOT NULL,
    object    TEXT NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE nonces (
    tenant_id BLOB NOT NULL,
    key       BLOB NOT NULL,
    issued    INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id BLOB NOT NULL,
    id        BLOB NOT NULL,
    at        INTEGER NOT NULL,
    actor     TEXT NOT NULL,
    action    TEXT NOT NULL,
    object    TEXT NOT NULL,
    reason    TEXT NOT NULL,
    source    TEXT,
    detail    TEXT NOT NULL                 -- a JSON object
) STRICT;
CREATE INDEX audit_of_tenant ON audit (tenant_id);
CREATE INDEX audit_of_object ON audit (tenant_id, object);
CREATE INDEX audit_of_actor ON audit (tenant_id, actor);

PRAGMA application_id = 0x4d535452;
PRAGMA user_version = 1;
