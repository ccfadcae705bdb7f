import { clusterStatus } from '../cluster/commands';
import { formatMs } from '../cluster/duration';
import { lsnBytes, type Lsn } from '../cluster/lsn';
import { recoveryOf, type PostgresSession } from '../systems/postgres';
import { steadyMs } from './clock';
import { sleep, until } from './context';
import { withSession, type ClusterAccess } from './deps';
import { heldUp, heldUpBy, LOOK_MS } from './held-up';

/** How long a standby may take until it is caught up and synchronous, in milliseconds. */
export const CATCH_UP_LIMIT_MS = 60_000;

/** Where a standby is, beside a position that the primary wrote after we began to wait. */
interface Beside {
  marker: Lsn;
  /** The position is on its disk. */
  received: boolean;
  replayed: boolean;
  session: PostgresSession;
}

/**
 * Asks standbys again and again where they are, until one of them is where it should be.
 * @param primary a session with the primary
 * @param verb what is waited for: "replaying"
 * @param found called for each answer of a standby, with its name; anything but undefined ends the wait
 * @throws Error where that is not so within the limit
 */
async function firstOf<T>(
  access: ClusterAccess,
  primary: PostgresSession,
  nodes: readonly string[],
  verb: string,
  found: (node: string, at: Beside) => T | undefined | Promise<T | undefined>,
): Promise<T> {
  const marker = await writeMarker(primary);
  const reached = (lsn: Lsn | null) => lsn !== null && lsnBytes(lsn) >= lsnBytes(marker);
  const seen = new Map<string, string>();
  let result: { value: T } | undefined;
  const ask = (node: string): Promise<void> =>
    withSession(access.sql(node), async (session) => {
      for (let tries = 0; tries < 150 && result === undefined; tries++) {
        const { received, replayed, inRecovery } = await recoveryOf(session);
        seen.set(
          node,
          `received ${received ?? 'nothing'}, replayed ${replayed ?? 'nothing'}${inRecovery ? '' : ', and it is writable'}`,
        );
        const at = { marker, session, received: reached(received) || reached(replayed), replayed: reached(replayed) };
        const value = inRecovery ? await found(node, at) : undefined;
        if (value !== undefined) {
          result ??= { value };
          return;
        }
        if (tries % 10 === 5) await pushMarker(primary);
        await sleep(10);
      }
    }).catch((error: unknown) => void seen.set(node, (error as Error).message));
  const words = () => nodes.map((node) => `${nodes.length === 1 ? '' : `${node} `}${seen.get(node) ?? 'no answer'}`);
  const { value } = await until(
    `${nodes.join(' or ')} ${verb} ${marker}`,
    CATCH_UP_LIMIT_MS,
    20,
    async () => {
      await Promise.all(nodes.map(ask));
      return result;
    },
    () => words().join('; '),
  );
  return value;
}

/** Waits until `node` itself says that it replayed a position that the primary wrote after we began to wait (K1). */
export async function caughtUp(access: ClusterAccess, primary: PostgresSession, node: string): Promise<void> {
  await firstOf(access, primary, [node], 'replaying', (_node, { replayed }) => (replayed ? true : undefined));
}

/**
 * Waits until one of the nodes has on its disk a position that the primary wrote after we began to wait, and looks for {@link LOOK_MS}
 * whether it has replayed it, too (K1): for standbys whose confirmation counts, and whose replay nobody waits for.
 * @param primary a session with the primary
 * @returns who it is, with a warning where it has not replayed the position
 * @throws Error where the position is on no disk of theirs within {@link CATCH_UP_LIMIT_MS}
 */
export function firstReceived(
  access: ClusterAccess,
  primary: PostgresSession,
  nodes: readonly string[],
): Promise<{ node: string; late?: string }> {
  const since = new Map<string, number>();
  return firstOf(access, primary, nodes, 'receiving', async (node, { marker, received: has, replayed, session }) => {
    if (replayed) return { node };
    if (!has) return undefined;
    const began = since.get(node) ?? steadyMs();
    since.set(node, began);
    if (steadyMs() - began < LOOK_MS) return undefined;
    return { node, late: await lateText(access.name, node, marker, session) };
  });
}

/**
 * The same of one node.
 * @returns a warning where it has not replayed the position
 */
export async function received(
  access: ClusterAccess,
  primary: PostgresSession,
  node: string,
): Promise<string | undefined> {
  return (await firstReceived(access, primary, [node])).late;
}

/**
 * K1: the node has replayed a position that was written after we began to wait. One whose replay is held up has it on its disk.
 * @returns a warning where it is held up
 */
export async function requireCaughtUp(
  access: ClusterAccess,
  session: PostgresSession,
  node: string,
): Promise<string | undefined> {
  if ((await heldUp(access, node)) !== undefined) return received(access, session, node);
  await caughtUp(access, session, node);
  return undefined;
}

async function lateText(cluster: string, node: string, marker: Lsn, session: PostgresSession): Promise<string> {
  const held = await heldUpBy(cluster, node, session).catch(() => undefined);
  return `K1: ${node} has ${marker} on its disk and has not replayed it: ${held?.why ?? 'its replay is behind'} (limit: replayed within ${formatMs(LOOK_MS)}; nobody waits for it). Next: ${held?.next ?? clusterStatus(cluster)}`;
}

/** Writes a record on the primary, and returns where it begins. It is flushed with the next commit there. */
async function writeMarker(primary: PostgresSession): Promise<Lsn> {
  const [row] = await primary.query<{ lsn: Lsn }>(
    `SELECT pg_logical_emit_message(false, 'veloz-ha', 'caught up')::text AS lsn`,
  );
  return row?.lsn ?? '0/0';
}

/** WAL that is not flushed is not sent: a second record, of a transaction, pushes the marker out. */
async function pushMarker(primary: PostgresSession): Promise<void> {
  await primary.query(`SELECT pg_logical_emit_message(true, 'veloz-ha', 'push')`);
}
