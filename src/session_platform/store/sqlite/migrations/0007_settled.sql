-- The events below everything that may still appear: whoever reads on by id reads here, and misses none. With one writer that is
-- all of them.
CREATE VIEW settled_outbox AS SELECT * FROM outbox;
