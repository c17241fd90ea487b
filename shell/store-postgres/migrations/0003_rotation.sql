-- Keys on their way: the next one of a machine, and the one before its present one. One each, at most.

CREATE UNIQUE INDEX keys_rotating ON keys (machine_id, tenant_id, standing) WHERE standing IN ('proposed', 'previous');
ALTER TABLE keys ADD COLUMN ordered_at bigint;            -- when an operator asked for its replacement
