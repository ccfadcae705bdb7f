import { ActivityFailure, ApplicationFailure, patched, sleep } from '@temporalio/workflow';
import type { ClusterDescription } from '../../activities';
import { watchRun } from '../../cluster/commands';
import { copyLock, type LockName } from '../../cluster/locks';
import { tierName, tiers, type Tier } from '../../cluster/maintenance/sides';
import type { Report } from '../run-state';
import { act, reading } from './activity-options';
import type { Run } from './run';

/**
 * The request, or the end of the run.
 * @param start the command that starts this runbook, without its cluster: nobody knows it yet
 * @throws ApplicationFailure `BadInput`
 */
export function requestOf<Request>(parsed: { request: Request } | { mistake: string }, start: string): Request {
  if ('request' in parsed) return parsed.request;
  throw ApplicationFailure.nonRetryable(
    `${parsed.mistake}. Nothing was changed. Next: ${start} --help, or start it again with an empty form`,
    'BadInput',
  );
}

/** @throws ApplicationFailure `BadInput`, as the run's own failure and not as one of its activity */
export async function describeCluster(requested: string | undefined): Promise<ClusterDescription> {
  try {
    return await act(reading, 'Read the topology').describeCluster(requested);
  } catch (error) {
    const cause = error instanceof ActivityFailure ? error.cause : undefined;
    if (cause instanceof ApplicationFailure && cause.type === 'BadInput')
      throw ApplicationFailure.nonRetryable(cause.message, 'BadInput');
    throw error;
  }
}

/** How often a lock is tried again whose holder has ended. */
const ENDED_TRIES = 3;
/** A run that has ended gives its lock back a moment later. */
const ENDED_AFTER = '500ms';

/** How a run takes its lock. */
export interface LockWish {
  /** How often it is tried, a second apart, before the run ends. Default: once. */
  tries?: number;
  /**
   * Locks that nobody may hold beside it. A planned run names those of the other tiers; what puts a fault right names none, so that no
   * run of another tier ever holds it up.
   */
  alone?: readonly LockName[];
}

/** For a planned run: the locks of all other tiers, and of all nodes whose data is copied. */
export function othersOf(run: Run, { topology }: ClusterDescription): LockName[] {
  return [...tiers.filter((tier) => tier !== run.tier), ...topology.postgres.nodes.map(({ name }) => copyLock(name))];
}

/**
 * Takes the lock of the run's tier, and then asks for those that must be free beside it. In that order: of two planned runs that begin
 * at the same moment both may end, and never do both go on.
 * @param start the command that starts this runbook again, for this cluster
 * @returns the report of a run that ends because another one holds it (thrown by `run.end`), or undefined
 */
export async function lockOrEnd(run: Run, start: string, wish: LockWish = {}): Promise<Report | undefined> {
  const { tries = 1, alone = [] } = wish;
  const waiting = `Waiting for the lock of ${tierName[run.tier]}`;
  let holder: string | undefined;
  for (let left = tries, ended = ENDED_TRIES; ;) {
    if (await run.lock()) return aloneOrEnd(run, start, alone);
    if (--left > 0) {
      run.changed(`${waiting}: another run holds it`);
      await sleep('1s', { summary: waiting });
      continue;
    }
    holder = await askForHolder(run);
    // The run before this one has ended, and its lock ends a moment later.
    if (holder !== undefined || --ended < 0) break;
  }
  return endBusy(run, start, run.tier, holder, 'one run at a time');
}

/** The run that holds the lock of this run's tier. */
export function askForHolder({ state: { cluster }, tier, locksByTier }: Run): Promise<string | undefined> {
  const asking = act(reading, 'Ask who holds the lock');
  return locksByTier ? asking.lockHolder(cluster, tier) : asking.lockHolder(cluster);
}

/**
 * Ends the run where somebody else holds one of these locks. Once more a moment later: a run that has ended is nobody.
 * @returns the report of a run that ends (thrown by `run.end`), or undefined
 */
export async function aloneOrEnd(run: Run, start: string, locks: readonly LockName[]): Promise<Report | undefined> {
  if (locks.length === 0 || !run.locksByTier) return undefined;
  const look = () => act(reading, 'Ask who holds the locks of the others').heldLocks(run.state.cluster, locks);
  if ((await look()).length === 0) return undefined;
  await sleep(ENDED_AFTER, { summary: 'Looking again: the lock of a run that has ended ends a moment later' });
  const [other] = await look();
  if (other === undefined) return undefined;
  return endBusy(run, start, other.lock, other.holder, 'no planned run beside another run');
}

/**
 * Lets go of the lock once the nodes are given back: what follows is a look for the report, and others may have to act by then. Nobody
 * waits until it is free.
 */
export function letGo(run: Run): void {
  // A run that was begun by a version which kept it until its end goes on as it began.
  if (run.locksByTier && run.holdsLock && patched('lock-until-given-back')) void run.unlock();
}

/** What is locked, in a sentence. */
const lockedWords = (lock: LockName, cluster: string): string =>
  isTier(lock)
    ? `${tierName[lock]} of cluster ${cluster}`
    : `${lock.slice(copyLock('').length)} of cluster ${cluster}, whose data is copied,`;

const isTier = (lock: LockName): lock is Tier => (tiers as readonly string[]).includes(lock);

/** Ends the run because another one holds a lock that it needs. */
function endBusy(run: Run, start: string, lock: LockName, holder: string | undefined, limit: string): Report {
  const next =
    holder === undefined
      ? { command: start, why: 'starts it again: whoever held the lock has ended' }
      : { command: watchRun(holder), why: 'follows the run that holds the lock' };
  return run.end(
    'busy',
    `E1: ${lockedWords(lock, run.state.cluster)} is locked: ${holder === undefined ? 'a run that has ended this moment held it' : `run ${holder} holds it`} (limit: ${limit}). Nothing was changed. Next: ${next.command}`,
    { next: [next] },
  );
}
