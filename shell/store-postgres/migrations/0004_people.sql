-- Operators who come and go: each under a name that nobody else has, however it is written.
ALTER TABLE operators ADD COLUMN folded text COLLATE "C";   -- the name as names are compared
ALTER TABLE operators ADD COLUMN disabled_at bigint;
UPDATE operators SET folded = lower(name);                  -- there was one so far, the admin of the founding
CREATE UNIQUE INDEX operators_named ON operators (tenant_id, folded);
CREATE INDEX access_tokens_of ON access_tokens (tenant_id, operator_id) WHERE ended_at IS NULL;
ALTER TABLE operators ADD COLUMN password text COLLATE "C";   -- an Argon2id hash in PHC form
-- The second factor. Its key is nowhere: it follows from the salt, the operator and the pepper.
ALTER TABLE operators ADD COLUMN factor_salt bytea;
ALTER TABLE operators ADD COLUMN factor_at bigint;          -- when it was proposed; confirmed, where there is a step
ALTER TABLE operators ADD COLUMN factor_step bigint;        -- the newest step whose code was used
ALTER TABLE operators ADD COLUMN factor_recovery bytea;     -- hashes of the recovery codes that are left, 32 bytes each
ALTER TABLE access_tokens ADD COLUMN entrance text COLLATE "C";   -- by what a session was opened: link, password

-- Tries to log in that failed. The key is a MAC over what is counted: neither the name that was typed nor the address is here.
CREATE TABLE failures (
    tenant_id  bytea NOT NULL,
    key        bytea NOT NULL,
    count      bigint NOT NULL,
    at         bigint NOT NULL,               -- the newest
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX failures_at ON failures (at);

-- What somebody should look at, and what became of it.
CREATE INDEX audit_alarms ON audit (tenant_id, seq) WHERE reason IN ('alarm', 'calm', 'acknowledged');

ALTER TABLE engagements ADD COLUMN acknowledged_at bigint;   -- its agent goes by it since

-- What the fleet did, in slots of five minutes: each server in rows of its own, so that what is noted twice counts once.
CREATE TABLE pulse (
    at        bigint NOT NULL,
    tenant_id bytea NOT NULL,
    replica   bytea NOT NULL,
    online    bigint,                       -- with whichever server; nothing where it did not look
    machines  bigint,                       -- active or suspended
    enrolled  bigint NOT NULL,
    refused   bigint NOT NULL,
    ended     bigint NOT NULL,
    PRIMARY KEY (at, tenant_id, replica)
) WITH (fillfactor = 50);

-- What ends when. The state of a credential is in no index: it changes with nearly every one, and would take all others along.
CREATE INDEX credentials_by_end ON credentials (tenant_id, not_after);
CREATE INDEX grants_by_end ON grants (tenant_id, expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX access_tokens_to_end ON access_tokens (tenant_id, expires_at) WHERE kind = 'api';
