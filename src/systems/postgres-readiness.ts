import type { SqlReadiness } from '../cluster/readiness/observed';
import type { PostgresSession } from './postgres';

/** Settings that readiness compares between nodes, or holds against a limit. */
const settingNames = [
  'max_connections',
  'max_worker_processes',
  'max_wal_senders',
  'max_prepared_transactions',
  'max_locks_per_transaction',
  'max_replication_slots',
  'max_standby_streaming_delay',
  'max_standby_archive_delay',
  'hot_standby_feedback',
  'wal_level',
  'hot_standby',
  'port',
  'listen_addresses',
  'hba_file',
  'default_transaction_read_only',
  'synchronous_commit',
];

/**
 * One statement on the node alone. Columns that only later versions have are read by way of JSON, and what the role may not see
 * is null: a missing right never breaks the question.
 */
const question = `
SELECT json_build_object(
  'inRecovery', r.recovering,
  'pendingRestart', (SELECT coalesce(json_agg(name ORDER BY name), '[]') FROM pg_settings WHERE pending_restart),
  'defaults', (SELECT json_object_agg(name, boot_val) FROM pg_settings WHERE name = ANY ($1::text[])),
  'settings', (SELECT json_object_agg(name, setting) FROM pg_settings WHERE name = ANY ($1::text[])),
  'replay', CASE WHEN r.recovering THEN json_build_object(
      'pauseState', pg_get_wal_replay_pause_state(),
      'waitsFor', (SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup'),
      'behindBytes', greatest(coalesce(pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), 0), 0)::bigint) END,
  'oldestReader', (SELECT json_build_object('pid', pid, 'user', usename, 'application', application_name,
      'ageMs', (extract(epoch FROM clock_timestamp() - xact_start) * 1000)::bigint)
    FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
      AND application_name NOT LIKE 'veloz-ha%'
    ORDER BY xact_start LIMIT 1),
  'slots', (SELECT coalesce(json_agg(json_build_object('name', s.slot_name, 'type', s.slot_type, 'active', s.active,
      'walStatus', s.wal_status, 'safeBytes', s.safe_wal_size, 'database', s.database, 'plugin', s.plugin,
      'invalidation', to_jsonb(s) ->> 'invalidation_reason',
      'failover', coalesce((to_jsonb(s) ->> 'failover')::boolean, false),
      'synced', coalesce((to_jsonb(s) ->> 'synced')::boolean, false), 'temporary', s.temporary,
      'retainedBytes', coalesce(pg_wal_lsn_diff(CASE WHEN r.recovering THEN pg_last_wal_replay_lsn()
        ELSE pg_current_wal_lsn() END, s.restart_lsn), 0)::bigint) ORDER BY s.slot_name), '[]')
    FROM pg_replication_slots s),
  'senders', (SELECT coalesce(json_agg(json_build_object('pid', a.pid, 'application', a.application_name, 'user', a.usename,
      'slot', s.slot_name, 'slotType', s.slot_type, 'state', a.state,
      'behindBytes', CASE WHEN NOT r.recovering
        THEN greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce(a.flush_lsn, a.write_lsn)), 0)::bigint END,
      'replyAgeMs', greatest((extract(epoch FROM clock_timestamp() - a.reply_time) * 1000)::bigint, 0)) ORDER BY a.pid), '[]')
    FROM pg_stat_replication a LEFT JOIN pg_replication_slots s ON s.active_pid = a.pid),
  'replicationRoles', (SELECT coalesce(json_agg(json_build_object('name', o.rolname, 'canLogin', o.rolcanlogin,
      'canReplicate', o.rolreplication OR o.rolsuper,
      'connectionLimit', CASE WHEN o.rolsuper THEN -1 ELSE o.rolconnlimit END,
      'validForMs', CASE WHEN o.rolvaliduntil < 'infinity'
        THEN (extract(epoch FROM o.rolvaliduntil - clock_timestamp()) * 1000)::bigint END) ORDER BY o.rolname), '[]')
    FROM pg_roles o WHERE o.oid IN (SELECT a.usesysid FROM pg_stat_replication a)),
  'readOnlySettings', (SELECT coalesce(json_agg(json_build_object('role', o.rolname, 'database', d.datname)), '[]')
    FROM pg_db_role_setting x LEFT JOIN pg_roles o ON o.oid = x.setrole LEFT JOIN pg_database d ON d.oid = x.setdatabase,
      unnest(x.setconfig) AS c(entry) WHERE split_part(c.entry, '=', 1) = 'default_transaction_read_only'),
  'checksumFailures', (SELECT coalesce(json_agg(json_build_object('database', coalesce(datname, 'shared objects'),
      'count', checksum_failures) ORDER BY datname), '[]') FROM pg_stat_database WHERE checksum_failures > 0),
  'archiver', (SELECT json_build_object('mode', current_setting('archive_mode'),
      'lastArchivedAgeMs', (extract(epoch FROM clock_timestamp() - last_archived_time) * 1000)::bigint,
      'lastFailedAgeMs', CASE WHEN last_failed_time > coalesce(last_archived_time, '-infinity')
        THEN (extract(epoch FROM clock_timestamp() - last_failed_time) * 1000)::bigint END,
      'lastFailedFile', last_failed_wal) FROM pg_stat_archiver)
) AS seen
FROM (SELECT pg_is_in_recovery() AS recovering) r`;

/** What PostgreSQL knows of whether it could be stopped, started, promoted and followed. Changes nothing. */
export async function readinessOf(session: PostgresSession): Promise<SqlReadiness> {
  const [row] = await session.query<{ seen: SqlReadiness }>(question, [settingNames], { repeated: true });
  if (row === undefined) throw new Error('the node returned no row');
  return row.seen;
}
