/**
 * What is known durably of a cluster, outside its PostgreSQL: kept by the guard's workflow, read by a failover (B3, I6).
 *
 * `protected`: the named standbys had every commit that the primary acknowledged on this timeline. Written after PostgreSQL waits
 * for them, and taken back before PostgreSQL stops waiting.
 */
export interface Ledger {
  version: 1;
  state: 'protected' | 'degraded' | 'unknown';
  /** Node, by its container's name; null while none is known. */
  primary: string | null;
  /** The timeline on which the state holds. */
  timeline: number;
  /** Grows by one with every primary or timeline that the ledger comes to know. */
  epoch: number;
  /** Standbys that confirm synchronously, sorted. */
  synchronous: string[];
  /** `synchronous_standby_names` of the primary. */
  names: string;
  /** Milliseconds since the epoch at which this state began. */
  since: number;
  /** Why it is as it is, in a sentence. */
  why: string;
}

/** The ledger of a guard that has not looked yet. */
export function emptyLedger(at: number): Ledger {
  return {
    version: 1,
    state: 'unknown',
    primary: null,
    timeline: 0,
    epoch: 0,
    synchronous: [],
    names: '',
    since: at,
    why: 'nobody has looked yet',
  };
}
