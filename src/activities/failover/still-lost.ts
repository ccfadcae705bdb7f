import { FULL_DISK_BYTES } from '../../cluster/guard/evidence';
import { clusterStatus, logs } from '../../cluster/commands';
import { formatSize } from '../../cluster/size';
import { finalFailure } from '../context';
import { withSession, type ClusterAccess } from '../deps';
import { withinLimit } from '../guard/probe';
import { FLUSHED_WRITE } from '../guard/write-watch';
import type { FailoverMove } from './move';
import { askPooler, type FailoverParts } from './parts';

/*
 * A primary that answers is failed over for one of two reasons only: it can't write, or clients can't reach it. Both may be over by the
 * time somebody acts, and what follows ends a server that is well then. So it is asked once more, right before the fence (I8).
 */

/** How long the agent of a node may take to say how full its disk is, in milliseconds. */
const DISK_LIMIT_MS = 500;
/** How long a write may take to reach the disk, in milliseconds: clients are held meanwhile. */
const WRITE_LIMIT_MS = 1000;
/** How long the primary may take to answer the pooler's agent, in milliseconds. */
const REACH_LIMIT_MS = 500;

/** Kinds of failure of a primary that answers. */
export const answersThough = (kind: FailoverMove['kind']): boolean => kind === 'unwritable' || kind === 'unreachable';

/** How a disk takes no writes: it has no room, it hangs, or its node's agent gives no answer. */
export type DiskTrouble = 'full' | 'hangs' | 'silent';

/**
 * A disk that was full for a moment, by a query that spilled and was rolled back, is no reason any more: the same query would fill that
 * of the next primary. Neither is one that hung and writes again. One whose agent gives no answer stays as it was seen.
 * @returns what is wrong with it
 * @throws ApplicationFailure `Refused` when it has room and takes writes
 */
export async function requireStillUnwritable(access: ClusterAccess, source: string): Promise<DiskTrouble> {
  const freeBytes = await withSession(access.agent(source), async (agent) => {
    const { desired, disk } = await agent.call('observe', {}, DISK_LIMIT_MS);
    // This run has fenced it: there is no way back to what it was.
    return desired === 'up' ? disk.freeBytes : 0;
  }).catch(() => undefined);
  if (freeBytes === undefined) return 'silent';
  if (freeBytes < FULL_DISK_BYTES) return 'full';
  const ms = await writeOn(access, source);
  if (ms === undefined) return 'hangs';
  throw finalFailure(
    'Refused',
    `I8: the disk of ${source} takes writes: ${formatSize(freeBytes)} are free (limit: less than ${formatSize(FULL_DISK_BYTES)}), and one reached it after ${ms} ms (limit: ${WRITE_LIMIT_MS} ms). Nothing was changed. Next: ${clusterStatus(access.name)}`,
  );
}

/** Milliseconds until a write was on the node's disk; undefined where it did not get there in time. */
async function writeOn(access: ClusterAccess, source: string): Promise<number | undefined> {
  const began = performance.now();
  const write = withSession(access.sql(source, WRITE_LIMIT_MS, { connectLimitMs: WRITE_LIMIT_MS }), (session) =>
    session.query(FLUSHED_WRITE),
  );
  return withinLimit(write, WRITE_LIMIT_MS).then(
    () => Math.round(performance.now() - began),
    () => undefined,
  );
}

/**
 * A way that is open again is no reason any more; nor is the way of a pooler that gives no answer itself.
 * @throws ApplicationFailure `Refused` when the pooler reaches the node, or is silent
 */
export async function requireStillUnreachable(
  access: ClusterAccess,
  parts: FailoverParts,
  source: string,
): Promise<void> {
  const asked = { addresses: [access.internal(source)], limitMs: REACH_LIMIT_MS };
  const said = await askPooler(parts, (pooler) => pooler.call('ask', asked, REACH_LIMIT_MS + 400));
  if (said === undefined)
    throw finalFailure(
      'Refused',
      `I8: whether ${access.poolerName} reaches ${source} is not known: ${(parts.poolerProblem ?? 'no answer').replace(/\.$/, '')} (limit: its answer within ${REACH_LIMIT_MS} ms). Nothing was changed. Next: ${logs(access.poolerName)}`,
    );
  const { answers } = said;
  const [answer] = answers;
  if (answer === undefined || !(answer.writable || answer.standby || answer.speaks)) return;
  throw finalFailure(
    'Refused',
    `I8: ${access.poolerName} reaches ${source} again: it answered within ${Math.round(answer.ms)} ms (limit: no answer within ${REACH_LIMIT_MS} ms). Nothing was changed. Next: ${clusterStatus(access.name)}`,
  );
}
