-- Bots are identities; this is what only they have, as JSON: it is replaced as a whole.
ALTER TABLE identity ADD COLUMN configuration TEXT;
ALTER TABLE app_instance ADD COLUMN bot_count BIGINT NOT NULL DEFAULT 0;

-- The devices of a user. The digest is of the app instance, the push application and the device token together,
-- because these are too long for an index.
CREATE TABLE endpoint (
  owner BYTEA NOT NULL,
  key BYTEA NOT NULL,
  device BYTEA NOT NULL,
  name TEXT,
  kind TEXT NOT NULL,
  resource TEXT NOT NULL,
  device_token TEXT NOT NULL,
  voip_device_token TEXT,
  allow_messages TEXT NOT NULL,
  status TEXT NOT NULL,
  status_reason TEXT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (owner, key)
);
CREATE INDEX endpoint_by_device ON endpoint (device);

-- What is deleted and not yet destroyed: an identity that has still to leave its channels, and all that is left of
-- an app instance.
ALTER TABLE identity ADD COLUMN leaving BIGINT;
ALTER TABLE app_instance ADD COLUMN deleted_at BIGINT;
CREATE INDEX identity_leaving ON identity (key) WHERE leaving IS NOT NULL;
CREATE INDEX identity_deleted ON identity (app_instance, key) WHERE deleted_at IS NOT NULL;
CREATE INDEX identity_expiring ON identity (key) WHERE expiration_days IS NOT NULL AND deleted_at IS NULL;
