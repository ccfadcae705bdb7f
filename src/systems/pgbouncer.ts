import type { Endpoint } from '../cluster/topology';
import type { Halted } from './agent';
import { connectPostgres, type Login, type PostgresSession } from './postgres';

/** One pooled database as the console shows it. */
export interface PooledDatabase {
  name: string;
  host: string;
  port: number;
  poolMode: string;
  /** Clients get no server: this database is paused, or all of PgBouncer is. */
  paused: boolean;
  /** Somebody did that to all of PgBouncer (`PAUSE` without a database), which no database shows; null where nobody did. */
  halted: Halted | null;
  /** New clients are refused; who is connected goes on. */
  disabled: boolean;
  currentConnections: number;
  activeClients: number;
  waitingClients: number;
  /** How near PgBouncer is to its limits. */
  load: PoolerLoad;
  /** After how many milliseconds a client that waits is disconnected, by the setting that says so; 0 is never. */
  disconnects: Record<string, number>;
  /** Replication connections to the database. */
  replication: PooledReplication[];
}

/**
 * A replication connection that PgBouncer passes on (1.23 and newer): it keeps its server for as long as it lives, whatever the pool mode,
 * and PAUSE waits for it.
 */
export interface PooledReplication {
  user: string;
  applicationName: string;
  /** The walsender's process on the server. */
  serverPid: number;
  /** By which KILL_CLIENT knows its client; null where that has gone. */
  clientId: number | null;
}

/** Settings of PgBouncer by which a client that waits for a server, and so one that is held, is disconnected. All in seconds. */
const disconnecting = ['query_wait_timeout', 'query_timeout', 'client_login_timeout'];

/** Places of PgBouncer that are taken, and its limits. */
export interface PoolerLoad {
  /** Connections of clients, to every database. */
  usedClients: number;
  /** `max_client_conn`. */
  maxClients: number;
  /** Server connections that each user of the database may have. */
  poolSize: number;
  /** How long the client that waits longest has waited for a server, in milliseconds. */
  waitedMs: number;
}

/**
 * Asks PgBouncer's admin console about one pooled database. Changes go through the agent only.
 * @throws Error when the console does not answer, or has no such database
 */
export async function observePooledDatabase(
  endpoint: Endpoint,
  admin: Omit<Login, 'database'>,
  database: string,
): Promise<PooledDatabase> {
  const session = await connectPostgres(endpoint, { ...admin, database: 'pgbouncer' }, 2000);
  try {
    const databases = await session.query<Record<string, string | null>>('SHOW DATABASES');
    const found = databases.find((row) => row.name === database);
    if (found === undefined) throw new Error(`PgBouncer has no database "${database}"`);
    // One that is suspended takes no new session, so that this one would not be here.
    const states = await session.query<{ key: string; value: string }>('SHOW STATE');
    const halted = (['paused', 'suspended'] as const).find((each) =>
      states.some(({ key, value }) => key === each && value === 'yes'),
    );
    const config = await session.query<Record<string, string | null>>('SHOW CONFIG');
    const setting = (key: string) => config.find((row) => row.key === key)?.value;
    const disconnects = disconnecting.flatMap((name) => {
      const seconds = Number(setting(name) ?? NaN);
      return Number.isFinite(seconds) ? [[name, seconds * 1000]] : [];
    });
    const lists = await session.query<{ list: string; items: string | number }>('SHOW LISTS');
    const pools = (await session.query<Record<string, string | null>>('SHOW POOLS')).filter(
      (row) => row.database === database,
    );
    const sum = (key: string) => pools.reduce((total, row) => total + Number(row[key] ?? 0), 0);
    return {
      name: database,
      host: found.host ?? '',
      port: Number(found.port),
      poolMode: found.pool_mode ?? setting('pool_mode') ?? 'unknown',
      paused: halted !== undefined || String(found.paused) === '1',
      halted: halted ?? null,
      disabled: String(found.disabled) === '1',
      currentConnections: Number(found.current_connections),
      activeClients: sum('cl_active'),
      waitingClients: sum('cl_waiting'),
      load: {
        usedClients: Number(lists.find(({ list }) => list === 'used_clients')?.items ?? 0),
        maxClients: Number(setting('max_client_conn') ?? 0),
        poolSize: Number(found.pool_size ?? setting('default_pool_size') ?? 0),
        waitedMs: Math.max(
          0,
          ...pools.map((row) => Number(row.maxwait ?? 0) * 1000 + Number(row.maxwait_us ?? 0) / 1000),
        ),
      },
      disconnects: Object.fromEntries(disconnects) as Record<string, number>,
      replication: await replicationThrough(session, database),
    };
  } finally {
    session.close();
  }
}

/** What SHOW SERVERS and SHOW CLIENTS say in their column `replication`: `none`, `physical` or `logical`. An older PgBouncer has none. */
async function replicationThrough(session: PostgresSession, database: string): Promise<PooledReplication[]> {
  const ask = async (what: string) =>
    (await session.query<Record<string, string | number | null>>(what)).filter(
      (row) => row.database === database && row.replication !== undefined && row.replication !== 'none',
    );
  const servers = await ask('SHOW SERVERS');
  if (servers.length === 0) return [];
  const clients = await ask('SHOW CLIENTS');
  return servers.map(({ user, application_name, remote_pid, link }) => {
    const client = clients.find(({ ptr }) => ptr === link);
    return {
      user: String(user),
      applicationName: String(application_name ?? ''),
      serverPid: Number(remote_pid),
      clientId: client === undefined ? null : Number(client.id),
    };
  });
}
