-- Operators who come and go: each under a name that nobody else has, however it is written.
ALTER TABLE operators ADD COLUMN folded TEXT;             -- the name as names are compared
ALTER TABLE operators ADD COLUMN disabled_at INTEGER;
UPDATE operators SET folded = lower(name);                -- there was one so far, the admin of the founding
CREATE UNIQUE INDEX operators_named ON operators (tenant_id, folded);
CREATE INDEX access_tokens_of ON access_tokens (tenant_id, operator_id) WHERE ended_at IS NULL;
ALTER TABLE operators ADD COLUMN password TEXT;   -- an Argon2id hash in PHC form
-- The second factor. Its key is nowhere: it follows from the salt, the operator and the pepper.
ALTER TABLE operators ADD COLUMN factor_salt BLOB;
ALTER TABLE operators ADD COLUMN factor_at INTEGER;       -- when it was proposed; confirmed, where there is a step
ALTER TABLE operators ADD COLUMN factor_step INTEGER;     -- the newest step whose code was used
ALTER TABLE operators ADD COLUMN factor_recovery BLOB;    -- hashes of the recovery codes that are left, 32 bytes each
ALTER TABLE access_tokens ADD COLUMN entrance TEXT;       -- by what a session was opened: link, password

-- Tries to log in that failed. The key is a MAC over what is counted: neither the name that was typed nor the address is here.
CREATE TABLE failures (
    tenant_id  BLOB NOT NULL,
    key        BLOB NOT NULL,
    count      INTEGER NOT NULL,
    at         INTEGER NOT NULL,               -- the newest
    PRIMARY KEY (tenant_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX failures_at ON failures (at);

-- What somebody should look at, and what became of it.
CREATE INDEX audit_alarms ON audit (tenant_id, seq) WHERE reason IN ('alarm', 'calm', 'acknowledged');

ALTER TABLE engagements ADD COLUMN acknowledged_at INTEGER;   -- its agent goes by it since

-- What the fleet did, in slots of five minutes: each server in rows of its own, so that what is noted twice counts once.
CREATE TABLE pulse (
    at        INTEGER NOT NULL,
    tenant_id BLOB NOT NULL,
    replica   BLOB NOT NULL,
    online    INTEGER,                      -- with whichever server; nothing where it did not look
    machines  INTEGER,                      -- active or suspended
    enrolled  INTEGER NOT NULL,
    refused   INTEGER NOT NULL,
    ended     INTEGER NOT NULL,
    PRIMARY KEY (at, tenant_id, replica)
) STRICT, WITHOUT ROWID;

-- What ends when.
CREATE INDEX credentials_by_end ON credentials (tenant_id, not_after, kind) WHERE state = 'issued';
CREATE INDEX grants_by_end ON grants (tenant_id, expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX access_tokens_to_end ON access_tokens (tenant_id, expires_at) WHERE kind = 'api';

PRAGMA user_version = 5;
