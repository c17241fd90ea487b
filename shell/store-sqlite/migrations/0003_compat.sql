-- What existing clients need.

ALTER TABLE credentials ADD COLUMN used_at INTEGER;    -- refresh, issued

PRAGMA user_version = 3;
