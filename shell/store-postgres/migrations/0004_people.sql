-- Operators who come and go: each under a name that nobody else has, however it is written.
ALTER TABLE operators ADD COLUMN folded text COLLATE "C";   -- the name as names are compared
ALTER TABLE operators ADD COLUMN disabled_at bigint;
UPDATE operators SET folded = lower(name);                  -- there was one so far, the admin of the founding
CREATE UNIQUE INDEX operators_named ON operators (tenant_id, folded);
CREATE INDEX access_tokens_of ON access_tokens (tenant_id, operator_id) WHERE ended_at IS NULL;
