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
  /** The following are absent without an answer. */
  inRecovery?: boolean;
  /**
   * The newest timeline that it took part in: of its WAL receiver, its control file and its minimum recovery point. The control file
   * alone lags behind until the next restartpoint, and would have a good standby refused.
   */
  timeline?: number;
  /** The end of what it received and flushed; null when it has received nothing since it was started. */
  receivedLsn?: Lsn | null;
  /** The end of what it has replayed. What it replayed from its disk it need not have received. */
  replayedLsn?: Lsn | null;
  /** The state of its WAL receiver, null when none runs. */
  receiver?: string | null;
  replayPaused?: boolean;
  /** `recovery_min_apply_delay`, in milliseconds. */
  applyDelayMs?: number;
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

/** The position of a standby that answers: the further of received and replayed. Undefined when it is not known. */
export function positionOf(state: CandidateState): Position | undefined {
  const { answered, timeline, receivedLsn, replayedLsn } = state;
  if (!answered || timeline === undefined) return undefined;
  const lsns = [receivedLsn, replayedLsn].filter((lsn) => lsn != null);
  const [first, ...rest] = lsns;
  if (first === undefined) return undefined;
  const lsn = rest.reduce((furthest, each) => (lsnBytes(each) > lsnBytes(furthest) ? each : furthest), first);
  return { timeline, lsn };
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
