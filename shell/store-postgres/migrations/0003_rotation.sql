-- Keys on their way: the next one of a machine, and the one before its present one. One each, at most.

CREATE UNIQUE INDEX keys_rotating ON keys (machine_id, tenant_id, standing) WHERE standing IN ('proposed', 'previous');
ALTER TABLE keys ADD COLUMN ordered_at bigint;            -- when an operator asked for its replacement

-- What a clock gave out that was wrong is kept apart from what right clocks give out.
ALTER TABLE nonces ADD COLUMN before_leap bigint;
ALTER TABLE nonces ADD COLUMN after_leap bigint;
ALTER TABLE nonces ADD COLUMN apart bytea;

-- How a machine was let in. Of those that came before this was kept, approvals are found among the holds.
ALTER TABLE machines ADD COLUMN entered_at bigint;
ALTER TABLE machines ADD COLUMN entered_from text COLLATE "C";
ALTER TABLE machines ADD COLUMN approved_by text COLLATE "C";
ALTER TABLE machines ADD COLUMN readmit_until bigint;    -- retired: until then its hardware may come back, once
UPDATE machines m SET approved_by = h.decided_by, entered_from = h.source
    FROM (SELECT DISTINCT ON (tenant_id, decided_machine) tenant_id, decided_machine, decided_by, source FROM holds
        WHERE state = 'approved' ORDER BY tenant_id, decided_machine, decided_at DESC) h
    WHERE h.tenant_id = m.tenant_id AND h.decided_machine = m.id;

-- The lives of the agents that have shown a key.
CREATE TABLE boots (
    tenant_id  bytea NOT NULL,
    key        bytea NOT NULL,
    boot       bytea NOT NULL,               -- the newest
    earlier    bytea,                        -- each with the time at which another one followed it
    PRIMARY KEY (tenant_id, key)
);

-- The change of the certificate authority: one row, once it was begun. What is sealed is no key without the seal key.
CREATE TABLE ca (
    one         bigint NOT NULL PRIMARY KEY CHECK (one = 1),
    revision    bigint NOT NULL,
    bundle      bigint NOT NULL,            -- the version of the roots that everybody is given
    phase       text COLLATE "C" NOT NULL,  -- settled, prepared, published, activated, tainted
    since       bigint NOT NULL,
    signs_since bigint,
    rotate_before bigint,      -- keys of before are to be replaced: an authority was tainted then
    before      bigint,        -- tainted: which keys were to be replaced already
    sealed      bytea NOT NULL
);
ALTER TABLE presence ADD COLUMN bundle bigint;            -- the roots that the machine says it holds

-- When somebody watched the fleet: only such time is anybody's silence. A bounded number of stretches is kept.
CREATE TABLE watched (
    began bigint NOT NULL PRIMARY KEY,
    until bigint NOT NULL
) WITH (fillfactor = 50);

-- Tenants of whom the reaper takes nobody, because too many were due at once.
CREATE TABLE reaper (
    tenant_id  bytea NOT NULL PRIMARY KEY,
    stopped_at bigint NOT NULL,
    due        bigint NOT NULL,
    fleet      bigint NOT NULL
);

-- Signs that a machine was copied, and its key apart from how it was let in.
ALTER TABLE machines ADD COLUMN key_since bigint;        -- where its key is not the one it enrolled with
ALTER TABLE machines ADD COLUMN alarmed_at bigint;       -- when a sign was told last
ALTER TABLE machines ADD COLUMN alarm_cause text COLLATE "C";
ALTER TABLE machines ADD COLUMN entered_grant bytea;      -- by which it came in, where it showed another one since
