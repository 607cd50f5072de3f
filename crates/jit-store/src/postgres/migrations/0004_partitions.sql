-- Makes partitions for all indexes below `upto`. Called under the head's lock, in the transaction whose batch needs them.
-- A partition is made alone and then attached, which does not keep readers waiting.
CREATE FUNCTION "{schema}".make_room(upto bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, "{schema}", pg_temp AS $$
DECLARE
    parent text;
    part text;
    edge bigint;
    now bigint;
    step bigint;
BEGIN
    SELECT head.room, head.size, log.partition_rows INTO STRICT edge, now, step FROM head JOIN log USING (one)
        FOR UPDATE OF head;
    -- More than any batch; who may append may not fill the catalogue.
    IF upto > now + 1048576 THEN
        RAISE EXCEPTION 'room up to % is more than a batch needs at %', upto, now USING ERRCODE = 'insufficient_privilege';
    END IF;
    WHILE edge < upto LOOP
        FOREACH parent IN ARRAY ARRAY['leaf', 'payload', 'lookup'] LOOP
            part := format('%s_%s', parent, edge / step);
            EXECUTE format('CREATE TABLE "{schema}".%I (LIKE "{schema}".%I INCLUDING ALL)', part, parent);
            IF parent <> 'lookup' THEN
                EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON "{schema}".%I FOR EACH STATEMENT '
                    'EXECUTE FUNCTION "{schema}".refuse()', part);
            END IF;
            IF parent = 'payload' THEN
                EXECUTE format('CREATE TRIGGER note_removal AFTER DELETE ON "{schema}".%I REFERENCING OLD TABLE AS gone '
                    'FOR EACH STATEMENT EXECUTE FUNCTION "{schema}".note_removal()', part);
            END IF;
            EXECUTE format('ALTER TABLE "{schema}".%I ATTACH PARTITION "{schema}".%I FOR VALUES FROM (%s) TO (%s)',
                parent, part, edge, edge + step);
        END LOOP;
        edge := edge + step;
    END LOOP;
    UPDATE head SET room = edge;
END
$$;
