import type { Check } from '../../cluster/check';
import type { OwnSettings } from '../../cluster/failover/own-settings';
import type { MoveJournal } from '../move-journal';

/** Moments of a failover, in milliseconds since the epoch; null when the attempt that saw it could not tell. */
export interface FailoverMarks {
  fencedAt: number | null;
  promotedAt: number | null;
  routedAt: number | null;
  releasedAt: number | null;
  fenceMs: number | null;
  promoteMs: number | null;
  routeMs: number | null;
  /** The fence was made while the standby was promoted: clients did not wait for it. */
  fenceBeside?: true;
}

/**
 * What a failover did so far. It goes from one attempt to the next by heartbeat, and from the watch that began it to the run that goes
 * on with it. Names and numbers only.
 */
export interface FailoverJournal extends MoveJournal {
  /**
   * The furthest that somebody may have begun to change: the old primary may be fenced, or a standby may have been asked to be promoted.
   * Absent while nothing but clients and claims was taken.
   */
  began?: 'fence' | 'promotion';
  checks?: Check[];
  fence?: string;
  /** Why a run before this one may have promoted somebody, in half a sentence: another run had fenced the old primary since it ran last. */
  fencedBefore?: string;
  lossBound?: number | null;
  /** What the old primary's own files said of whom its commits waited for. */
  own?: OwnSettings;
  proof?: string;
  names?: string;
  timelineBefore?: number;
  /** What went wrong on the way and is not tried again. */
  warnings?: string[];
  marks: FailoverMarks;
}

/** The journal of a failover that nobody has begun. */
export function emptyJournal(): FailoverJournal {
  return {
    subSteps: [],
    marks: {
      fencedAt: null,
      promotedAt: null,
      routedAt: null,
      releasedAt: null,
      fenceMs: null,
      promoteMs: null,
      routeMs: null,
    },
  };
}
