-- The oldest version that a node must know to serve a store of this one; where nothing stands, this one itself.
ALTER TABLE migration ADD COLUMN needs BIGINT;
