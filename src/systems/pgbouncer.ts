import type { Endpoint } from '../cluster/topology';
import { connectPostgres, type Login } from './postgres';

/** One pooled database as the console shows it. */
export interface PooledDatabase {
  name: string;
  host: string;
  port: number;
  poolMode: string;
  paused: boolean;
  currentConnections: number;
  activeClients: number;
  waitingClients: number;
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
    const config = await session.query<Record<string, string | null>>('SHOW CONFIG');
    const pools = (await session.query<Record<string, string | null>>('SHOW POOLS')).filter(
      (row) => row.database === database,
    );
    const sum = (key: string) => pools.reduce((total, row) => total + Number(row[key] ?? 0), 0);
    return {
      name: database,
      host: found.host ?? '',
      port: Number(found.port),
      poolMode: found.pool_mode ?? config.find((row) => row.key === 'pool_mode')?.value ?? 'unknown',
      paused: String(found.paused) === '1',
      currentConnections: Number(found.current_connections),
      activeClients: sum('cl_active'),
      waitingClients: sum('cl_waiting'),
    };
  } finally {
    session.close();
  }
}
