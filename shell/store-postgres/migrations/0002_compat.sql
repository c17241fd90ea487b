-- What existing clients need.

ALTER TABLE credentials ADD COLUMN used_at bigint;     -- refresh, issued
