-- Who left by an event: they have no membership any more that would lead them to it.
ALTER TABLE outbox ADD COLUMN departed BYTEA;
CREATE INDEX outbox_by_departed ON outbox (departed, at) WHERE departed IS NOT NULL;

-- When a channel of theirs was destroyed last, and with it the event that would have told them so.
ALTER TABLE identity ADD COLUMN bereft_at BIGINT;
