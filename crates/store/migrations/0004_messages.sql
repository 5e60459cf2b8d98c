-- The message that an event changed. The event of a new message has the number that the message's key holds, so the
-- index holds only what changed a message, and costs a send nothing.
ALTER TABLE outbox ADD COLUMN message BYTEA;
CREATE INDEX outbox_by_message ON outbox (channel, message) WHERE message IS NOT NULL;

-- Where the events of an app instance are streamed to: one row for each type of data.
CREATE TABLE streaming_configuration (
  app_instance BYTEA NOT NULL,
  data_type TEXT NOT NULL,
  resource TEXT NOT NULL,
  PRIMARY KEY (app_instance, data_type)
);

-- Processors are JSON: they are replaced together and never looked for one by one.
CREATE TABLE channel_flow (
  app_instance BYTEA NOT NULL,
  key BYTEA NOT NULL,
  name TEXT NOT NULL,
  processors TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (app_instance, key)
);
ALTER TABLE channel ADD COLUMN flow BYTEA;
CREATE INDEX channel_by_flow ON channel (flow, id) WHERE flow IS NOT NULL AND deleted_at IS NULL;
