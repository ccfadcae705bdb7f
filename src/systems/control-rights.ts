/*
 * Rights that PUBLIC has in a server as it is made, and that somebody who hardens a server takes from it. The primary's agent grants them
 * to the control role by name, in the control database; its own list (docker/agent/veloz_agent/control_database.py) holds these, too.
 */

/** What the worker's sessions call by name, directly or by a view. What only the owner of a server may call is not among them. */
export const called = [
  'clock_timestamp',
  'concat_ws',
  'count',
  'current_database',
  'current_setting',
  'div',
  'extract',
  'format',
  'generate_series',
  'inet_server_addr',
  'json_agg',
  'json_build_object',
  'json_object_agg',
  'lower',
  'lpad',
  'max',
  'mod',
  'now',
  'pg_backend_pid',
  'pg_create_physical_replication_slot',
  'pg_current_wal_flush_lsn',
  'pg_current_wal_lsn',
  'pg_database_size',
  'pg_drop_replication_slot',
  'pg_get_replication_slots',
  'pg_get_wal_replay_pause_state',
  'pg_has_role',
  'pg_is_in_recovery',
  'pg_is_wal_replay_paused',
  'pg_last_wal_receive_lsn',
  'pg_last_wal_replay_lsn',
  'pg_lock_status',
  'pg_logical_emit_message',
  'pg_prepared_xact',
  'pg_show_all_settings',
  'pg_size_bytes',
  'pg_stat_get_activity',
  'pg_stat_get_archiver',
  'pg_stat_get_progress_info',
  'pg_stat_get_wal_receiver',
  'pg_stat_get_wal_senders',
  'pg_terminate_backend',
  'pg_wal_lsn_diff',
  'pg_walfile_name',
  'set_config',
  'split_part',
  'substr',
  'sum',
  'to_hex',
  'to_jsonb',
  'unnest',
  'upper',
];

/** Rows `what`: calls that are refused to the session's own role, as `call NAME(TYPES)`. A function with rights of its own from the start is left out. */
export const callsRefused = `SELECT 'call ' || p.oid::regprocedure AS what FROM pg_proc p
    WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.oid < 16384 AND p.proacl IS NOT NULL
      AND p.proname = ANY ('{${called.join(',')}}'::name[]) AND NOT has_function_privilege(p.oid, 'EXECUTE')
      AND NOT EXISTS (SELECT FROM pg_init_privs i WHERE i.classoid = 'pg_proc'::regclass AND i.objoid = p.oid)`;
