-- Run before every migration, so that there are an owner to own what migrations make and a table to record them in.
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['{schema}_owner', '{schema}_writer', '{schema}_auditor', '{schema}_retention'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- Roles are shared by all databases of a server, and another one may have made it meanwhile.
            END;
        END IF;
    END LOOP;
    -- From version 16 on, who makes a role may administer it, and act as it only after granting it to himself.
    IF NOT pg_has_role(current_user, '{schema}_owner',
                       CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END) THEN
        EXECUTE format('GRANT %I TO %I', '{schema}_owner', current_user);
    END IF;
END
$$;

CREATE SCHEMA IF NOT EXISTS "{schema}" AUTHORIZATION "{schema}_owner";

SET LOCAL ROLE "{schema}_owner";

CREATE TABLE IF NOT EXISTS "{schema}".migration (
    version integer PRIMARY KEY,
    name text NOT NULL,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

GRANT USAGE ON SCHEMA "{schema}" TO "{schema}_writer", "{schema}_auditor", "{schema}_retention";
GRANT SELECT ON "{schema}".migration TO "{schema}_writer", "{schema}_auditor", "{schema}_retention";
