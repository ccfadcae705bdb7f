import { Client } from 'pg';
import type { Lsn } from '../cluster/lsn';
import type { NodeSql } from '../cluster/observed';
import type { Endpoint } from '../cluster/topology';
import { callsRefused } from './control-rights';
import { isWeak, serverCommit } from './synchronous-commit';

/** Who connects, to which database. */
export interface Login {
  user: string;
  password: string;
  database: string;
  /** Shown in pg_stat_activity. Default: `veloz-ha`. */
  applicationName?: string;
}

/** An open control connection to one PostgreSQL node, or through the pooler to whichever is behind it. */
export interface PostgresSession {
  /** @param how `repeated`: the same words are asked again and again, so the server plans them once (not through a pooler) */
  query<Row extends Record<string, unknown>>(
    sql: string,
    values?: readonly unknown[],
    how?: { repeated?: boolean },
  ): Promise<Row[]>;
  /** Ends the connection at once, whatever it waits for. Never throws. */
  close(): void;
}

/** Milliseconds until a connection attempt is given up: a dead container's address swallows connects without a reset. */
const CONNECT_LIMIT_MS = 1500;

/**
 * Connects.
 * @param options `connectLimitMs`: for the connection itself; `onEnd`: called once when an open session ends, whoever ended it;
 * `startupOptions`: the parameter `options` of the start-up, which a pooler may not understand
 * @param queryLimitMs client-side limit of a query; it does not cancel the statement on the server (a cancelled wait for
 * a synchronous standby would be acknowledged as committed)
 * @throws Error within 1.5 s when the node does not answer
 */
export async function connectPostgres(
  endpoint: Endpoint,
  login: Login,
  queryLimitMs = 5000,
  options: { connectLimitMs?: number; onEnd?: () => void; startupOptions?: string } = {},
): Promise<PostgresSession> {
  const client = new Client({
    host: endpoint.host,
    port: endpoint.port,
    user: login.user,
    password: login.password,
    database: login.database,
    application_name: login.applicationName ?? 'veloz-ha',
    connectionTimeoutMillis: options.connectLimitMs ?? CONNECT_LIMIT_MS,
    query_timeout: queryLimitMs,
    keepAlive: true,
    ...(options.startupOptions === undefined ? {} : { options: options.startupOptions }),
  });
  // A connection that breaks between two queries emits an error that nobody awaits; the next query reports it.
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch (error) {
    void client.end().catch(() => undefined);
    throw error;
  }
  if (options.onEnd !== undefined) client.once('end', options.onEnd);
  /** Names of the statements that the server has planned, by their words. */
  const planned = new Map<string, string>();
  const nameOf = (sql: string): string => {
    const name = planned.get(sql) ?? `veloz_ha_${planned.size + 1}`;
    planned.set(sql, name);
    return name;
  };
  return {
    async query<Row extends Record<string, unknown>>(
      sql: string,
      values: readonly unknown[] = [],
      how: { repeated?: boolean } = {},
    ) {
      if (how.repeated === true)
        return (await client.query<Row>({ name: nameOf(sql), text: sql, values: [...values] })).rows;
      const result = values.length === 0 ? await client.query<Row>(sql) : await client.query<Row>(sql, [...values]);
      return result.rows;
    },
    close() {
      const { stream } = (client as unknown as { connection: { stream: { destroy(): void } } }).connection;
      void client.end().catch(() => undefined);
      // `end` alone waits for the server; a server that was stopped or frozen would keep us waiting.
      setTimeout(() => stream.destroy(), 50).unref();
    },
  };
}

/** Settings that the checks read (C3, C5, C6, C8, B7, M5); that of B4 is asked for apart. */
const settingNames = [
  'synchronous_standby_names',
  'wal_level',
  'hot_standby',
  'fsync',
  'full_page_writes',
  'wal_log_hints',
  'data_checksums',
  'max_connections',
  'max_worker_processes',
  'max_wal_senders',
  'max_prepared_transactions',
  'max_locks_per_transaction',
  'recovery_min_apply_delay',
  'primary_slot_name',
  'default_transaction_read_only',
  'superuser_reserved_connections',
  // PostgreSQL 16
  'reserved_connections',
  // PostgreSQL 17
  'allow_alter_system',
];

/**
 * One statement, so that the picture is of one moment. `CASE` keeps functions that fail in recovery from being called, and the locks from
 * being read where no session has `track_activities` off: such a one shows no state and no times, and each transaction holds the lock of
 * its own virtual id.
 */
const observeSql = `
SELECT json_build_object(
  'inRecovery', r.recovering,
  'versionNum', current_setting('server_version_num')::int,
  'systemIdentifier', (SELECT system_identifier::text FROM pg_control_system()),
  'timeline', CASE WHEN r.recovering
    THEN greatest((SELECT received_tli FROM pg_stat_wal_receiver), (SELECT timeline_id FROM pg_control_checkpoint()),
      (SELECT min_recovery_end_timeline FROM pg_control_recovery()))
    ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END,
  'lsn', CASE WHEN r.recovering
    THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) ELSE pg_current_wal_lsn() END,
  'replayLsn', CASE WHEN r.recovering THEN pg_last_wal_replay_lsn() END,
  'replayPaused', CASE WHEN r.recovering THEN pg_is_wal_replay_paused() ELSE false END,
  'receiver', (SELECT json_build_object('status', status, 'senderHost', sender_host, 'timeline', received_tli,
      'lastMessageAgeMs', (extract(epoch FROM clock_timestamp() - last_msg_receipt_time) * 1000)::bigint)
    FROM pg_stat_wal_receiver WHERE pid IS NOT NULL),
  'replication', (SELECT coalesce(json_agg(json_build_object('applicationName', a.application_name, 'slot', s.slot_name,
      'state', a.state, 'syncState', a.sync_state, 'sentLsn', a.sent_lsn, 'flushLsn', a.flush_lsn, 'replayLsn', a.replay_lsn)
      ORDER BY s.slot_name), '[]')
    FROM pg_stat_replication a LEFT JOIN pg_replication_slots s ON s.active_pid = a.pid),
  'slots', (SELECT coalesce(json_agg(json_build_object('name', slot_name, 'type', slot_type, 'active', active,
      'retainedBytes', coalesce(pg_wal_lsn_diff(CASE WHEN r.recovering THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn), 0)::bigint)
      ORDER BY slot_name), '[]') FROM pg_replication_slots),
  'walSenders', json_build_object('used', (SELECT count(*) FROM pg_stat_replication), 'max', current_setting('max_wal_senders')::int),
  'replicationSlots', json_build_object('used', (SELECT count(*) FROM pg_replication_slots), 'max', current_setting('max_replication_slots')::int),
  'settings', (SELECT json_object_agg(s.name, s.setting) FROM (
      SELECT name, setting FROM pg_settings WHERE name = ANY ($1)
      UNION ALL SELECT 'synchronous_commit', value FROM (${serverCommit}) v) s),
  'weakSyncCommit', (SELECT coalesce(json_agg(json_build_object('role', coalesce(o.rolname, 'every role'),
      'database', coalesce(d.datname, 'every database'), 'value', lower(split_part(c.entry, '=', 2)))), '[]')
    FROM pg_db_role_setting x LEFT JOIN pg_roles o ON o.oid = x.setrole LEFT JOIN pg_database d ON d.oid = x.setdatabase,
      unnest(x.setconfig) AS c(entry)
    WHERE split_part(c.entry, '=', 1) = 'synchronous_commit' AND ${isWeak("split_part(c.entry, '=', 2)")}
      AND o.rolname IS DISTINCT FROM current_user),
  'syncRepWaiters', (SELECT json_build_object('count', count(*), 'oldestMs',
      coalesce(max(extract(epoch FROM clock_timestamp() - query_start) * 1000), 0)::bigint,
      'ageless', coalesce(json_agg(concat_ws(':', pid, backend_xid)) FILTER (WHERE query_start IS NULL), '[]'))
    FROM pg_stat_activity WHERE wait_event = 'SyncRep'),
  'openTransactions', (SELECT coalesce(json_agg(t ORDER BY t."ageMs" DESC), '[]') FROM (
      SELECT pid, usename AS "user", application_name AS application, state,
        (extract(epoch FROM clock_timestamp() - xact_start) * 1000)::bigint AS "ageMs"
      FROM pg_stat_activity
      WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
        AND application_name NOT LIKE 'veloz-ha%' AND clock_timestamp() - xact_start > interval '250 ms'
      ORDER BY xact_start LIMIT 20) t),
  'untrackedSessions', (SELECT count(*) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND state = 'disabled' AND application_name NOT LIKE 'veloz-ha%'),
  'hiddenTransactions', CASE WHEN EXISTS (SELECT FROM pg_stat_activity
      WHERE backend_type = 'client backend' AND state = 'disabled' AND application_name NOT LIKE 'veloz-ha%')
    THEN (SELECT coalesce(json_agg(h), '[]') FROM (
      SELECT l.virtualtransaction AS id, a.pid, a.usename AS "user", a.application_name AS application
      FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid
      WHERE a.backend_type = 'client backend' AND a.state = 'disabled' AND a.application_name NOT LIKE 'veloz-ha%'
        AND l.locktype = 'virtualxid' AND l.granted AND l.virtualxid = l.virtualtransaction
      ORDER BY a.pid LIMIT 200) h) END,
  'preparedTransactions', (SELECT count(*) FROM pg_prepared_xacts),
  'baseBackups', (SELECT count(*) FROM pg_stat_progress_basebackup),
  'archiver', (SELECT json_build_object('mode', current_setting('archive_mode'), 'failing',
      coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false)) FROM pg_stat_archiver),
  'missingRights', (SELECT coalesce(json_agg(what), '[]') FROM (SELECT what FROM (VALUES
      ('run CHECKPOINT', pg_has_role('pg_checkpoint', 'USAGE')),
      ('read all settings and statistics', pg_has_role('pg_monitor', 'USAGE')),
      ('end sessions', pg_has_role('pg_signal_backend', 'USAGE')),
      ('set synchronous_standby_names', has_parameter_privilege('synchronous_standby_names', 'ALTER SYSTEM')),
      ('reload the configuration', has_function_privilege('pg_reload_conf()', 'EXECUTE')),
      ('resume replay', has_function_privilege('pg_wal_replay_resume()', 'EXECUTE')),
      ('connect while all other connections are taken', pg_has_role('pg_use_reserved_connections', 'USAGE')),
      ('manage replication slots', (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user))
    ) AS needed(what, granted) WHERE NOT granted UNION ALL ${callsRefused}) AS missing),
  'control', json_build_object('database', current_database(),
    'connectionLimit', (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),
    'databaseConnectionLimit', (SELECT datconnlimit FROM pg_database WHERE datname = current_database()),
    'validForMs', (SELECT CASE WHEN rolvaliduntil < 'infinity'
      THEN (extract(epoch FROM rolvaliduntil - clock_timestamp()) * 1000)::bigint END FROM pg_roles WHERE rolname = current_user))
) AS seen
FROM (SELECT pg_is_in_recovery() AS recovering) r`;

/** Everything about one node that SQL can tell, as of one moment. */
export async function observeSqlOf(session: PostgresSession): Promise<NodeSql> {
  const [row] = await session.query<{ seen: NodeSql }>(observeSql, [settingNames], { repeated: true });
  if (row === undefined) throw new Error('the node returned no row');
  return row.seen;
}

/** The size of all databases together. The server looks at every file of theirs: with many tables that takes seconds, so it is asked apart. */
export async function databaseBytesOf(session: PostgresSession): Promise<number> {
  const [row] = await session.query<{ bytes: string }>(
    'SELECT coalesce(sum(pg_database_size(oid)), 0)::bigint AS bytes FROM pg_database WHERE datallowconn',
  );
  if (row === undefined) throw new Error('the node returned no row');
  return Number(row.bytes);
}

/** Is the node in recovery, and how far is it? One short query, for the hold. */
export async function recoveryOf(
  session: PostgresSession,
): Promise<{ inRecovery: boolean; received: Lsn | null; replayed: Lsn | null }> {
  const [row] = await session.query<{ in_recovery: boolean; received: Lsn | null; replayed: Lsn | null }>(
    'SELECT pg_is_in_recovery() AS in_recovery, pg_last_wal_receive_lsn()::text AS received, pg_last_wal_replay_lsn()::text AS replayed',
  );
  if (row === undefined) throw new Error('the node returned no row');
  return { inRecovery: row.in_recovery, received: row.received, replayed: row.replayed };
}
