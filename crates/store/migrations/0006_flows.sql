-- Whether the channel was shown a message; before that, it is its sender's alone.
ALTER TABLE message ADD COLUMN released BIGINT NOT NULL DEFAULT 1;

-- Messages in channel flows, and for a while the outcomes. One row for each message at most: a later edit replaces
-- what is left of an earlier one. What was said and what processors made of it are JSON, erased at the end.
CREATE TABLE in_flight (
  channel BYTEA NOT NULL,
  run BYTEA NOT NULL,
  sub_channel BYTEA NOT NULL,
  message BYTEA NOT NULL,
  operation TEXT NOT NULL,
  persistence TEXT NOT NULL,
  sender BYTEA NOT NULL,
  target BYTEA,
  said TEXT NOT NULL,
  revised TEXT,
  processors TEXT NOT NULL,
  stage BIGINT NOT NULL,
  secret BYTEA NOT NULL,
  answered TEXT NOT NULL,
  phase TEXT NOT NULL,
  status TEXT NOT NULL,
  detail TEXT,
  accepted_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  attempts BIGINT NOT NULL,
  tried_since BIGINT,
  due_at BIGINT NOT NULL,
  lease BYTEA,
  lease_until BIGINT NOT NULL,
  PRIMARY KEY (channel, run)
);
CREATE UNIQUE INDEX in_flight_by_message ON in_flight (sub_channel, message);
CREATE INDEX in_flight_due ON in_flight (phase, due_at);
