-- What is to leave the server: records of streams, pushes, calls of bots, events. The shard, a few bits of the channel's
-- key, leads, so that many write side by side; within the shard each queue holds a channel's rows in their order.
CREATE TABLE outgoing (
  shard BIGINT NOT NULL,
  queue TEXT NOT NULL,
  channel BYTEA NOT NULL,
  sequence BIGINT NOT NULL,
  part BIGINT NOT NULL,
  at BIGINT NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (shard, queue, channel, sequence, part)
);
