-- Besides `departed`, a second whom an event tells though no membership may lead to it: of a message to a target, both
-- its sender and its target may have left.
ALTER TABLE outbox ADD COLUMN named BYTEA;
CREATE INDEX outbox_by_named ON outbox (named, at) WHERE named IS NOT NULL;
