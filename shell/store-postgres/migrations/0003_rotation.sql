-- Keys on their way: the next one of a machine, and the one before its present one. One each, at most.

CREATE UNIQUE INDEX keys_rotating ON keys (machine_id, tenant_id, standing) WHERE standing IN ('proposed', 'previous');
ALTER TABLE keys ADD COLUMN ordered_at bigint;            -- when an operator asked for its replacement

-- What a clock gave out that was ahead is set apart from what right clocks give out.
ALTER TABLE nonces ADD COLUMN before_leap bigint;
ALTER TABLE nonces ADD COLUMN after_leap bigint;
ALTER TABLE nonces ADD COLUMN ahead_from bigint;
ALTER TABLE nonces ADD COLUMN ahead_to bigint;
