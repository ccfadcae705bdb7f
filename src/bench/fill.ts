import { Client } from 'pg';
import { docker } from './shell';
import type { Target } from './target';

const TABLE = 'veloz_bench_fill';
const ROW_BYTES = 1000;
const BATCH_ROWS = 50_000;

/** A statement that makes rows of 1000 bytes. Each differs from every other one: nothing on the way may find that they are alike. */
export const insertRows = (rows: number): string =>
  `INSERT INTO ${TABLE} SELECT i, decode(repeat(md5(random()::text || i), ${Math.floor(ROW_BYTES / 16) - 2}), 'hex') FROM generate_series(1, ${rows}) i`;

/**
 * Makes the database as large as asked for. Batches, so that the standby keeps up and no slot falls behind.
 * @param bytes what the database has at least afterwards
 * @returns what it has, in bytes
 */
export async function fillTo(target: Target, bytes: number): Promise<number> {
  const { user, password, database } = target.login;
  const client = new Client({ ...target.door, user, password, database, application_name: 'bench fill' });
  await client.connect();
  const size = async () =>
    Number((await client.query<{ size: string }>('SELECT pg_database_size(current_database()) AS size')).rows[0]?.size);
  try {
    await client.query(`CREATE TABLE IF NOT EXISTS ${TABLE} (id bigint, filler bytea STORAGE PLAIN)`);
    for (let now = await size(); now < bytes; now = await size()) {
      const rows = Math.min(BATCH_ROWS, Math.ceil((bytes - now) / ROW_BYTES));
      await client.query(insertRows(rows));
    }
    return await size();
  } finally {
    await client.end();
  }
}

/** Removes the rows again. */
export async function dropFill(target: Target): Promise<void> {
  const { user, password, database } = target.login;
  const client = new Client({ ...target.door, user, password, database, connectionTimeoutMillis: 5000 });
  await client.connect();
  await client.query(`DROP TABLE IF EXISTS ${TABLE}`).finally(() => client.end());
}

/**
 * Writes a checkpoint on each node, the primary first. Without it the checkpoint that two nodes have in common lies before the filling,
 * whose WAL may be gone, and the first rewind becomes a copy.
 */
export async function checkpoint(primary: string, nodes: readonly string[]): Promise<void> {
  for (const node of [primary, ...nodes.filter((name) => name !== primary)])
    await docker('exec', node, 'psql', '-U', 'postgres', '-d', 'postgres', '-XAtqc', 'CHECKPOINT');
}
