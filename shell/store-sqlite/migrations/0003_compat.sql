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

ALTER TABLE grants ADD COLUMN imported TEXT;              -- of a site key, until somebody showed it
CREATE INDEX grants_imported ON grants (tenant_id, site_id) WHERE imported IS NOT NULL;

-- Accounts that machines have in other systems. The row is the order: what is due is to be done there, under its version.

CREATE TABLE accounts (
    tenant_id   BLOB NOT NULL,
    id          BLOB NOT NULL,
    machine_id  BLOB NOT NULL,
    provisioner TEXT NOT NULL,
    name        TEXT NOT NULL,
    folded      TEXT NOT NULL,              -- the name, as the other system tells names apart
    wanted      TEXT NOT NULL,              -- live, locked, removed
    version     INTEGER NOT NULL,           -- rises with each change of what is wanted
    secret      INTEGER NOT NULL,           -- the number of the passphrase
    provenance  TEXT NOT NULL,              -- unknown, made, adopted
    delivery    TEXT NOT NULL,              -- due, done, conflict, dead
    at          INTEGER NOT NULL,           -- due: not before; else since when
    attempts    INTEGER,                    -- due, dead
    mishap      TEXT,                       -- due, dead
    mishap_text TEXT,                       -- due, dead
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, machine_id) REFERENCES machines (tenant_id, id)
) STRICT;
CREATE UNIQUE INDEX accounts_named ON accounts (provisioner, folded, tenant_id) WHERE wanted <> 'removed';
CREATE INDEX accounts_of_machine ON accounts (tenant_id, machine_id, id);
CREATE INDEX accounts_due ON accounts (at, id) WHERE delivery = 'due';

PRAGMA user_version = 3;
