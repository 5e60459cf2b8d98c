-- The rows by which the writes of a lane wait for those of the same lane on other nodes: of an app instance, and of zeros
-- for the account.
CREATE TABLE lane (
  key BYTEA PRIMARY KEY
);
