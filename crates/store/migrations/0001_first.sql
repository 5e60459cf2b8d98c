-- Three column types: TEXT, BIGINT (times in milliseconds, flags as 0 and 1), BYTEA (keys).
-- Every table that grows leads with the key that a distributed engine can spread it by.

CREATE TABLE setting (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
);

CREATE TABLE app_instance (
  key BYTEA PRIMARY KEY,
  name TEXT NOT NULL,
  metadata TEXT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  user_count BIGINT NOT NULL,
  admin_count BIGINT NOT NULL,
  channel_count BIGINT NOT NULL,
  elastic_channel_count BIGINT NOT NULL
);

-- Users and bots. A deleted one stays, so that old messages keep the sender's last name.
CREATE TABLE identity (
  key BYTEA PRIMARY KEY,
  app_instance BYTEA NOT NULL,
  kind TEXT NOT NULL,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  metadata TEXT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  expiration_days BIGINT,
  expiration_criterion TEXT,
  admin_since BIGINT,
  membership_count BIGINT NOT NULL,
  deleted_at BIGINT
);
CREATE UNIQUE INDEX identity_by_id ON identity (app_instance, kind, id) WHERE deleted_at IS NULL;

CREATE TABLE channel (
  key BYTEA PRIMARY KEY,
  app_instance BYTEA NOT NULL,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  mode TEXT NOT NULL,
  privacy TEXT NOT NULL,
  metadata TEXT,
  created_by BYTEA NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  last_message_at BIGINT,
  sequence BIGINT NOT NULL,
  clock BIGINT NOT NULL,
  member_count BIGINT NOT NULL,
  maximum_sub_channels BIGINT,
  target_memberships_per_sub_channel BIGINT,
  minimum_membership_percentage BIGINT,
  expiration_days BIGINT,
  expiration_criterion TEXT,
  deleted_at BIGINT
);
CREATE UNIQUE INDEX channel_by_id ON channel (app_instance, id) WHERE deleted_at IS NULL;
CREATE INDEX channel_by_privacy ON channel (app_instance, privacy, id) WHERE deleted_at IS NULL;

-- The sub-channels of elastic channels. An ordinary channel is its own, without a row here.
CREATE TABLE sub_channel (
  channel BYTEA NOT NULL,
  key BYTEA NOT NULL,
  created_at BIGINT NOT NULL,
  regular_count BIGINT NOT NULL,
  PRIMARY KEY (channel, key)
);

CREATE TABLE membership (
  channel BYTEA NOT NULL,
  member BYTEA NOT NULL,
  sub_channel BYTEA NOT NULL,
  kind TEXT NOT NULL,
  invited_by BYTEA NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  last_target_at BIGINT,
  PRIMARY KEY (channel, member, sub_channel)
);
CREATE INDEX membership_by_member ON membership (member, channel, sub_channel);
CREATE INDEX membership_hidden ON membership (channel, member) WHERE kind = 'HIDDEN';

CREATE TABLE moderator (
  channel BYTEA NOT NULL,
  member BYTEA NOT NULL,
  created_by BYTEA NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (channel, member)
);

-- The key begins with the time and the channel's sequence, so it sorts as ListChannelMessages does.
CREATE TABLE message (
  sub_channel BYTEA NOT NULL,
  key BYTEA NOT NULL,
  channel BYTEA NOT NULL,
  sender BYTEA NOT NULL,
  target BYTEA,
  kind TEXT NOT NULL,
  persistence TEXT NOT NULL,
  status TEXT NOT NULL,
  status_detail TEXT,
  content TEXT,
  metadata TEXT,
  content_type TEXT,
  attributes TEXT,
  push_notification TEXT,
  redacted BIGINT NOT NULL,
  edited_at BIGINT,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (sub_channel, key)
);

-- What a ClientRequestToken led to.
CREATE TABLE request_token (
  owner BYTEA NOT NULL,
  operation TEXT NOT NULL,
  token TEXT NOT NULL,
  input BYTEA NOT NULL,
  result TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (owner, operation, token)
);

-- The events of every commit, in the same transaction as what they tell of.
CREATE TABLE outbox (
  channel BYTEA NOT NULL,
  sequence BIGINT NOT NULL,
  at BIGINT NOT NULL,
  kind TEXT NOT NULL,
  message_type TEXT NOT NULL,
  audience TEXT NOT NULL,
  change TEXT,
  payload TEXT NOT NULL,
  PRIMARY KEY (channel, sequence)
);
CREATE INDEX outbox_by_time ON outbox (at);

CREATE TABLE tag (
  resource TEXT NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (resource, key)
);
