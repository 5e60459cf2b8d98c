-- Bans, preferences, read markers, and what the jobs on channels walk along.

CREATE TABLE ban (
  channel BYTEA NOT NULL,
  member BYTEA NOT NULL,
  created_by BYTEA NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (channel, member)
);
CREATE INDEX ban_by_member ON ban (member, channel);
CREATE INDEX moderator_by_member ON moderator (member, channel);

ALTER TABLE membership ADD COLUMN read_at BIGINT;
ALTER TABLE membership ADD COLUMN allow_notifications TEXT;
ALTER TABLE membership ADD COLUMN filter_rule TEXT;

CREATE INDEX channel_expiring ON channel (key) WHERE expiration_days IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX channel_deleted ON channel (key) WHERE deleted_at IS NOT NULL;
