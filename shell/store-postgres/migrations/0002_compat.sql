-- What existing clients need.

ALTER TABLE credentials ADD COLUMN used_at bigint;     -- refresh, issued

CREATE TABLE software_agents (
    tenant_id  bytea NOT NULL,
    machine_id bytea NOT NULL,
    nick       text COLLATE "C" NOT NULL,
    folded     text COLLATE "C" NOT NULL,   -- the nick as it is compared
    role       text COLLATE "C" NOT NULL,
    team       text COLLATE "C",
    skills     text NOT NULL,               -- a JSON array
    version    bigint NOT NULL,             -- of the engagement in force
    freed_at   bigint,                      -- from then on others may have the nick
    PRIMARY KEY (tenant_id, machine_id)
);
CREATE TRIGGER machines_are_there AFTER INSERT ON software_agents REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION machines_are_there();
CREATE UNIQUE INDEX software_agents_nick ON software_agents (folded, tenant_id) WHERE freed_at IS NULL;

CREATE TABLE engagements (
    tenant_id  bytea NOT NULL,
    machine_id bytea NOT NULL,
    version    bigint NOT NULL,
    document   text NOT NULL,
    author     text COLLATE "C" NOT NULL,
    at         bigint NOT NULL,
    PRIMARY KEY (tenant_id, machine_id, version),
    FOREIGN KEY (tenant_id, machine_id) REFERENCES software_agents (tenant_id, machine_id)
);

ALTER TABLE access_tokens ADD COLUMN scopes text COLLATE "C";
ALTER TABLE access_tokens ADD COLUMN team text COLLATE "C";

ALTER TABLE holds ADD COLUMN verifier bytea;             -- of a claimant without a key
ALTER TABLE holds ADD COLUMN asked bigint NOT NULL DEFAULT 1;
CREATE INDEX holds_by_verifier ON holds (verifier, id) WHERE verifier IS NOT NULL;

ALTER TABLE grants ADD COLUMN imported text COLLATE "C"; -- of a site key, until somebody showed it
CREATE INDEX grants_imported ON grants (site_id, tenant_id) WHERE imported IS NOT NULL;

-- Accounts that machines have in other systems. The row is the order: what is due is to be done there, under its version.

CREATE TABLE accounts (
    tenant_id   bytea NOT NULL,
    id          bytea NOT NULL,
    machine_id  bytea NOT NULL,
    provisioner text COLLATE "C" NOT NULL,
    name        text COLLATE "C" NOT NULL,
    folded      text COLLATE "C" NOT NULL,  -- the name, as the other system tells names apart
    wanted      text COLLATE "C" NOT NULL,  -- live, locked, removed
    version     bigint NOT NULL,            -- rises with each change of what is wanted
    secret      bigint NOT NULL,            -- the number of the passphrase
    provenance  text COLLATE "C" NOT NULL,  -- unknown, made, adopted
    delivery    text COLLATE "C" NOT NULL,  -- due, done, conflict, dead
    at          bigint NOT NULL,            -- due: not before; else since when
    attempts    bigint,                     -- due, dead
    mishap      text COLLATE "C",           -- due, dead
    mishap_text text,                       -- due, dead
    created_at  bigint NOT NULL,
    PRIMARY KEY (tenant_id, id)
) WITH (fillfactor = 70);
CREATE TRIGGER machines_are_there AFTER INSERT ON accounts REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION machines_are_there();
CREATE TRIGGER machines_are_still_there AFTER UPDATE ON accounts REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION machines_are_there();
CREATE UNIQUE INDEX accounts_named ON accounts (provisioner, folded, tenant_id) WHERE wanted <> 'removed';
CREATE INDEX accounts_of_machine ON accounts (machine_id, id);
CREATE INDEX accounts_due ON accounts (at, id) WHERE delivery = 'due';
