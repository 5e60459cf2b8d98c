-- How far the balancing of elastic channels has come; everything that it needs to go on after a crash.
ALTER TABLE channel ADD COLUMN sub_channel_count BIGINT NOT NULL DEFAULT 0;
UPDATE channel SET sub_channel_count = (SELECT COUNT(*) FROM sub_channel s WHERE s.channel = channel.key)
WHERE maximum_sub_channels IS NOT NULL;

-- Taken are the places of the regular members, and of those who are on their way from one that drains into it.
ALTER TABLE sub_channel ADD COLUMN taken BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sub_channel ADD COLUMN moderator_count BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sub_channel ADD COLUMN is_open BIGINT NOT NULL DEFAULT 1;
ALTER TABLE sub_channel ADD COLUMN task TEXT;
ALTER TABLE sub_channel ADD COLUMN receiver BYTEA;
UPDATE sub_channel SET taken = regular_count, moderator_count = (
  SELECT COUNT(*) FROM moderator o JOIN membership m ON m.channel = o.channel AND m.member = o.member
  WHERE o.channel = sub_channel.channel AND m.sub_channel = sub_channel.key);
CREATE INDEX sub_channel_by_room ON sub_channel (channel, is_open, taken DESC, created_at, key);
CREATE INDEX sub_channel_busy ON sub_channel (channel, key) WHERE task IS NOT NULL;

-- Only of elastic channels: the members of an ordinary one are found by the primary key.
CREATE INDEX membership_by_sub_channel ON membership (channel, sub_channel, member) WHERE sub_channel <> channel;

ALTER TABLE outbox ADD COLUMN reason TEXT;
