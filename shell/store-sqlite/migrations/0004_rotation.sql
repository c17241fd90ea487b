-- Keys on their way: the next one of a machine, and the one before its present one. One each, at most.

CREATE UNIQUE INDEX keys_rotating ON keys (tenant_id, machine_id, standing) WHERE standing IN ('proposed', 'previous');
ALTER TABLE keys ADD COLUMN ordered_at INTEGER;           -- when an operator asked for its replacement

-- What a clock gave out that was wrong is kept apart from what right clocks give out.
ALTER TABLE nonces ADD COLUMN before_leap INTEGER;
ALTER TABLE nonces ADD COLUMN after_leap INTEGER;
ALTER TABLE nonces ADD COLUMN apart BLOB;

-- How a machine was let in. Of those that came before this was kept, approvals are found among the holds.
ALTER TABLE machines ADD COLUMN entered_at INTEGER;
ALTER TABLE machines ADD COLUMN entered_from TEXT;
ALTER TABLE machines ADD COLUMN approved_by TEXT;
ALTER TABLE machines ADD COLUMN readmit_until INTEGER;   -- retired: until then its hardware may come back, once
UPDATE machines SET
    approved_by = (SELECT h.decided_by FROM holds h WHERE h.tenant_id = machines.tenant_id AND h.state = 'approved'
        AND h.decided_machine = machines.id ORDER BY h.decided_at DESC LIMIT 1),
    entered_from = (SELECT h.source FROM holds h WHERE h.tenant_id = machines.tenant_id AND h.state = 'approved'
        AND h.decided_machine = machines.id ORDER BY h.decided_at DESC LIMIT 1)
    WHERE id IN (SELECT decided_machine FROM holds WHERE state = 'approved');

-- The lives of the agents that have shown a key.
CREATE TABLE boots (
    tenant_id  BLOB NOT NULL,
    key        BLOB NOT NULL,
    boot       BLOB NOT NULL,                -- the newest
    earlier    BLOB,                         -- each with the time at which another one followed it
    PRIMARY KEY (tenant_id, key)
) STRICT, WITHOUT ROWID;

-- The change of the certificate authority: one row, once it was begun. What is sealed is no key without the seal key.
CREATE TABLE ca (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    revision    INTEGER NOT NULL,
    bundle      INTEGER NOT NULL,           -- the version of the roots that everybody is given
    phase       TEXT NOT NULL,              -- settled, prepared, published, activated, tainted
    since       INTEGER NOT NULL,
    signs_since INTEGER,
    rotate_before INTEGER,     -- keys of before are to be replaced: an authority was tainted then
    before      INTEGER,       -- tainted: which keys were to be replaced already
    sealed      BLOB NOT NULL
) STRICT;
ALTER TABLE presence ADD COLUMN bundle INTEGER;           -- the roots that the machine says it holds

-- When somebody watched the fleet: only such time is anybody's silence. A bounded number of stretches is kept.
CREATE TABLE watched (
    began INTEGER NOT NULL PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT;

-- Tenants of whom the reaper takes nobody, because too many were due at once.
CREATE TABLE reaper (
    tenant_id  BLOB NOT NULL PRIMARY KEY,
    stopped_at INTEGER NOT NULL,
    due        INTEGER NOT NULL,
    fleet      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Signs that a machine was copied, and its key apart from how it was let in.
ALTER TABLE machines ADD COLUMN key_since INTEGER;        -- where its key is not the one it enrolled with
ALTER TABLE machines ADD COLUMN alarmed_at INTEGER;       -- when a sign was told last
ALTER TABLE machines ADD COLUMN alarm_cause TEXT;
ALTER TABLE machines ADD COLUMN entered_grant BLOB;      -- by which it came in, where it showed another one since

PRAGMA user_version = 4;
