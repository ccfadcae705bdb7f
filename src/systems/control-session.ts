import type { Endpoint } from '../cluster/topology';
import { connectPostgres, type Login, type PostgresSession } from './postgres';

/**
 * The settings of a session of the control role. What a client asks for at its start wins over everything that ALTER ROLE,
 * ALTER DATABASE and ALTER SYSTEM say, and any role may ask for these. What only a superuser may set (`event_triggers`,
 * `session_preload_libraries`) stands as a setting of the role in the control database, see docker/postgres/control.sql.
 */
const settings: Readonly<Record<string, string>> = {
  // Nothing that an application owns is found by a name without a schema, and nothing temporary before the catalog's.
  search_path: 'pg_catalog, pg_temp',
  role: 'none',
  local_preload_libraries: '',
  row_security: 'off',
  // A control session ends when its client says so: each query has a limit on the client's side.
  statement_timeout: '0',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  exit_on_error: 'off',
  post_auth_delay: '0',
  // A hot standby knows no serializable transactions.
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off',
  default_transaction_deferrable: 'off',
  // How values are written and read.
  client_min_messages: 'warning',
  DateStyle: 'ISO, MDY',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  bytea_output: 'hex',
  extra_float_digits: '1',
  array_nulls: 'on',
  quote_all_identifiers: 'off',
  standard_conforming_strings: 'on',
  transform_null_equals: 'off',
  xmlbinary: 'base64',
  // Short questions: nothing is gained by planning or compiling them at length.
  jit: 'off',
  plan_cache_mode: 'force_generic_plan',
  max_parallel_workers_per_gather: '0',
  work_mem: '4MB',
};

/**
 * Set by a statement, and not at the start: what a session falls back to is then the server's own value, which is read to tell whether
 * the commits of others wait for a standby. Asked for at the start, it would hide that.
 */
const SET_COMMIT = 'SET synchronous_commit = on';

/** Settings that came with later versions: a server that does not know one of them refuses the connection. */
const laterSettings: Readonly<Record<string, string>> = {
  // PostgreSQL 14
  idle_session_timeout: '0',
  // PostgreSQL 17
  transaction_timeout: '0',
};

/** The start-up parameter `options` of a list of settings. Blanks and backslashes in values are escaped, as the server wants it. */
export function startupOptions(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `-c ${name}=${value.replace(/[\\\s]/g, (character) => `\\${character}`)}`)
    .join(' ');
}

/** The `options` of a control session with a server of this version and later ones, or with one that is older. */
export const controlOptions = {
  current: startupOptions({ ...settings, ...laterSettings }),
  older: startupOptions(settings),
};

/** Sets of the later settings those that the server knows. */
const setLater = `SELECT pg_catalog.set_config(s.name, '0', false) FROM pg_catalog.pg_settings s
  WHERE s.name IN (${Object.keys(laterSettings)
    .map((name) => `'${name}'`)
    .join(', ')})`;

/** SQLSTATE of a server that does not know a setting of the start-up options. */
const UNDEFINED_OBJECT = '42704';

/** The SQLSTATE of an error of the server; undefined for any other error. */
export function sqlState(error: unknown): string | undefined {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

/**
 * The database does not exist (yet), takes no connections, none of this role, or no more of them, or its sessions are to load a library
 * that is not there (`session_preload_libraries` of the role in this database): a session elsewhere does for all but what is kept there.
 */
const notThisDatabase: ReadonlySet<string> = new Set(['3D000', '55000', '42501', '53300', '58P01']);

/**
 * Connects as the control role to the first of its databases that takes it: its own, else another one, which has to do where an
 * older stack has no control database yet.
 * @param databases names, the preferred one first
 * @throws the error of the first one, when none takes it
 */
export async function connectControlDatabase(
  endpoint: Endpoint,
  login: Omit<Login, 'database'>,
  databases: readonly string[],
  queryLimitMs?: number,
  options?: { connectLimitMs?: number; onEnd?: () => void },
): Promise<PostgresSession> {
  let first: unknown;
  for (const database of new Set(databases)) {
    try {
      return await connectControl(endpoint, { ...login, database }, queryLimitMs, options);
    } catch (error) {
      if (!notThisDatabase.has(sqlState(error) ?? '')) throw error;
      first ??= error;
    }
  }
  throw first;
}

/**
 * Connects as the control role, with settings of its own whatever role, database and server are set to.
 * @param queryLimitMs as for {@link connectPostgres}
 * @param options as for {@link connectPostgres}
 * @throws Error within 1.5 s when the node does not answer
 */
export async function connectControl(
  endpoint: Endpoint,
  login: Login,
  queryLimitMs?: number,
  options: { connectLimitMs?: number; onEnd?: () => void } = {},
): Promise<PostgresSession> {
  try {
    const session = await connectPostgres(endpoint, login, queryLimitMs, {
      ...options,
      startupOptions: controlOptions.current,
    });
    return withOwnCommit(session);
  } catch (error) {
    if (sqlState(error) !== UNDEFINED_OBJECT) throw error;
  }
  const session = await connectPostgres(endpoint, login, queryLimitMs, {
    ...options,
    startupOptions: controlOptions.older,
  });
  try {
    await session.query(setLater);
    return withOwnCommit(session);
  } catch (error) {
    session.close();
    throw error;
  }
}

/** The same session; its first query goes out once its commits wait for a standby, so that connecting costs no further round trip. */
function withOwnCommit(session: PostgresSession): PostgresSession {
  const set = session.query(SET_COMMIT);
  // Whoever asks something of the session hears of it.
  set.catch(() => undefined);
  return {
    async query<Row extends Record<string, unknown>>(
      sql: string,
      values?: readonly unknown[],
      how?: { repeated?: boolean },
    ) {
      await set;
      return session.query<Row>(sql, values, how);
    },
    close: () => session.close(),
  };
}
