import { formatMs } from '../duration';
import { evidenceOf } from './evidence';
import type { GuardPolicy } from './policy';
import { isStalled, isWritable } from './rounds';
import type { Round, Verdict } from './signals';

/*
 * A disk that takes no writes any more, such as a dead iSCSI volume, a frozen file system or a thin pool without room, leaves reads
 * well: the primary answers every question, its agent too, and each COMMIT hangs for ever. Three signs have to agree that it is so:
 *
 * - a write of the guard's own is not on the disk for `writeLimit`;
 * - the server's flushed position stands still all that time: a disk that is merely slow, as under a checkpoint, moves it;
 * - the server says over another session that this write waits for its WAL: what waits for anything else, or whose answer was lost on
 *   the way here, is no failure of a disk.
 */

/** Waits that are those of WAL on its way to the disk, or for whoever writes it. */
const WAL_WAIT = /^(IO \S+|LWLock WAL\S*)$/i;

/** Is the guard's own write, in this round, one that waits for the disk by the server's own word? */
function waitsForDisk({ write }: Round): boolean {
  return write?.waitsFor !== undefined && WAL_WAIT.test(write.waitsFor);
}

/** What a primary is that answers, and on whose disk the guard's own write does not arrive; undefined while that is no older than a moment. */
export function judgeWrites(rounds: readonly Round[], policy: GuardPolicy): Verdict | undefined {
  const newest = rounds.at(-1);
  if (newest?.write === undefined) return undefined;
  const { sql, write } = newest;
  const since = newest.at - write.hangsMs;
  const signals = evidenceOf(newest, newest.at, []);
  const hangs = `a write of the guard's own has not reached its disk for ${formatMs(write.hangsMs)}, and neither has any other WAL`;
  const limit = formatMs(policy.writeLimit);
  const confirming = rounds.slice(
    rounds.findLastIndex(
      (round) =>
        !isWritable(round.sql) || isStalled(round, policy) || round.write === undefined || !waitsForDisk(round),
    ) + 1,
  );
  if (write.hangsMs >= policy.writeLimit && confirming.length >= policy.confirmations)
    return {
      state: 'failed',
      kind: 'unwritable',
      says: `${sql.name} answers and can't write: ${hangs}; by the server's own word it waits for ${write.waitsFor} (limit: ${limit})`,
      signals,
      since,
    };
  const why = waitsForDisk(newest)
    ? `by the server's own word it waits for ${write.waitsFor}; it counts as failed after ${limit} and ${policy.confirmations} rounds`
    : `the server ${write.waitsFor === undefined ? 'does not say what it waits for' : `says that it waits for ${write.waitsFor}`}, which proves no failure of its disk`;
  // Nothing fails that could wait: a write that hangs waits already, and a hold has an end of its own.
  return { state: 'suspect', says: `${sql.name} answers, but ${hangs}: ${why}`, hold: false, signals };
}
