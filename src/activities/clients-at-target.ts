import { causeOfRefusal, disabledWords, isSameRefusal, refusalWords } from '../cluster/client-refusal';
import { logs, poolerConsole, psql } from '../cluster/commands';
import { RELOAD } from '../cluster/switchover/replication';
import { clientLogins } from './client-logins';
import { withSession, type ClusterAccess } from './deps';
import { poolerAnswers } from './failover/left-out';
import { messageOf } from './guard/probe';
import { openDoor, type DoorSession } from './front-door';
import type { MoveRequest } from './move-parts';
import { isDisabled, requireRoute } from './shut-out';

/*
 * What a run proves of clients at the node that it made the primary (F5): they are let in there, and the pool leads to it. Clients that are
 * let in nowhere, by the data or by somebody's wish, are told and fail no run: it changes nothing for them.
 */

/** SQLSTATE of a server whose places are taken: a client waits for one. */
const TOO_MANY_CONNECTIONS = '53300';

/** How clients fare at the new primary. */
export interface ClientsAtTarget {
  /** Refused there with the words of another node, which has the same data. */
  shutOut: boolean;
  /** For the report. */
  warning?: string;
}

/**
 * F5: the new primary lets clients in, and they can write there. PgBouncer lets a client wait whom the server refuses, so that a wait alone
 * does not tell. Warns where another node, a standby by now, refuses clients with the same words, and where clients can't write and it may
 * be meant: it was so before, or the old primary does not say.
 * @throws Error with what the server said
 */
export async function requireClients(
  access: ClusterAccess,
  { source, target, others }: Pick<MoveRequest, 'source' | 'target' | 'others'>,
): Promise<ClientsAtTarget> {
  const nodes = [target, source, ...others];
  const found = await withSession(access.pooler(), (pooler) => clientLogins(access, pooler, nodes)).catch(
    // An agent that is older, or silent: the way through the pooler is proven all the same.
    () => undefined,
  );
  const client = found?.get(target);
  if (client === undefined) return { shutOut: false };
  const alike = [source, ...others].find((node) => isSameRefusal(client, found?.get(node)));
  const limit = '(limit: a login from the pooler as its own user)';
  if (alike !== undefined)
    return {
      shutOut: true,
      warning: `F5: ${target} refuses clients, as ${alike} does: ${refusalWords(client)} ${limit}. Next: ${causeOfRefusal(target, client)}`,
    };
  if (client.code === TOO_MANY_CONNECTIONS) return { shutOut: false };
  if (client.ok === false)
    throw new Error(`F5: ${target} refuses clients: ${refusalWords(client)} ${limit}. Next: ${logs(target)}`);
  if (!client.readOnly) return { shutOut: false };
  const before = found?.get(source);
  const says = `F5: clients can't write on ${target}: default_transaction_read_only is on for ${client.user}`;
  const next = `(limit: off). Next: ${psql(target, 'ALTER SYSTEM SET default_transaction_read_only = off', RELOAD)}`;
  if (before?.ok === true && !before.readOnly) throw new Error(`${says}, and not on ${source} ${next}`);
  return {
    shutOut: false,
    warning: `${says}${before?.ok === true ? `, as on ${source}` : `; what ${source} says is not known`} ${next}`,
  };
}

/** The way on which it is proven that the pool leads to the new primary. */
export type ClientWay =
  | { kind: 'door'; door: DoorSession }
  /** No client is let in who could tell: PgBouncer's own word on its route counts. `warning` says why. */
  | { kind: 'word'; warning: string }
  /** After a failover, of a pooler that gives no answer. */
  | { kind: 'not asked' };

/**
 * Runs `body` with the way that clients take, or with what takes its place: PgBouncer's own word where clients are shut out, or their
 * database is disabled at the pooler, and nothing where the pooler may be missing and its own agent gives no answer either.
 * @param shutOut the new primary refuses clients as other nodes do
 * @throws Error why no client gets through
 */
export async function withWay<T>(
  access: ClusterAccess,
  request: Pick<MoveRequest, 'unplanned' | 'target'>,
  shutOut: boolean,
  body: (way: ClientWay) => Promise<T>,
): Promise<T> {
  const way = await openWay(access, request, shutOut);
  try {
    return await body(way);
  } finally {
    if (way.kind === 'door') way.door.close();
  }
}

async function openWay(
  access: ClusterAccess,
  { unplanned, target }: Pick<MoveRequest, 'unplanned' | 'target'>,
  shutOut: boolean,
): Promise<ClientWay> {
  try {
    // The control role may be let in where clients are not.
    const door = await openDoor(access, 5000, shutOut ? { evenRefused: true } : {});
    if (!shutOut || door.served) return { kind: 'door', door };
    door.close();
  } catch (error) {
    if (unplanned === true && !(await poolerAnswers(access))) return { kind: 'not asked' };
    if (await isDisabled(access)) return { kind: 'word', warning: disabledSays(access) };
    if (!shutOut)
      throw new Error(
        `F5: no client gets through ${access.poolerName}, which gives nobody a connection to a standby: ${messageOf(error)}. Next: ${poolerConsole(access.poolerName, 'SHOW DATABASES')}`,
      );
  }
  return {
    kind: 'word',
    warning: `F5: no client gets through ${access.poolerName}: that it leads to ${target} is its own word (limit: a query through the pool). Next: ${poolerConsole(access.poolerName, 'SHOW DATABASES')}`,
  };
}

function disabledSays({ topology, poolerName }: ClusterAccess): string {
  const { refusal, measured, limit, next } = disabledWords(topology, poolerName);
  return `F2: ${refusal}: ${measured} (limit: ${limit}). Next: ${next}`;
}

/**
 * F5: a client of the pool ends up at the target, or PgBouncer says so where nobody gets in.
 * @param address the target's own, as a direct session tells it
 * @throws Error where it does not
 */
export async function verifyWay(
  access: ClusterAccess,
  way: ClientWay,
  target: string,
  address: string | null,
): Promise<void> {
  if (way.kind === 'not asked') return;
  if (way.kind === 'word') return requireRoute(access, target, address);
  const [behind] = await way.door.query<{ in_recovery: boolean; address: string | null }>(
    'SELECT pg_catalog.pg_is_in_recovery() AS in_recovery, CAST(pg_catalog.inet_server_addr() AS pg_catalog.text) AS address',
  );
  if (behind === undefined || behind.in_recovery || behind.address !== address) {
    throw new Error(
      `the pool reaches ${behind?.address ?? 'nobody'}${behind?.in_recovery === true ? ', a standby' : ''}, and not ${target} (${address})`,
    );
  }
}
