import { clusterStatus, psql } from '../cluster/commands';
import { formatMs } from '../cluster/duration';
import { lsnBytes, type Lsn } from '../cluster/lsn';
import { slotName } from '../cluster/topology';
import { AgentError } from '../systems/agent';
import { recoveryOf, type PostgresSession } from '../systems/postgres';
import type { SubStep } from '../workflows/run-state';
import { startCanary } from './canary';
import { attempt, finalFailure, heartbeat, keepBeating, lastHeartbeat, sleep, until } from './context';
import { steadyMs } from './clock';
import { accessCluster, type ActivityDeps, type ClusterAccess } from './deps';
import { openDoor } from './front-door';
import { SubStepRecorder, type MoveJournal } from './move-journal';
import { afterPromotion, onwardWithoutSource, waitsForSource } from './move-onward';
import { closeParts, claimParts, openParts, positionOf, type MoveRequest, type Parts } from './move-parts';
import { putBack, rollBackMove } from './move-undo';

/** How long the target may take to have the shutdown checkpoint and to replay it (G2), in milliseconds. */
const RECEIVE_LIMIT_MS = 1000;
/** How long the source may take to be reached, and for its last CHECKPOINT before clients are held, in milliseconds. */
const FLUSH_LIMIT_MS = 2000;
/** After this time, in milliseconds, a reader that holds replay up on the target is ended: clients wait. */
const READER_PATIENCE_MS = 100;

/** What the move measured. */
export interface MoveResult {
  /** Milliseconds from PAUSE until RESUME; null when the attempt that paused died before it could tell. */
  heldMs: number | null;
  canaryGapMs?: number;
  canaryFailures: number;
  /** Somebody else promoted the target during the move: that it had everything is not proven. Absent otherwise. */
  promotedByOthers?: true;
  shutdownCheckpoint: Lsn | null;
  receivedByTarget: Lsn | null;
  subSteps: SubStep[];
  /** True when a synchronous standby had confirmed before clients went on. */
  confirmedBeforeRelease: boolean;
  warnings: string[];
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
    try {
      parts = await recorder.run('open', 'open control sessions and take the nodes', () =>
        openAndClaim(deps, access, request),
      );
    } catch (error) {
      const warnings: string[] = [];
      const went = await onwardWithoutSource(access, request, recorder, warnings, error as Error);
      if (went === undefined) throw error;
      return { ...resultOf(journal), canaryFailures: 0, confirmedBeforeRelease: went.confirmed, warnings };
    }
    return await moveWith(access, request, parts, recorder);
  } catch (error) {
    throw supersededByOther(error, request) ?? error;
  } finally {
    stopBeating();
    if (parts !== undefined) closeParts(parts);
  }
}

/** A node that can't be reached ends the move here, with everything put back, rather than with clients who wait for it. */
async function openAndClaim(deps: ActivityDeps, access: ClusterAccess, request: MoveRequest): Promise<Parts> {
  let parts: Parts | undefined;
  try {
    parts = await openParts(access, request, 'move');
    await claimParts(parts);
    return parts;
  } catch (error) {
    if (parts !== undefined) closeParts(parts);
    if (error instanceof AgentError && ['Superseded', 'Busy'].includes(error.type)) throw error;
    // When this can't be told or done either, its own error is retried, and the dead-man switches bound the hold.
    if (await rollBackMove(deps, request, 'move')) throw rolledBack(error as Error, request);
    throw error;
  }
}

/** Another run took the nodes: trying again would only fight it. A newer attempt of this run is a matter of Temporal's. */
function supersededByOther(error: unknown, request: MoveRequest): Error | undefined {
  if (
    !(error instanceof AgentError) ||
    error.type !== 'Superseded' ||
    error.message.includes(`belongs to run ${request.run} `)
  )
    return undefined;
  return finalFailure(
    'Failed',
    `${error.message} Another run took the nodes in the middle of this one. Next: ${clusterStatus(request.cluster)}`,
  );
}

async function moveWith(
  access: ClusterAccess,
  request: MoveRequest,
  parts: Parts,
  recorder: SubStepRecorder,
): Promise<MoveResult> {
  const { journal } = recorder;
  const warnings: string[] = [];
  const canary = startCanary(() => openDoor(access, request.holdLimitMs + 30_000));
  // An earlier attempt may have left clients held: a canary could only wait with them, and make them wait longer.
  if (attempt() === 1) await canary.started;
  try {
    const position = await positionOf(parts, request);
    const byOthers = position === 'promoted' && (await parts.target.call('observe', {})).promotion?.run !== request.run;
    if (byOthers)
      warnings.push(
        `K1: somebody else promoted ${request.target} during the move: that it had everything that ${request.source} acknowledged is not proven`,
      );
    if (position === 'promoting') await promoteAgain(access, request, parts, recorder);
    if (position === 'before') {
      try {
        await untilPromoted(access, request, parts, recorder);
      } catch (error) {
        if (error instanceof AgentError && error.type === 'Superseded') throw error;
        if (parts.promotionAsked && !isRevoked(error)) throw error;
        await recorder.run('undo', 'put everything back and let clients go', () => putBack(access, request, parts));
        throw rolledBack(error as Error, request);
      }
    }
    const confirmedBeforeRelease = await afterPromotion(access, request, parts, recorder, warnings);
    // Long enough to see clients' first commits on the new primary.
    await sleep(20);
    const seen = await canary.stop();
    return {
      ...resultOf(journal),
      // What came after an attempt that died saw only the end of it.
      ...(attempt() === 1 && seen.commits > 1 ? { canaryGapMs: seen.gapMs } : {}),
      canaryFailures: seen.failures,
      ...(byOthers ? { promotedByOthers: true } : {}),
      confirmedBeforeRelease,
      warnings,
    };
  } finally {
    await canary.stop();
  }
}

/** What the attempts measured so far. */
const resultOf = ({ heldMs, shutdownCheckpoint, receivedByTarget, subSteps }: MoveJournal) => ({
  heldMs: heldMs ?? null,
  shutdownCheckpoint: shutdownCheckpoint ?? null,
  receivedByTarget: receivedByTarget ?? null,
  subSteps,
});

/** The target's agent refused the promotion for good: the source's dead-man switch had asked it to, and took over. */
function isRevoked(error: unknown): boolean {
  return error instanceof AgentError && error.type === 'Revoked';
}

function rolledBack(error: Error, request: MoveRequest): Error {
  if (error instanceof AgentError && error.type === 'PauseTimeout') {
    return finalFailure('RolledBack', pauseTimeoutSentence(error, request));
  }
  return finalFailure('RolledBack', `${error.message.replace(/\.$/, '')}. Everything was put back, and clients go on`);
}

/** Who kept PAUSE waiting, and how to end that. */
function pauseTimeoutSentence(error: AgentError, { cluster, source, pauseLimitMs }: MoveRequest): string {
  const open = (error.details?.transactions ?? []) as { serverPid: number; user: string; applicationName?: string }[];
  const who = open.map(({ serverPid, user, applicationName }) =>
    `pid ${serverPid} of ${user} ${applicationName == null || applicationName === '' ? '' : `(${applicationName})`}`.trim(),
  );
  const [first] = open;
  const next =
    first === undefined ? clusterStatus(cluster) : psql(source, `SELECT pg_terminate_backend(${first.serverPid})`);
  return (
    `clients could not be held: ${who.length === 0 ? 'somebody was' : `${who.join(', ')} ${who.length === 1 ? 'was' : 'were'}`} ` +
    `still in a transaction after ${formatMs(pauseLimitMs)} (limit: ${formatMs(pauseLimitMs)}, limits.pause). They went on. Next: ${next}`
  );
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

  // What little was written since the last checkpoint, so that the stop has nothing to write.
  const strangers = await recorder.run('flush', `CHECKPOINT on ${request.source} once more`, () =>
    flush(access, request, before.desired === 'up' && before.postgres.state === 'running'),
  );
  const hold = await recorder.run(
    'hold',
    `hold clients at ${access.poolerName}`,
    () => {
      recorder.holdBegins();
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
        { token, limitMs: limits.stop, deadmanMs: hold.remainingMs, peers: [targetAt], strangers },
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
      const began = steadyMs();
      let cleared = false;
      journal.receivedByTarget = await until(
        `${request.target} receiving the shutdown checkpoint ${checkpoint}`,
        RECEIVE_LIMIT_MS,
        1,
        async () => {
          const { received, replayed } = await recoveryOf(targetSql);
          // The record begins at the checkpoint's position: only a position beyond it proves that the record is there.
          seen = replayed ?? received ?? seen;
          // All of it is there and not replayed: a reader may be in the way, for as long as it likes.
          const held = received !== null && lsnBytes(received) > lsnBytes(checkpoint);
          if (!cleared && held && steadyMs() - began > READER_PATIENCE_MS) {
            cleared = true;
            void target.call('clearReplay', { token, limitMs: RECEIVE_LIMIT_MS }).catch(() => undefined);
          }
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
  await recorder.run('promote', `promote ${request.target}, route clients to it`, async () => {
    parts.promotionAsked = true;
    await target.call('promote', { token });
    recorder.at('promoting');
    // Clients are held, so the route may change before the promotion is through; and where they wait for the old primary, it
    // starts at once: it follows the change of timeline by itself, and streams the sooner.
    const ahead = [
      pooler.call('route', { token, ...targetAt }),
      ...(waitsForSource(request) ? [source.call('start', { token, as: 'standby', upstream: targetAt })] : []),
    ];
    const settled = Promise.allSettled(ahead);
    await waitPromoted(targetSql, request, limits.promote);
    await settled;
  });
}

/**
 * @param runs by its agent's word; an attempt that comes after the stop finds nobody to checkpoint
 * @returns the walsenders that are no node's: they must not hold the stop up
 * @throws Error when the source runs and can't be reached: clients would be held for a stop whose last WAL reaches nobody
 */
async function flush(access: ClusterAccess, request: MoveRequest, runs: boolean): Promise<number[]> {
  let opened: PostgresSession;
  try {
    opened = await access.sql(request.source, FLUSH_LIMIT_MS);
  } catch (error) {
    if (!runs) return [];
    throw new Error(
      `${request.source} runs and can't be reached: ${(error as Error).message.replace(/\.$/, '')} (limit: a connection within ${formatMs(FLUSH_LIMIT_MS)})`,
    );
  }
  try {
    const slots = access.topology.postgres.nodes.map(({ name }) => slotName(name));
    // Asked first: a CHECKPOINT may take longer than its limit, and they would hold the stop up all the same.
    const rows = await opened.query<{ pid: number }>(
      `SELECT a.pid FROM pg_stat_replication a LEFT JOIN pg_replication_slots s ON s.active_pid = a.pid WHERE (s.slot_name = ANY ($1::text[])) IS NOT TRUE LIMIT 256`,
      [slots],
    );
    await opened.query('CHECKPOINT').catch(() => undefined);
    return rows.map(({ pid }) => pid);
  } catch {
    return [];
  } finally {
    opened.close();
  }
}

/**
 * An earlier attempt asked for the promotion, and nobody knows whether the request outlived the server that it was made to: PostgreSQL
 * forgets it when it ends. The agent knows, and asks again where it has to.
 */
async function promoteAgain(
  access: ClusterAccess,
  request: MoveRequest,
  { token, target, targetSql }: Parts,
  recorder: SubStepRecorder,
): Promise<void> {
  await recorder.run('promote', `go on with the promotion of ${request.target}`, async () => {
    try {
      await target.call('promote', { token });
    } catch (error) {
      // It was promoted since it was asked where it stands.
      if (!(error instanceof AgentError) || error.type !== 'NotStandby') throw error;
    }
    await waitPromoted(targetSql, request, access.topology.limits.promote);
  });
}

async function waitPromoted(targetSql: PostgresSession, request: MoveRequest, limitMs: number): Promise<void> {
  await until(`the promotion of ${request.target}`, limitMs, 2, async () =>
    (await recoveryOf(targetSql)).inRecovery ? undefined : true,
  );
}
