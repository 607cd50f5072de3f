-- What nobody may do, not even the owner as long as the triggers are enabled.

CREATE FUNCTION "{schema}".refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: evidence is inserted only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON "{schema}".log FOR EACH ROW EXECUTE FUNCTION "{schema}".refuse();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON "{schema}".leaf FOR EACH ROW EXECUTE FUNCTION "{schema}".refuse();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON "{schema}".record FOR EACH ROW EXECUTE FUNCTION "{schema}".refuse();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON "{schema}".tile FOR EACH ROW EXECUTE FUNCTION "{schema}".refuse();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON "{schema}".checkpoint FOR EACH ROW EXECUTE FUNCTION "{schema}".refuse();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON "{schema}".blob FOR EACH ROW EXECUTE FUNCTION "{schema}".refuse();
CREATE TRIGGER refuse_change BEFORE UPDATE ON "{schema}".payload FOR EACH ROW EXECUTE FUNCTION "{schema}".refuse();
CREATE TRIGGER refuse_delete BEFORE DELETE ON "{schema}".head FOR EACH ROW EXECUTE FUNCTION "{schema}".refuse();

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON "{schema}".log FOR EACH STATEMENT EXECUTE FUNCTION "{schema}".refuse();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON "{schema}".head FOR EACH STATEMENT EXECUTE FUNCTION "{schema}".refuse();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON "{schema}".leaf FOR EACH STATEMENT EXECUTE FUNCTION "{schema}".refuse();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON "{schema}".payload FOR EACH STATEMENT EXECUTE FUNCTION "{schema}".refuse();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON "{schema}".record FOR EACH STATEMENT EXECUTE FUNCTION "{schema}".refuse();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON "{schema}".tile FOR EACH STATEMENT EXECUTE FUNCTION "{schema}".refuse();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON "{schema}".checkpoint FOR EACH STATEMENT EXECUTE FUNCTION "{schema}".refuse();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON "{schema}".blob FOR EACH STATEMENT EXECUTE FUNCTION "{schema}".refuse();

CREATE FUNCTION "{schema}".head_grows() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.size < OLD.size OR (NEW.size = OLD.size AND NEW.root <> OLD.root) OR NEW.room < OLD.room THEN
        RAISE EXCEPTION 'the head may only grow: % to %', OLD.size, NEW.size USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER head_grows BEFORE UPDATE ON "{schema}".head FOR EACH ROW EXECUTE FUNCTION "{schema}".head_grows();
