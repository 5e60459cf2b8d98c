-- Who does what only one node may do at a time, and until when it is theirs.
CREATE TABLE lease (
  name TEXT PRIMARY KEY,
  owner BYTEA NOT NULL,
  until BIGINT NOT NULL
);
