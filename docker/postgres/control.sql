-- The control database: the runbooks' own, which no application owns and no restore replaces. Run by the agent, as the
-- superuser, when a database system is made, and on a primary where something of it is missing. Run again, it changes nothing.
\getenv ha_user VELOZ_PG_HA_USER
\getenv repl_user VELOZ_PG_REPL_USER
\getenv control VELOZ_PG_CONTROL_DATABASE
\getenv called VELOZ_PG_CALLED
\getenv read VELOZ_PG_READ
SELECT current_setting('server_version_num')::int >= 170000 AS has_event_triggers \gset

-- template1 may hold anything, and may be in use.
SELECT format('CREATE DATABASE %I TEMPLATE template0 ENCODING ''UTF8'' LOCALE_PROVIDER libc LOCALE ''C''', :'control')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'control') \gexec
ALTER DATABASE :"control" WITH ALLOW_CONNECTIONS true CONNECTION LIMIT -1;
REVOKE ALL ON DATABASE :"control" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"control" TO :"ha_user", :"repl_user";

-- What only a superuser may set, and a session can't ask for itself. The settings of a role in a database win over those of
-- either, and of the server. The empty list comes from the environment of the session that runs this.
ALTER ROLE :"ha_user" IN DATABASE :"control" SET session_preload_libraries FROM CURRENT;
ALTER ROLE :"repl_user" IN DATABASE :"control" SET session_preload_libraries FROM CURRENT;
ALTER ROLE :"ha_user" IN DATABASE :"control" SET lc_messages = 'C';
ALTER ROLE :"ha_user" IN DATABASE :"control" SET max_stack_depth = '2MB';
-- What the guard's own write waits for is asked of the server, and since when its sessions do something.
ALTER ROLE :"ha_user" IN DATABASE :"control" SET track_activities = on;
\if :has_event_triggers
ALTER ROLE :"ha_user" IN DATABASE :"control" SET event_triggers = off;
ALTER ROLE :"repl_user" IN DATABASE :"control" SET event_triggers = off;
\endif
-- Sessions ask for this themselves; here for those that a person opens as the control role, in whichever database.
ALTER ROLE :"ha_user" SET search_path = pg_catalog, pg_temp;

GRANT pg_monitor, pg_checkpoint, pg_signal_backend, pg_use_reserved_connections TO :"ha_user";
GRANT ALTER SYSTEM ON PARAMETER synchronous_standby_names TO :"ha_user";

\connect :control
-- Rights on functions belong to each database.
GRANT EXECUTE ON FUNCTION pg_reload_conf(), pg_wal_replay_resume(), pg_switch_wal(), pg_ls_waldir(), pg_control_system(), pg_control_checkpoint(), pg_control_init(), pg_control_recovery() TO :"ha_user";
GRANT EXECUTE ON FUNCTION pg_ls_dir(text, boolean, boolean), pg_stat_file(text, boolean), pg_read_binary_file(text), pg_read_binary_file(text, bigint, bigint, boolean) TO :"repl_user";

-- What PUBLIC may do in a server as it is made, and somebody takes from it: the agent's list by name, before that, and whatever
-- else is missing. Each in one statement, and only where something is.
SELECT format('GRANT EXECUTE ON ROUTINE %s TO %I', string_agg(DISTINCT p.oid::regprocedure::text, ', '), r.rolname)
FROM pg_proc p, pg_roles r
WHERE r.rolname IN (:'ha_user', :'repl_user') AND p.pronamespace = 'pg_catalog'::regnamespace AND p.oid < 16384
  AND (p.proname = ANY (string_to_array(:'called', ',')) AND NOT EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = r.oid)
    OR p.proacl IS NOT NULL AND NOT has_function_privilege(r.oid, p.oid, 'EXECUTE'))
  AND NOT EXISTS (SELECT FROM pg_init_privs i WHERE i.classoid = 'pg_proc'::regclass AND i.objoid = p.oid)
GROUP BY r.rolname \gexec
SELECT format('GRANT SELECT ON %s TO %I', string_agg(DISTINCT 'pg_catalog.' || quote_ident(c.relname), ', '), r.rolname)
FROM pg_class c, pg_roles r
WHERE r.rolname IN (:'ha_user', :'repl_user') AND c.relnamespace = 'pg_catalog'::regnamespace AND c.oid < 16384 AND c.relkind IN ('r', 'v')
  AND (c.relname = ANY (string_to_array(:'read', ',')) AND NOT EXISTS (SELECT FROM aclexplode(c.relacl) a WHERE a.grantee = r.oid)
    OR NOT has_table_privilege(r.oid, c.oid, 'SELECT'))
  AND EXISTS (SELECT FROM pg_init_privs i, aclexplode(i.initprivs) a WHERE i.classoid = 'pg_class'::regclass
    AND i.objoid = c.oid AND i.objsubid = 0 AND a.grantee = 0 AND a.privilege_type = 'SELECT')
GROUP BY r.rolname \gexec
GRANT USAGE ON SCHEMA pg_catalog TO :"ha_user", :"repl_user";

-- Who became primary, when, and by which run. An epoch is taken once.
CREATE SCHEMA IF NOT EXISTS veloz_ha AUTHORIZATION :"ha_user";
CREATE TABLE IF NOT EXISTS veloz_ha.epoch (
    epoch bigint PRIMARY KEY,
    node text NOT NULL,
    timeline int NOT NULL,
    run text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE veloz_ha.epoch OWNER TO :"ha_user";
GRANT ALL ON SCHEMA veloz_ha TO :"ha_user";
GRANT ALL ON veloz_ha.epoch TO :"ha_user";
