-- Keys on their way: the next one of a machine, and the one before its present one. One each, at most.

CREATE UNIQUE INDEX keys_rotating ON keys (tenant_id, machine_id, standing) WHERE standing IN ('proposed', 'previous');
ALTER TABLE keys ADD COLUMN ordered_at INTEGER;           -- when an operator asked for its replacement

-- What a clock gave out that was ahead is set apart from what right clocks give out.
ALTER TABLE nonces ADD COLUMN before_leap INTEGER;
ALTER TABLE nonces ADD COLUMN after_leap INTEGER;
ALTER TABLE nonces ADD COLUMN ahead_from INTEGER;
ALTER TABLE nonces ADD COLUMN ahead_to INTEGER;

PRAGMA user_version = 4;
