REVOKE ALL ON ALL FUNCTIONS IN SCHEMA "{schema}" FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "{schema}".make_room TO "{schema}_writer", "{schema}_retention";

GRANT SELECT ON ALL TABLES IN SCHEMA "{schema}" TO "{schema}_auditor", "{schema}_writer", "{schema}_retention";

GRANT INSERT ON
    "{schema}".log, "{schema}".head, "{schema}".leaf, "{schema}".payload, "{schema}".record, "{schema}".tile,
    "{schema}".checkpoint, "{schema}".blob, "{schema}".stream_head, "{schema}".lookup, "{schema}".due, "{schema}".lease
    TO "{schema}_writer", "{schema}_retention";
GRANT UPDATE (size, root, frontier, lazy) ON "{schema}".head TO "{schema}_writer", "{schema}_retention";
GRANT UPDATE ON "{schema}".stream_head, "{schema}".due, "{schema}".lease TO "{schema}_writer", "{schema}_retention";
GRANT DELETE ON "{schema}".due, "{schema}".lease TO "{schema}_writer", "{schema}_retention";
GRANT USAGE ON SEQUENCE "{schema}".lease_fence TO "{schema}_writer", "{schema}_retention";

-- Retention also removes payloads, with the look-up entries that lead to them, and writes projections anew.
GRANT DELETE ON "{schema}".payload, "{schema}".lookup, "{schema}".stream_head TO "{schema}_retention";
