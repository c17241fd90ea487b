-- What existing clients need.

ALTER TABLE credentials ADD COLUMN used_at INTEGER;    -- refresh, issued

CREATE TABLE software_agents (
    tenant_id  BLOB NOT NULL,
    machine_id BLOB NOT NULL,
    nick       TEXT NOT NULL,
    folded     TEXT NOT NULL,               -- the nick as it is compared
    role       TEXT NOT NULL,
    team       TEXT,
    skills     TEXT NOT NULL,               -- a JSON array
    version    INTEGER NOT NULL,            -- of the engagement in force
    freed_at   INTEGER,                     -- from then on others may have the nick
    PRIMARY KEY (tenant_id, machine_id),
    FOREIGN KEY (tenant_id, machine_id) REFERENCES machines (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX software_agents_nick ON software_agents (tenant_id, folded) WHERE freed_at IS NULL;

CREATE TABLE engagements (
    tenant_id  BLOB NOT NULL,
    machine_id BLOB NOT NULL,
    version    INTEGER NOT NULL,
    document   TEXT NOT NULL,
    author     TEXT NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, machine_id, version),
    FOREIGN KEY (tenant_id, machine_id) REFERENCES software_agents (tenant_id, machine_id)
) STRICT;

ALTER TABLE access_tokens ADD COLUMN scopes TEXT;
ALTER TABLE access_tokens ADD COLUMN team TEXT;

ALTER TABLE holds ADD COLUMN verifier BLOB;              -- of a claimant without a key
ALTER TABLE holds ADD COLUMN asked INTEGER NOT NULL DEFAULT 1;
CREATE INDEX holds_by_verifier ON holds (tenant_id, verifier, id) WHERE verifier IS NOT NULL;

PRAGMA user_version = 3;
