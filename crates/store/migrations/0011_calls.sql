-- The function that is to be called with a message now; nothing where none is. A lease moves `due_at` to its end, so
-- what can be called is read in its order, from the index, and nothing else is.
ALTER TABLE in_flight ADD COLUMN function TEXT;
UPDATE in_flight SET function = '?' WHERE phase = 'HAND_OVER';
CREATE INDEX in_flight_to_call ON in_flight (function, due_at) WHERE function IS NOT NULL;
ALTER TABLE in_flight DROP COLUMN lease_until;

-- What one sender said in one place: what a rate counts.
CREATE INDEX in_flight_by_sender ON in_flight (sub_channel, sender, message);
