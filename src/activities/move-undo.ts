import { AgentError, type PostgresObservation } from '../systems/agent';
import { recoveryOf } from '../systems/postgres';
import { keepBeating, until } from './context';
import { accessCluster, withSession, type ActivityDeps, type ClusterAccess } from './deps';
import { type MoveRequest, type Parts } from './move-parts';
import { tokenOf, type Stage } from './token';

/** How long a stop that did not end in its time may still take before it is cut short, in milliseconds. */
const STOP_PATIENCE_MS = 500;
/** A server that runs and gives no answer for this long is not reached, in milliseconds. */
const REACH_LIMIT_MS = 1000;
/** A start that ends a server first has its processes to wait for, and its peers to ask, in milliseconds. */
const START_LIMIT_MS = 15_000;

/**
 * Before the promotion: the source is primary and running, the route leads to it, clients go. Idempotent.
 * @throws Error when that can't be reached
 */
export async function putBack(
  access: ClusterAccess,
  request: MoveRequest,
  parts: Pick<Parts, 'token' | 'source' | 'pooler'>,
): Promise<void> {
  const { token, source, pooler } = parts;
  const sourceAt = access.internal(request.source);
  const before = await source.call('observe', {});
  const isPrimary = before.desired === 'up' && before.postgres.state === 'running' && !before.signals.standby;
  if (!isPrimary) {
    if (before.signals.standby && before.postgres.state !== 'stopped') {
      await source.call('stop', { token, limitMs: 10_000, deadmanMs: 30_000, peers: [] }, 12_000);
    }
    // A server that is stopping can't be told to go on: it ends now, or is ended, since clients wait.
    const limit = performance.now() + STOP_PATIENCE_MS;
    await until(`the stop of ${request.source}`, 60_000, 10, async () => {
      const { state } = (await source.call('observe', {})).postgres;
      return state === 'stopping' && performance.now() < limit ? undefined : true;
    });
    await source.call('start', { token, as: 'primary', endsStop: true }, START_LIMIT_MS);
    await untilWritable(access, request, source);
  }
  await pooler.call('route', { token, ...sourceAt });
  await pooler.call('release', { token });
}

/**
 * Waits until the source takes writes. By its agent's word it may do so where nobody reaches it any more: clients are then no better off
 * for being held, and a failover has to wait for the end of this.
 */
async function untilWritable(
  access: ClusterAccess,
  { source: node }: MoveRequest,
  source: Parts['source'],
): Promise<void> {
  let runsSince: number | undefined;
  await until(`${node} taking writes again`, 60_000, 20, async () => {
    try {
      return await withSession(access.sql(node, REACH_LIMIT_MS), async (session) =>
        (await recoveryOf(session)).inRecovery ? undefined : true,
      );
    } catch {
      const { postgres } = await source.call('observe', {});
      runsSince = postgres.state === 'running' ? (runsSince ?? performance.now()) : undefined;
      return runsSince !== undefined && performance.now() - runsSince >= REACH_LIMIT_MS ? true : undefined;
    }
  });
}

/** Could the target have been asked for its promotion? Only where the source was fenced for it. */
const isFenced = (source: PostgresObservation): boolean => source.desired === 'fenced' || source.signals.standby;

/**
 * Undoes a move that did not reach its promotion. Needs the target only when the source is fenced: without a fence nobody can
 * have asked for a promotion, and a dead target must not keep the old primary down.
 * @returns false when the promotion was asked for: there is only forward
 */
export async function rollBackMove(
  deps: ActivityDeps,
  request: MoveRequest,
  stage: Stage = 'roll back',
): Promise<boolean> {
  const access = accessCluster(deps, request.cluster);
  const token = tokenOf(request.run, stage);
  const stopBeating = keepBeating(() => 'putting everything back');
  try {
    return await withSession(access.agent(request.source), (source) =>
      withSession(access.pooler(), async (pooler) => {
        // Claimed first: a worker of the move that still lives can ask for nothing of these two from here on.
        await Promise.all([source.call('claim', { token }), pooler.call('claim', { token })]);
        const seen = await source.call('observe', {});
        if (isFenced(seen)) {
          const asked = await withSession(access.agent(request.target), async (target) => {
            await target.call('claim', { token });
            const { promotion, signals } = await target.call('observe', {});
            return promotion?.run === request.run || !signals.standby;
          });
          if (asked) return false;
        }
        await putBack(access, request, { token, source, pooler });
        return true;
      }),
    );
  } catch (error) {
    if (error instanceof AgentError && error.node === request.target) {
      throw new Error(
        `${request.source} is fenced, and ${request.target}, which may have been promoted, does not answer: ${error.message}`,
      );
    }
    throw error;
  } finally {
    stopBeating();
  }
}
