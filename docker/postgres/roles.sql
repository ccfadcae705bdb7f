-- Roles and the database of a new database system. Run once by the agent, as the superuser, before anybody can connect.
\getenv pg_user VELOZ_PG_USER
\getenv pg_password VELOZ_PG_PASSWORD
\getenv pg_database VELOZ_PG_DATABASE
\getenv repl_user VELOZ_PG_REPL_USER
\getenv repl_password VELOZ_PG_REPL_PASSWORD
\getenv ha_user VELOZ_PG_HA_USER
\getenv ha_password VELOZ_PG_HA_PASSWORD

-- The application's role: owns its database, may look at replication and switch the WAL segment (as the guide does).
CREATE ROLE :"pg_user" LOGIN PASSWORD :'pg_password';
GRANT pg_monitor TO :"pg_user";

-- Standbys, base backups and rewinds.
CREATE ROLE :"repl_user" LOGIN REPLICATION PASSWORD :'repl_password';

-- The control role of the runbooks and of the agents' probes: it looks, checkpoints, ends blocking sessions, manages
-- slots and decides which standbys are synchronous. It reads none of the application's rows.
CREATE ROLE :"ha_user" LOGIN REPLICATION PASSWORD :'ha_password';
-- Its rights and its database: control.sql.
CREATE DATABASE :"pg_database" OWNER :"pg_user";

-- The control role's sessions come here where the control database is missing. Rights on functions belong to each database.
\set grants 'GRANT EXECUTE ON FUNCTION pg_reload_conf(), pg_wal_replay_resume(), pg_switch_wal(), pg_ls_waldir(), pg_control_system(), pg_control_checkpoint(), pg_control_init(), pg_control_recovery() TO ' :"ha_user"
:grants;
GRANT EXECUTE ON FUNCTION pg_ls_dir(text, boolean, boolean), pg_stat_file(text, boolean), pg_read_binary_file(text), pg_read_binary_file(text, bigint, bigint, boolean) TO :"repl_user";
GRANT EXECUTE ON FUNCTION pg_switch_wal() TO :"pg_user";

\connect :pg_database
:grants;
GRANT EXECUTE ON FUNCTION pg_switch_wal() TO :"pg_user";
-- By name, so that it stays where somebody takes it from PUBLIC: with these PgBouncer keeps its clients from a standby.
GRANT EXECUTE ON ROUTINE set_config(text, text, boolean), current_setting(text), pg_is_in_recovery(), pg_sleep(double precision), pg_backend_pid(), pg_terminate_backend(integer, bigint), count(), int4pl(integer, integer), int4lt(integer, integer) TO :"pg_user";
-- What a canary, or a client's first try, writes goes into the owner's schema.
ALTER SCHEMA public OWNER TO :"pg_user";
