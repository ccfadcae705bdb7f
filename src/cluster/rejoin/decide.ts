import type { Comparison } from '../../systems/agent';
import { lsnBytes, lsnDistance, type Lsn } from '../lsn';
import { formatSize } from '../size';

/** What has to be done to a stopped node's data before it can follow the primary. */
export type RejoinMethod = 'none' | 'rewind' | 'copy';

/** What the comparison of a stopped node with the primary comes to. */
export type RejoinDecision =
  | {
      method: RejoinMethod;
      /** Half a sentence: why this and nothing less. */
      why: string;
      /** Where the node's history left the primary's: everything behind it is in the way. Absent when nothing is, or nobody knows. */
      divergedAt?: Lsn;
      /** The timeline on whose WAL the node has what is behind it: its own newest, which begins with what it took over. */
      divergedTimeline?: number;
      /** WAL that only this node has, in bytes; absent when it can't be told. */
      lostBytes?: number;
    }
  /** The node must not be touched: half a sentence why. */
  | { method: 'refuse'; why: string };

/** WAL that only one node had, and will have no more. */
export interface LostWal {
  /** From where the histories part to its end; 0 when the end could not be read. */
  bytes: number;
  /** Commit records in it. */
  commits: number;
  /** False: it could not be read to its end, and there may be more. Absent otherwise. */
  complete?: false;
  /** False: it was too much to be kept, or keeping it failed. Absent otherwise. */
  kept?: false;
}

/** What is asked for: what its history says, or a full copy whatever it says. */
export interface RejoinWish {
  method: 'auto' | 'copy';
}

/** A comparison, with the timelines that the node itself came from where those are known. */
export type ComparedNode = Comparison & { local: { history?: Comparison['history'] } };

/** The last point that both histories have in common. */
interface Fork {
  timeline: number;
  lsn: Lsn;
}

/**
 * Nothing, a rewind, or a full copy: decided from the timeline histories (J2, J3, J6, C5). Pure.
 *
 * A node whose WAL ends before the primary left its timeline can follow as it is. One that has more must be rewound; a full copy is
 * for what a rewind can't help: no data, more WAL on the very same timeline, a rewind that was begun and not finished, or pages
 * whose changes were not all logged. A node that was itself a primary on the timeline on which the primary takes writes is copied
 * wherever its WAL ends: equal numbers and equal switch points do not make one history of two.
 */
export function decideRejoin(comparison: ComparedNode, wish: RejoinWish): RejoinDecision {
  const { upstream, local } = comparison;
  if (!upstream.writable) return { method: 'refuse', why: 'what it should follow is no primary' };
  const { timeline } = local;
  // A control file that was overwritten with zeros reads as system 0.
  const systemIdentifier = local.systemIdentifier === '0' ? null : local.systemIdentifier;
  if (systemIdentifier !== null && systemIdentifier !== upstream.systemIdentifier) {
    return {
      method: 'refuse',
      why: `its data belongs to another database system (${systemIdentifier}, the primary's is ${upstream.systemIdentifier}), and would be gone`,
    };
  }
  if (timeline === null || systemIdentifier === null)
    return { method: 'copy', why: 'it has no readable data directory' };

  const apart = timeline === upstream.timeline && wasPrimary(local);
  const fork = apart ? apartSince(comparison, timeline) : forkOf(comparison, timeline);
  const lostBytes = fork === undefined || local.walEnd === null ? undefined : behind(local.walEnd, fork.lsn);
  const lost = lostBytes === undefined ? {} : { lostBytes };
  const at = fork === undefined || lostBytes === 0 ? {} : { divergedAt: fork.lsn, divergedTimeline: timeline };
  const copy = (why: string): RejoinDecision => ({ method: 'copy', why, ...at, ...lost });

  if (local.rewindBegun) return copy('a rewind was begun on it and did not end');
  if (wish.method === 'copy') return copy('a full copy was asked for');
  if (apart)
    return copy(
      `it was itself a primary on the primary's timeline ${timeline} (its control file says "${local.state}"): both took writes there, apart from each other${fork === undefined ? '' : ` since ${fork.lsn} at the earliest`}`,
    );
  if (fork === undefined)
    return copy(
      `nobody knows where its timeline ${timeline} left the history of the primary's timeline ${upstream.timeline}`,
    );
  const sameTimeline = timeline === upstream.timeline && fork.timeline === timeline;
  // pg_rewind takes equal numbers for equal histories, and would do nothing.
  if (timeline === upstream.timeline && !sameTimeline)
    return copy(
      `it and the primary were both promoted to a timeline ${timeline}, apart from each other, at ${fork.lsn}`,
    );
  if (local.walEnd === null) {
    if (sameTimeline)
      return copy(`the end of its WAL can't be read, and it is on the primary's own timeline ${timeline}`);
  } else if (lostBytes === 0 && fork.timeline === timeline) {
    return {
      method: 'none',
      why: sameTimeline
        ? `its WAL ends at ${local.walEnd} on the primary's timeline ${timeline}, and the primary is at ${upstream.lsn}`
        : `its WAL ends at ${local.walEnd} on timeline ${timeline}, which the primary left only at ${fork.lsn}`,
      lostBytes: 0,
    };
  } else if (sameTimeline) {
    return copy(
      `it is ${formatSize(lostBytes ?? 0)} ahead of the primary on the same timeline ${timeline}, where a rewind can't help`,
    );
  }
  const beyond =
    local.walEnd === null
      ? `its WAL can't be read to its end, and the primary left timeline ${fork.timeline} at ${fork.lsn}`
      : `its WAL ends at ${local.walEnd} on timeline ${timeline}, ${formatSize(lostBytes ?? 0)} beyond ${fork.lsn}, where the primary left timeline ${fork.timeline}`;
  if (!local.checksums) return copy(`${beyond}; without checksums or hint logging it can't be rewound`);
  return { method: 'rewind', why: beyond, ...at, ...lost };
}

/** Bytes by which a position is beyond another one; 0 when it is not. */
const behind = (end: Lsn, limit: Lsn): number => Math.max(0, lsnDistance(end, limit));

/**
 * Where the histories part. A timeline's number alone does not tell: two nodes that were promoted apart
 * from each other both count on from the same one. Undefined when the node's own history would be needed, and is not known.
 */
function forkOf({ upstream, history, local }: ComparedNode, timeline: number): Fork | undefined {
  const theirs = [...history, { timeline: upstream.timeline, endLsn: upstream.lsn }];
  if (local.history === undefined) {
    // Its timeline is one that the primary had, so everything before it is common.
    const shared = theirs.find((entry) => entry.timeline === timeline);
    return shared === undefined ? undefined : { timeline, lsn: shared.endLsn };
  }
  const ours = [...local.history, { timeline, endLsn: null }];
  let fork: Fork | undefined;
  for (const [index, mine] of ours.entries()) {
    const other = theirs[index];
    if (other?.timeline !== mine.timeline) break;
    const last = mine.endLsn === null || index === theirs.length - 1;
    const lsn = mine.endLsn === null ? other.endLsn : earlier(mine.endLsn, other.endLsn);
    fork = { timeline: mine.timeline, lsn };
    // Left at different points: what follows has the same numbers and nothing else in common.
    if (!last && mine.endLsn !== other.endLsn) break;
  }
  return fork;
}

/**
 * The last point that two primaries on one timeline certainly have in common: where it began, or where one of the two left the history
 * before it. Undefined for the first timeline, which began nowhere.
 */
function apartSince(comparison: ComparedNode, timeline: number): Fork | undefined {
  const fork = forkOf(comparison, timeline);
  if (fork !== undefined && fork.timeline !== timeline) return fork;
  const began = comparison.history.at(-1);
  return began === undefined ? undefined : { timeline: began.timeline, lsn: began.endLsn };
}

/** What a control file says of a server that runs or ran as a primary. A standby's says `in archive recovery` or `shut down in recovery`. */
const PRIMARY_STATES = ['in production', 'shutting down', 'shut down', 'in crash recovery'];

/** Agents before this field say only the state, which a copy that was never started has from its source: that is copied once more then. */
const wasPrimary = ({ wasPrimary: said, state }: ComparedNode['local']): boolean =>
  said ?? (state !== null && PRIMARY_STATES.includes(state));

const earlier = (a: Lsn, b: Lsn): Lsn => (lsnBytes(a) < lsnBytes(b) ? a : b);
