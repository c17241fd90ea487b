-- Keys on their way: the next one of a machine, and the one before its present one. One each, at most.

CREATE UNIQUE INDEX keys_rotating ON keys (tenant_id, machine_id, standing) WHERE standing IN ('proposed', 'previous');
ALTER TABLE keys ADD COLUMN ordered_at INTEGER;           -- when an operator asked for its replacement

PRAGMA user_version = 4;
