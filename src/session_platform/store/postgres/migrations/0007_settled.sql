-- The events below everything that may still appear: whoever reads on by id reads here, and misses none.
CREATE VIEW settled_outbox AS SELECT * FROM outbox WHERE id < log_edge();
