import { setTimeout as sleep } from 'node:timers/promises';
import { psql, waitUntil } from './stack';

/** Longer than PostgreSQL takes to note the running transactions in its WAL once it is idle: 15 s, and its writer sleeps for 10 s. */
const IDLE_LIMIT_MS = 30_000;

/**
 * What an idle server still notes in its WAL is noted now, and its standby has it: what it notes in its last moment is on no standby.
 * Leaves `autovacuum` off.
 */
export async function idle(node: string): Promise<void> {
  // An ANALYZE of its own would be noted as well.
  psql(node, 'ALTER SYSTEM SET autovacuum = off');
  psql(node, 'SELECT pg_reload_conf()');
  psql(node, 'CHECKPOINT');
  const end = () => psql(node, 'SELECT pg_current_wal_insert_lsn()');
  const since = end();
  const began = Date.now();
  await waitUntil(
    'the last note of an idle server',
    // One that noted it before the first look notes nothing more.
    () => end() !== since || Date.now() - began > IDLE_LIMIT_MS,
    2 * IDLE_LIMIT_MS,
  );
  // The standby has it too.
  await sleep(1000);
}
