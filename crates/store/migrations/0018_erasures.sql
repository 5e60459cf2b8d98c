-- What is to be erased of a person, and how much was. Who it was stands here until it is done, and no longer.
CREATE TABLE erasure (
  person BYTEA PRIMARY KEY,
  app_instance BYTEA NOT NULL,
  id TEXT,
  keeps_messages BIGINT NOT NULL,
  asked_at BIGINT NOT NULL,
  stage TEXT NOT NULL,
  begun_at BIGINT,
  held TEXT NOT NULL,
  endpoints BIGINT NOT NULL DEFAULT 0,
  messages BIGINT NOT NULL DEFAULT 0,
  unseen BIGINT NOT NULL DEFAULT 0,
  events BIGINT NOT NULL DEFAULT 0,
  outgoing BIGINT NOT NULL DEFAULT 0,
  tokens BIGINT NOT NULL DEFAULT 0,
  ended_at BIGINT
);
CREATE INDEX erasure_open ON erasure (person) WHERE ended_at IS NULL;
CREATE INDEX erasure_by_instance ON erasure (app_instance, person);
