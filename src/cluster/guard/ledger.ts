import type { Heard } from './heard';

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
  /** The database system that it is about; absent where no primary has told it yet, or a version before this one wrote it. */
  systemIdentifier?: string;
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
  /**
   * Milliseconds since the epoch of the last moment for which it is known to hold (confirmation.ts), by the clock of the worker that
   * watches; absent while no living primary has confirmed it. It moves several times a second and is kept in the watch's heartbeat:
   * in the guard's state it is as old as the last news.
   */
  confirmedAt?: number;
  /**
   * What was heard of the standbys' confirmations when the primary answered last (heard.ts), kept as `confirmedAt` is; absent where nobody
   * has looked, or a version before this one wrote the ledger.
   */
  heard?: Heard;
}

/** Two ledgers that say the same, whenever that was confirmed, have the same key. */
export function ledgerKey({ state, primary, timeline, epoch, synchronous, names, since }: Ledger): string {
  return [state, primary ?? '', timeline, epoch, synchronous.join(' '), names, since].join('|');
}

/** The same ledger, confirmed at this moment or at the later one that it knows of. */
export function confirmedLedger(ledger: Ledger, confirmedAt: number | undefined): Ledger {
  if (confirmedAt === undefined || confirmedAt <= (ledger.confirmedAt ?? -Infinity)) return ledger;
  return { ...ledger, confirmedAt };
}

/** The same ledger, with the database system that it is about where nobody knew that before. */
export function ledgerOfSystem(ledger: Ledger, systemIdentifier: string | undefined): Ledger {
  if (systemIdentifier === undefined || ledger.systemIdentifier !== undefined) return ledger;
  return { ...ledger, systemIdentifier };
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
