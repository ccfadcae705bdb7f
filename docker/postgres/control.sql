-- The control database: the runbooks' own, which no application owns and no restore replaces. Run by the agent, as the
-- superuser, when a database system is made, and on a primary where something of it is missing. Run again, it changes nothing.
\getenv ha_user VELOZ_PG_HA_USER
\getenv repl_user VELOZ_PG_REPL_USER
\getenv control VELOZ_PG_CONTROL_DATABASE
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
