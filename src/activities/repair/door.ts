import { CancelledFailure } from '@temporalio/common';
import { logs } from '../../cluster/commands';
import type { Door } from '../../cluster/repair/round';
import { finalFailure, keepBeating, until } from '../context';
import { accessCluster, withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import { DoesNotEnd, endContainer } from '../end-container';
import { openDoor } from '../front-door';
import { messageOf, withinLimit } from '../guard/probe';
import { stillAsked, unlessLeft } from '../give-way';
import { whyShutOut } from '../shut-out';
import { requireOnePrimary, requirePrimary } from './parts';
import { stillMine } from '../still-mine';
import type { Woken } from './wake';

/** How long a client may take to get through, in milliseconds. */
const DOOR_LIMIT_MS = 3000;
/** How long PgBouncer may take to be back after a restart, in milliseconds. */
const BACK_LIMIT_MS = 30_000;

/** Where a server is, as it knows itself. */
export const where = `SELECT pg_catalog.pg_is_in_recovery() AS "inRecovery", CAST(pg_catalog.inet_server_addr() AS pg_catalog.text) AS address`;
export interface Where extends Record<string, unknown> {
  inRecovery: boolean;
  address: string | null;
}

/** Whom an ordinary client reaches through the pool (F5). Never throws. */
export async function askAtTheDoor(access: ClusterAccess): Promise<Door> {
  try {
    const [row] = await withinLimit(
      withSession(openDoor(access, DOOR_LIMIT_MS, { evenRefused: true }), (session) => session.query<Where>(where)),
      DOOR_LIMIT_MS + 500,
    );
    return row ?? { error: 'no row' };
  } catch (error) {
    return { error: messageOf(error) };
  }
}

/** Whom clients reach. Changes nothing. */
export async function lookThroughDoor(deps: ActivityDeps, cluster: string): Promise<Door> {
  const stopBeating = keepBeating(() => 'asking at the front door');
  try {
    return await askAtTheDoor(accessCluster(deps, cluster));
  } finally {
    stopBeating();
  }
}

/**
 * Starts PgBouncer's container, or ends its freeze, and waits until its agent answers. Clients are let in by that, on the route that it
 * had: who takes writes is asked right before. Idempotent. One that can't be started is no failure of the repair: it goes on without.
 * @throws Error when nobody takes writes; ApplicationFailure `Refused` when several nodes do, or one of another database system
 */
export async function startPooler(deps: ActivityDeps, cluster: string): Promise<Woken> {
  const access = accessCluster(deps, cluster);
  const name = access.poolerName;
  const stopBeating = keepBeating(() => `starting ${name}`);
  let last = '';
  const answers = async (): Promise<true | undefined> => {
    try {
      await withSession(access.pooler(), (pooler) => pooler.call('observe', {}));
      return true;
    } catch (error) {
      last = messageOf(error);
      return undefined;
    }
  };
  const started = async (): Promise<Woken> => {
    const { status } = await deps.docker.inspect(name);
    await stillMine(`start ${name}`);
    stillAsked();
    if (status === 'paused') await deps.docker.unpause(name);
    await deps.docker.start(name);
    await unlessLeft(until(`${name} answering`, BACK_LIMIT_MS, 100, answers, () => last));
    return { says: `${name} runs`, up: true };
  };
  try {
    stillAsked();
    await unlessLeft(requireOnePrimary(deps, access, `${name} is not started`));
    return await started().catch((error: unknown): Woken => {
      if (error instanceof CancelledFailure) throw error;
      const why = messageOf(error).replace(/\.$/, '');
      return { says: `${name} can't be started: ${why}. Next: ${logs(name)}`, up: false };
    });
  } finally {
    stopBeating();
  }
}

/**
 * Restarts PgBouncer where its clients do not reach the primary although its route leads there: it goes on using an address that a
 * node had before its container was started anew, and nothing short of a restart makes it look the name up again. Its clients lose
 * their connections, which lead nowhere good. Idempotent: where clients reach the primary nothing is done, nor where the primary itself
 * refuses them or somebody disabled their database: a restart would not let them in, or would undo what was meant.
 * @param backLimitMs how long clients may take to get through afterwards, in milliseconds
 * @throws ApplicationFailure `Failed` (not retried) where it was restarted in vain, or does not end
 */
export async function restartPooler(
  deps: ActivityDeps,
  request: { cluster: string; primary: string },
  backLimitMs = BACK_LIMIT_MS,
): Promise<string> {
  const access = accessCluster(deps, request.cluster);
  const { primary } = request;
  const stopBeating = keepBeating(() => `restarting ${access.poolerName}`);
  let met = 'nothing';
  const ask = async (): Promise<Door> => {
    const door = await askAtTheDoor(access);
    met = 'error' in door ? door.error : door.inRecovery ? `a standby, ${door.address ?? 'at no address'}` : primary;
    return door;
  };
  const leads = (door: Door) => !('error' in door) && !door.inRecovery;
  try {
    await requirePrimary(deps, access, primary);
    const door = await ask();
    if (leads(door)) return `clients reach ${primary} by now`;
    const shutOut = 'error' in door ? await whyShutOut(access, primary) : undefined;
    if (shutOut !== undefined) return `${access.poolerName} was left as it is: ${shutOut}`;
    stillAsked();
    // Started while something of it still runs, it would be left as it is.
    await endContainer(deps.docker, access.poolerName).catch((error: unknown) => {
      if (!(error instanceof DoesNotEnd)) throw error;
      throw finalFailure(
        'Failed',
        `F5: ${access.poolerName} was killed, and was not started again: ${error.message} (limit: a container that has ended). Next: docker start ${access.poolerName}`,
      );
    });
    await stillMine(`start ${access.poolerName}`);
    await deps.docker.start(access.poolerName);
    const back = until(`clients reaching ${primary}`, backLimitMs, 200, async () =>
      leads(await ask()) ? true : undefined,
    ).catch(() => {
      // Each further restart ends every client's connection once more.
      throw finalFailure(
        'Failed',
        `F5: ${access.poolerName} was restarted, and clients still do not reach ${primary}: a client meets ${met} (limit: ${backLimitMs} ms). Next: ${logs(access.poolerName)}`,
      );
    });
    await unlessLeft(back);
    return `${access.poolerName} was restarted, and clients reach ${primary}`;
  } finally {
    stopBeating();
  }
}
