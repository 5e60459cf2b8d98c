-- The index for searches in messages. It only says which messages are worth a look, and can be made anew of them.

-- The app instances that have one, and how far the walk over their channels has come: after this id.
CREATE TABLE search_instance (
  app_instance BYTEA PRIMARY KEY,
  since BIGINT NOT NULL,
  is_ending BIGINT NOT NULL,
  after TEXT NOT NULL,
  walked BIGINT NOT NULL,
  ended_at BIGINT
);
-- Up to which message a place is taken in, and what number its channel had then. Whoever writes takes the next turn.
CREATE TABLE search_place (
  place BYTEA PRIMARY KEY,
  channel BYTEA NOT NULL,
  version BIGINT NOT NULL,
  position BYTEA NOT NULL,
  sequence BIGINT NOT NULL,
  turn BIGINT NOT NULL
);
-- Runs of messages: a head, which is part -1, and parts of terms.
CREATE TABLE search_run (
  place BYTEA NOT NULL,
  level BIGINT NOT NULL,
  part BIGINT NOT NULL,
  run BIGINT NOT NULL,
  least BIGINT NOT NULL,
  greatest BIGINT NOT NULL,
  body BYTEA NOT NULL,
  PRIMARY KEY (place, level, part, run)
);
-- Messages that were changed, and how often, since they were taken in, or may have been.
CREATE TABLE search_late (
  place BYTEA NOT NULL,
  message BYTEA NOT NULL,
  times BIGINT NOT NULL,
  PRIMARY KEY (place, message)
);
