-- Payloads are deleted only together with a record that says so, and never under a hold. Only what is in the log says anything: a
-- row below the head, whose leaf is that of its header.

-- What was deleted in this transaction and is yet to be checked, one row for each statement.
CREATE TABLE "{schema}".removal (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    indexes int8multirange NOT NULL
);

CREATE FUNCTION "{schema}".note_removal() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, "{schema}", pg_temp AS $$
BEGIN
    INSERT INTO removal (indexes)
    SELECT range_agg(int8range(idx, idx, '[]')) FROM gone HAVING count(*) > 0;
    RETURN NULL;
END
$$;

CREATE TRIGGER note_removal AFTER DELETE ON "{schema}".payload REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION "{schema}".note_removal();

-- Compiling the queries takes a thousand times as long as running them.
CREATE FUNCTION "{schema}".check_removal() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, "{schema}", pg_temp SET jit = off AS $$
DECLARE
    -- The keys of streams `gov` and `erasure`.
    gov CONSTANT bytea := '\x{gov}';
    erasure CONSTANT bytea := '\x{erasure}';
    wrong bigint;
BEGIN
    DELETE FROM removal WHERE id = NEW.id;

    WITH gone AS (
        SELECT i.idx, l.leaf, convert_from(l.header, 'UTF8')::jsonb ->> 'retain' AS class
        FROM unnest(NEW.indexes) AS r (range)
            CROSS JOIN LATERAL generate_series(lower(r.range), upper(r.range) - 1) AS i (idx)
            LEFT JOIN LATERAL (SELECT leaf, header FROM leaf WHERE leaf.idx = i.idx LIMIT 1) AS l ON true
    ), fresh AS MATERIALIZED (
        -- No batch has more records than are looked at here.
        SELECT h ->> 'kind' AS kind, h -> 'facts' AS facts
        FROM (
            SELECT convert_from(header, 'UTF8')::jsonb AS h FROM leaf
            WHERE stream = erasure AND n >= (SELECT next - 65536 FROM stream_head WHERE stream = erasure)
                AND idx >= (SELECT size - 65536 FROM head) AND idx < (SELECT size FROM head)
                AND xmin = pg_current_xact_id()::xid AND leaf = sha256('\x00'::bytea || header)
        ) AS of_this_transaction
    ), purged AS MATERIALIZED (
        SELECT facts ->> 'class' AS class, range_agg(int8range((r ->> 'start')::bigint, (r ->> 'end')::bigint)) AS indexes
        FROM fresh CROSS JOIN LATERAL jsonb_array_elements(facts -> 'ranges') AS r
        WHERE kind = 'purge.executed' GROUP BY 1
    ), erased AS MATERIALIZED (
        SELECT facts ->> 'leaf' AS leaf FROM fresh WHERE kind = 'field.erased'
    )
    SELECT min(idx) INTO wrong FROM gone
    WHERE NOT EXISTS (SELECT FROM purged WHERE purged.class = gone.class AND purged.indexes @> gone.idx)
        AND NOT EXISTS (SELECT FROM erased WHERE erased.leaf = 'sha256:' || encode(gone.leaf, 'hex'));
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'payload % was deleted without a record of this transaction that covers it', wrong
            USING ERRCODE = 'insufficient_privilege';
    END IF;

    WITH told AS MATERIALIZED (
        SELECT h ->> 'kind' AS kind, h -> 'facts' ->> 'hold' AS hold, h -> 'facts' AS facts
        FROM (
            SELECT convert_from(header, 'UTF8')::jsonb AS h FROM leaf
            WHERE stream = gov AND n >= 0 AND position('"kind":"hold.'::bytea IN header) > 0
                AND idx < (SELECT size FROM head) AND leaf = sha256('\x00'::bytea || header)
        ) AS of_holds
    ), hold AS MATERIALIZED (
        SELECT hold, facts -> 'selector' AS selector FROM told AS placed
        WHERE kind = 'hold.placed'
            AND NOT EXISTS (SELECT FROM told WHERE told.kind = 'hold.released' AND told.hold = placed.hold)
    ), gone AS (
        SELECT i.idx, l.h ->> 'stream' AS stream, l.h ->> 'retain' AS class, l.h ->> 'kind' AS kind,
            (l.h ->> 'at') COLLATE "C" AS at
        FROM unnest(NEW.indexes) AS r (range)
            CROSS JOIN LATERAL generate_series(lower(r.range), upper(r.range) - 1) AS i (idx)
            CROSS JOIN LATERAL (
                SELECT convert_from(header, 'UTF8')::jsonb AS h FROM leaf WHERE leaf.idx = i.idx LIMIT 1
            ) AS l
        WHERE EXISTS (SELECT FROM hold)
    )
    SELECT min(gone.idx) INTO wrong FROM gone JOIN hold ON true
    WHERE (
            hold.selector -> 'streams' IS NULL
            OR hold.selector -> 'streams' ? gone.stream
            OR EXISTS (
                SELECT FROM told
                WHERE told.kind = 'hold.extended' AND told.hold = hold.hold AND told.facts ->> 'stream' = gone.stream
            )
        )
        AND (hold.selector -> 'class' IS NULL OR hold.selector ->> 'class' = gone.class)
        AND (hold.selector -> 'kinds' IS NULL OR hold.selector -> 'kinds' ? gone.kind)
        -- Times have one length and zone, so they compare as texts.
        AND (hold.selector -> 'from' IS NULL OR hold.selector ->> 'from' <= gone.at)
        AND (hold.selector -> 'until' IS NULL OR gone.at < hold.selector ->> 'until');
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'payload % is under a hold', wrong USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER check_removal AFTER INSERT ON "{schema}".removal DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION "{schema}".check_removal();
