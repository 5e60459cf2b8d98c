-- What the nodes of a cluster told each other lately: a beat a second and node, the latest of which says that it lives.
CREATE TABLE beat (
  node BYTEA NOT NULL,
  number BIGINT NOT NULL,
  floor BIGINT NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (node, number)
);
