import { formatMs } from '../cluster/duration';
import { lsnBytes, type Lsn } from '../cluster/lsn';
import type { Protection } from '../cluster/topology';
import { AgentError, type PoolerAgent, type PostgresAgent, type Token } from '../systems/agent';
import { recoveryOf, type PostgresSession } from '../systems/postgres';
import type { SubStep } from '../workflows/run-state';
import { startCanary } from './canary';
import { finalFailure, heartbeat, keepBeating, lastHeartbeat, sleep, until } from './context';
import { accessCluster, type ActivityDeps, type ClusterAccess } from './deps';
import { SubStepRecorder, type MoveJournal } from './move-journal';
import { tokenOf, type Stage } from './token';

/** One planned move of the primary. Names and numbers only. */
export interface MoveRequest {
  cluster: string;
  /** The run's id: with the attempt it is the token that agents check. */
  run: string;
  source: string;
  target: string;
  /** Standbys that follow the target already, or will. */
  others: string[];
  protection: Protection;
  holdLimitMs: number;
  pauseLimitMs: number;
  /** The primary's timeline before the run. */
  timeline: number;
}

/** What the move measured. */
export interface MoveResult {
  /** Milliseconds from PAUSE until RESUME; null when the attempt that paused died before it could tell. */
  heldMs: number | null;
  canaryGapMs: number;
  canaryFailures: number;
  shutdownCheckpoint: Lsn | null;
  receivedByTarget: Lsn | null;
  subSteps: SubStep[];
  /** True when a synchronous standby had confirmed before clients went on. */
  confirmedBeforeRelease: boolean;
  warnings: string[];
}

/** Everything that the hold needs, opened before it. */
interface Parts {
  token: Token;
  source: PostgresAgent;
  target: PostgresAgent;
  pooler: PoolerAgent;
  targetSql: PostgresSession;
}

async function openParts(access: ClusterAccess, request: MoveRequest, stage: Stage): Promise<Parts> {
  const token = tokenOf(request.run, stage);
  const opened = await Promise.allSettled([
    access.agent(request.source),
    access.agent(request.target),
    access.pooler(),
    access.sql(request.target, request.holdLimitMs),
  ]);
  const failed = opened.find((part) => part.status === 'rejected');
  if (failed !== undefined) {
    for (const part of opened) if (part.status === 'fulfilled') part.value.close();
    throw failed.reason as Error;
  }
  const [source, target, pooler, targetSql] = opened.map((part) => (part as PromiseFulfilledResult<unknown>).value) as [
    PostgresAgent,
    PostgresAgent,
    PoolerAgent,
    PostgresSession,
  ];
  return { token, source, target, pooler, targetSql };
}

function closeParts(parts: Parts): void {
  parts.source.close();
  parts.target.close();
  parts.pooler.close();
  parts.targetSql.close();
}

/** Takes the three nodes for this attempt: from here on an earlier attempt's commands are refused by the agents. */
async function claimParts({ token, source, target, pooler }: Parts): Promise<void> {
  await Promise.all([
    source.call('claim', { token }),
    target.call('claim', { token }),
    pooler.call('claim', { token }),
  ]);
}

/**
 * The critical section: holds clients at PgBouncer, stops the primary, promotes the target, routes, and lets go.
 *
 * Each sub-step observes before it acts, so that another attempt goes on where an earlier one died. Before the promotion a
 * failure puts everything back and lets clients go before it is reported (failure type `RolledBack`); after it every failure is
 * retried forward.
 * @throws ApplicationFailure `RolledBack` (not retried), or an Error that is retried
 */
export async function movePrimary(deps: ActivityDeps, request: MoveRequest): Promise<MoveResult> {
  const access = accessCluster(deps, request.cluster);
  const journal: MoveJournal = lastHeartbeat<MoveJournal>() ?? { subSteps: [] };
  const stopBeating = keepBeating(() => journal);
  const recorder = new SubStepRecorder(journal, heartbeat, (point) => deps.faultPoint?.(point));
  let parts: Parts | undefined;
  try {
    const open = await recorder.run('open', 'open control sessions and take the nodes', async () => {
      const sessions = await openParts(access, request, 'move');
      parts = sessions;
      await claimParts(sessions);
      return sessions;
    });
    return await moveWith(access, request, open, recorder);
  } finally {
    stopBeating();
    if (parts !== undefined) closeParts(parts);
  }
}

async function moveWith(
  access: ClusterAccess,
  request: MoveRequest,
  parts: Parts,
  recorder: SubStepRecorder,
): Promise<MoveResult> {
  const { journal } = recorder;
  const warnings: string[] = [];
  const canary = startCanary(() => access.frontDoor(request.holdLimitMs + 30_000));
  await canary.started;
  try {
    const position = await positionOf(parts, request);
    if (position === 'promoting') await waitPromoted(parts.targetSql, request, access.topology.limits.promote);
    if (position === 'before') {
      try {
        await untilPromoted(access, request, parts, recorder);
      } catch (error) {
        if (error instanceof AgentError && error.type === 'Superseded') throw error;
        // A look that fails here is an error of its own, and retried: without knowing, nothing is undone.
        if ((await positionOf(parts, request)) !== 'before') throw error;
        await recorder.run('undo', 'put everything back and let clients go', () => putBack(access, request, parts));
        throw rolledBack(error as Error, request);
      }
    }
    const confirmedBeforeRelease = await afterPromotion(access, request, parts, recorder, warnings);
    const heldMs = journal.heldSince === undefined ? null : Date.now() - journal.heldSince;
    // Long enough to see clients' first commits on the new primary.
    await sleep(20);
    const seen = await canary.stop();
    return {
      heldMs,
      canaryGapMs: seen.gapMs,
      canaryFailures: seen.failures,
      shutdownCheckpoint: journal.shutdownCheckpoint ?? null,
      receivedByTarget: journal.receivedByTarget ?? null,
      subSteps: journal.subSteps,
      confirmedBeforeRelease,
      warnings,
    };
  } finally {
    await canary.stop();
  }
}

function rolledBack(error: Error, request: MoveRequest): Error {
  if (error instanceof AgentError && error.type === 'PauseTimeout') {
    return finalFailure(
      'RolledBack',
      `clients could not be held: ${error.message} (limit: ${formatMs(request.pauseLimitMs)}). They went on; ${request.source} is primary as before. ` +
        `Next: end the open transaction (veloz-ha postgres status names it), then veloz-ha postgres switchover`,
    );
  }
  return finalFailure(
    'RolledBack',
    `${error.message}. Everything was put back: ${request.source} is primary as before, clients go on`,
  );
}

/**
 * Where the move stands. The agents' records decide, not what an attempt remembers: the source is fenced before the promotion is
 * asked for, and the target writes down who asked before it acts.
 */
async function positionOf(
  { source, target, targetSql }: Parts,
  request: MoveRequest,
): Promise<'before' | 'promoting' | 'promoted'> {
  const [from, to, { inRecovery }] = await Promise.all([
    source.call('observe', {}),
    target.call('observe', {}),
    recoveryOf(targetSql),
  ]);
  const sourceWrites = from.desired === 'up' && from.postgres.state !== 'stopped' && !from.signals.standby;
  if (!inRecovery) {
    if (!sourceWrites) return 'promoted';
    throw finalFailure(
      'Failed',
      `two nodes are writable: ${request.source} and ${request.target}. Next: stop the one that clients must not reach (docker stop ${request.target}), then veloz-ha postgres status`,
    );
  }
  const fenced = from.desired === 'fenced' || from.signals.standby;
  return fenced && to.promotion?.run === request.run ? 'promoting' : 'before';
}

/** Hold, stop, prove, fence, promote. Everything here can be put back. */
async function untilPromoted(
  access: ClusterAccess,
  request: MoveRequest,
  parts: Parts,
  recorder: SubStepRecorder,
): Promise<void> {
  const { token, source, target, pooler, targetSql } = parts;
  const { journal } = recorder;
  const sourceAt = access.internal(request.source);
  const targetAt = access.internal(request.target);
  const limits = access.topology.limits;

  const before = await source.call('observe', {});
  if (before.desired === 'up' && before.signals.standby)
    throw new Error(`${request.source} runs as a standby, and ${request.target} is not promoted`);

  const hold = await recorder.run(
    'hold',
    `hold clients at ${access.poolerName}`,
    () => {
      journal.heldSince ??= Date.now();
      return pooler.call(
        'hold',
        { token, pauseLimitMs: request.pauseLimitMs, limitMs: request.holdLimitMs, candidates: [sourceAt, targetAt] },
        request.pauseLimitMs + 2000,
      );
    },
    (result) => `the dead-man switch lets go in ${formatMs(result.remainingMs)}`,
  );
  const stopped = await recorder.run(
    'stop',
    `stop ${request.source} cleanly`,
    () =>
      source.call(
        'stop',
        { token, limitMs: limits.stop, deadmanMs: hold.remainingMs, peers: [targetAt] },
        limits.stop + 2000,
      ),
    (result) => `shutdown checkpoint ${result.control.checkpointLsn}, "${result.control.state}"`,
  );
  const checkpoint = stopped.control.checkpointLsn;
  journal.shutdownCheckpoint = checkpoint;

  await recorder.run(
    'received',
    `prove that ${request.target} has the shutdown checkpoint`,
    async () => {
      let seen: Lsn = '0/0';
      journal.receivedByTarget = await until(
        `${request.target} receiving the shutdown checkpoint ${checkpoint}`,
        1000,
        1,
        async () => {
          const { received, replayed } = await recoveryOf(targetSql);
          // The record begins at the checkpoint's position: only a position beyond it proves that the record is there.
          seen = replayed ?? received ?? seen;
          return lsnBytes(seen) > lsnBytes(checkpoint) ? seen : undefined;
        },
        () => seen,
      );
    },
    () => `replayed to ${journal.receivedByTarget}`,
  );
  await recorder.run('fence', `fence ${request.source}: it can start only as a standby now`, () =>
    source.call('fence', { token, upstream: targetAt, deadmanMs: hold.remainingMs }),
  );
  await recorder.run('promote', `promote ${request.target}`, async () => {
    await target.call('promote', { token });
    // The old primary starts while the target promotes: it follows the change of timeline by itself, and is streaming sooner.
    const restart = source.call('start', { token, as: 'standby', upstream: targetAt });
    restart.catch(() => undefined);
    await waitPromoted(targetSql, request, limits.promote);
    await restart.catch(() => undefined);
  });
}

async function waitPromoted(targetSql: PostgresSession, request: MoveRequest, limitMs: number): Promise<void> {
  await until(`the promotion of ${request.target}`, limitMs, 2, async () =>
    (await recoveryOf(targetSql)).inRecovery ? undefined : true,
  );
}

/** Route, start the old primary as standby, have it confirm where that is asked for, let clients go. Only forward. */
async function afterPromotion(
  access: ClusterAccess,
  request: MoveRequest,
  parts: Parts,
  recorder: SubStepRecorder,
  warnings: string[],
): Promise<boolean> {
  const { token, source, pooler, targetSql } = parts;
  const targetAt = access.internal(request.target);

  await recorder.run('route', `send clients to ${request.target}`, () => pooler.call('route', { token, ...targetAt }));
  await recorder.run('restart', `start ${request.source} as standby`, () =>
    source.call('start', { token, as: 'standby', upstream: targetAt }),
  );
  let confirmed = false;
  if (request.protection === 'zero-loss') {
    await recorder.run('confirm', 'a synchronous standby confirms a commit', () => confirmCommit(targetSql));
    confirmed = true;
  }
  const released = await recorder.run('release', 'let clients go', () => pooler.call('release', { token }));
  recorder.journal.now = undefined;
  if (released.already) warnings.push('the dead-man switch had let clients go before the run could');
  return confirmed;
}

/**
 * A commit that waits for the synchronous standby: when it returns, one has it on disk. `state = streaming` alone proves nothing.
 * The session's own limit ends the waiting on our side only; the commit itself is never cancelled.
 */
async function confirmCommit(session: PostgresSession): Promise<void> {
  await session.query(`SELECT pg_logical_emit_message(true, 'veloz-ha', 'confirm')`);
}

/**
 * Before the promotion: the source is primary and running, the route leads to it, clients go. Idempotent.
 * @throws Error when that can't be reached
 */
async function putBack(
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
    // A stop that took too long still ends some time; a server that is stopping can't be told to go on.
    await until(`the stop of ${request.source}`, 60_000, 10, async () => {
      const { state } = (await source.call('observe', {})).postgres;
      return state === 'stopping' ? undefined : true;
    });
    await source.call('start', { token, as: 'primary' });
    await until(`${request.source} taking writes again`, 60_000, 20, async () => {
      try {
        const session = await access.sql(request.source);
        try {
          return (await recoveryOf(session)).inRecovery ? undefined : true;
        } finally {
          session.close();
        }
      } catch {
        return undefined;
      }
    });
  }
  await pooler.call('route', { token, ...sourceAt });
  await pooler.call('release', { token });
}

/**
 * Undoes a move that did not reach its promotion.
 * @returns false when the promotion was asked for: there is only forward
 */
export async function rollBackMove(deps: ActivityDeps, request: MoveRequest): Promise<boolean> {
  const access = accessCluster(deps, request.cluster);
  const parts = await openParts(access, request, 'roll back');
  const stopBeating = keepBeating(() => 'putting everything back');
  try {
    // Claimed first: a worker of the move that still lives can ask for nothing from here on.
    await claimParts(parts);
    if ((await positionOf(parts, request)) !== 'before') return false;
    await putBack(access, request, parts);
    return true;
  } finally {
    stopBeating();
    closeParts(parts);
  }
}
