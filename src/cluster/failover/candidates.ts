import { lsnBytes, type Lsn } from '../lsn';

/** What is known of a node that may be promoted, right before or after the fence. */
export interface CandidateState {
  name: string;
  /** The topology's word (A7). */
  promotable: boolean;
  /** Did it answer SQL, and its agent? */
  answered: boolean;
  /** Why it did not answer. */
  problem?: string;
  /** It is optional, and has no container. */
  missing?: boolean;
  /** Docker's word on its container; absent where it answered, or nobody asked. */
  container?: string;
  /** The following are absent without an answer. */
  inRecovery?: boolean;
  /**
   * The newest timeline that it took part in: of its WAL receiver, its control file and its minimum recovery point. The control file
   * alone lags behind until the next restartpoint, and would have a good standby refused.
   */
  timeline?: number;
  /** The end of what it received and flushed; null when it has received nothing since it was started. */
  receivedLsn?: Lsn | null;
  /** The end of the WAL on its disk, by its agent; asked only of one that has received nothing. Null when it can't be read. */
  walEndLsn?: Lsn | null;
  /** Why it can't. */
  walEndProblem?: string;
  /** The end of what it has replayed. What it replayed from its disk it need not have received. */
  replayedLsn?: Lsn | null;
  /** The state of its WAL receiver, null when none runs. */
  receiver?: string | null;
  replayPaused?: boolean;
  /** `recovery_min_apply_delay`, in milliseconds. */
  applyDelayMs?: number;
  /** What the replay waits for, where a session there is in its way: a wait event. Null or absent where none is seen. */
  replayReader?: string | null;
  systemIdentifier?: string;
  freeDiskBytes?: number;
}

/** How far a node is. A newer timeline is further than any position on an older one. */
export interface Position {
  timeline: number;
  lsn: Lsn;
}

/** A standby that answers and whose position is known. */
export interface Standing {
  state: CandidateState;
  position: Position;
}

/**
 * The position of a standby that answers: the end of its WAL, replayed or not. One that has received since it was started had replayed
 * all that lay on its disk before that. One that has received nothing may have far more on its disk than it has replayed, so that
 * replayed alone is no position. Undefined when it is not known.
 */
export function positionOf(state: CandidateState): Position | undefined {
  const { answered, timeline, replayedLsn } = state;
  const end = state.receivedLsn ?? state.walEndLsn;
  if (!answered || timeline === undefined || end == null) return undefined;
  return { timeline, lsn: replayedLsn == null || lsnBytes(end) > lsnBytes(replayedLsn) ? end : replayedLsn };
}

/** Why a node that is no standing candidate can't be counted on, for a sentence. */
export function unheardWords({ name, missing, answered, problem, walEndProblem }: CandidateState): string {
  if (missing === true) return `${name} has no container`;
  if (!answered) return `${name} gives no answer${problem === undefined ? '' : `: ${problem}`}`;
  return `${name} has received nothing since it was started, and where its WAL ends is not known${walEndProblem === undefined ? '' : `: ${walEndProblem}`}`;
}

/** Positive when `a` is further than `b`, 0 when they are equal. */
export function comparePositions(a: Position, b: Position): number {
  if (a.timeline !== b.timeline) return a.timeline - b.timeline;
  const [left, right] = [lsnBytes(a.lsn), lsnBytes(b.lsn)];
  return left > right ? 1 : left < right ? -1 : 0;
}

/** Furthest first; equals keep their order. */
export function mostAdvanced(standing: readonly Standing[]): Standing[] {
  return [...standing].sort((a, b) => comparePositions(b.position, a.position));
}

/** `0/5000028 on timeline 3`. */
export function positionWords({ lsn, timeline }: Position): string {
  return `${lsn} on timeline ${timeline}`;
}
