import type { PostgresAgent } from '../../systems/agent';
import { recoveryOf } from '../../systems/postgres';
import { keepBeating, sleep } from '../context';
import { accessCluster, withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import {
  answeringAgent,
  claim,
  ensureReservedSlot,
  rejoinToken,
  samePlace,
  streamsTo,
  type RejoinRequest,
} from './parts';
import { steadyMs } from '../clock';

/** Whether the node streams, and if not, why. */
export type StartResult = { streams: true; ms: number } | { streams: false; why: string };

/** A standby that gets no further for this long, in milliseconds, will not get further at all. */
const STUCK_MS = 20_000;
/** In all, in milliseconds; one that gets further but is not through by then is waited for by the next attempt. */
const LIMIT_MS = 240_000;

/**
 * Starts the node as a standby of the primary, after its files were verified to say so (J9), and waits until the primary streams to
 * it. Idempotent.
 * @returns `streams: false` when the node does not get there: its data is not what the primary's history needs
 */
export async function startAsStandby(deps: ActivityDeps, request: RejoinRequest): Promise<StartResult> {
  const access = accessCluster(deps, request.cluster);
  const began = performance.now();
  const { node, primary } = request;
  const stopBeating = keepBeating(() => `${node} starting as a standby of ${primary}`);
  try {
    return await withSession(access.sql(primary), async (session) => {
      await ensureReservedSlot(session, node);
      await withSession(answeringAgent(access, node), (agent) => start(agent, access, request));
      const waiting = { since: steadyMs(), position: '', at: steadyMs(), crashes: 0 };
      while (!(await streamsTo(session, node))) {
        await noteProgress(access, node, waiting);
        const now = steadyMs();
        if (now - waiting.at > STUCK_MS) {
          const seen = waiting.position === '' ? 'it never answered' : `it stays at ${waiting.position}`;
          return { streams: false, why: `${node} does not come to stream from ${primary}: ${seen}` };
        }
        if (now - waiting.since > LIMIT_MS) throw new Error(`${node} replays, and is not through yet`);
        await sleep(50);
      }
      return { streams: true, ms: Math.round(performance.now() - began) };
    });
  } finally {
    stopBeating();
  }
}

async function start(agent: PostgresAgent, access: ClusterAccess, request: RejoinRequest): Promise<void> {
  const token = rejoinToken(request);
  const upstream = access.internal(request.primary);
  await claim(agent, token);
  const before = await agent.call('observe', {});
  const runs = before.desired === 'up' && before.postgres.state !== 'stopped' && before.signals.standby;
  if (!runs) {
    if (!before.signals.standby || !samePlace(before.upstream, upstream))
      await agent.call('fenceNow', { token, upstream }, 5000);
    const { signals, upstream: written } = await agent.call('observe', {});
    if (!signals.standby || !samePlace(written, upstream))
      throw new Error(
        `J9: ${request.node} is not started: its files say ${signals.standby ? `that it follows ${written?.host ?? 'nobody'}` : 'nothing of a standby'}`,
      );
  } else if (!samePlace(before.upstream, upstream)) {
    await agent.call('follow', { token, upstream });
    return;
  }
  await agent.call('start', { token, as: 'standby', upstream });
}

/** Has it replayed more than when it was last asked? */
async function noteProgress(
  access: ClusterAccess,
  node: string,
  waiting: { position: string; at: number },
): Promise<void> {
  try {
    const { received, replayed } = await withSession(access.sql(node, 2000), recoveryOf);
    const position = `${replayed ?? 'nothing'} (received ${received ?? 'nothing'})`;
    if (position !== waiting.position) Object.assign(waiting, { position, at: steadyMs() });
  } catch {
    // Before it has replayed to a consistent point it answers nobody; its control file moves meanwhile.
    await noteControlFile(access, node, waiting);
  }
}

async function noteControlFile(
  access: ClusterAccess,
  node: string,
  waiting: { position: string; at: number },
): Promise<void> {
  try {
    const { control, postgres } = await withSession(access.agent(node), (agent) => agent.call('observe', {}));
    const minimum = (control as { minRecoveryLsn?: string } | null)?.minRecoveryLsn ?? '';
    const position = `${control?.checkpointLsn ?? 'nothing'} (recovery to ${minimum}, PostgreSQL is ${postgres.state})`;
    if (position !== waiting.position && postgres.state !== 'stopped')
      Object.assign(waiting, { position, at: steadyMs() });
  } catch {
    // Nothing is known, and so there is no progress.
  }
}
