import type { Check } from '../../cluster/check';
import type { FailureKind } from '../../cluster/guard/signals';
import type { Ledger } from '../../cluster/guard/ledger';
import type { Lsn } from '../../cluster/lsn';
import type { DataLoss } from '../../workflows/failover-input';
import type { SubStep } from '../../workflows/run-state';
import type { FailoverJournal, FailoverMarks } from './journal';

/** One failover: names and numbers only. */
export interface FailoverMove {
  cluster: string;
  /** The run's id: with the attempt it is the token that agents check. The guard holds clients under it already. */
  run: string;
  /** The primary that failed; empty where a repair promotes and nobody knows which one it was. */
  source: string;
  /** Every other PostgreSQL node. */
  candidates: string[];
  /** The node to promote; the most advanced one where nobody names it. */
  target?: string;
  ledger: Ledger | null;
  allowDataLoss?: DataLoss;
  /** How the primary failed, where the guard found out. */
  kind?: FailureKind;
  /**
   * When the guard was certain, in milliseconds since the epoch. Absent where a person says so, or has thought about it meanwhile: then
   * the ledger has to hold now.
   */
  decidedAt?: number;
  /** Milliseconds since the epoch of the first sign that the guard saw of the failure; absent where a person says that it failed. */
  since?: number;
  /** The guard saw the primary take writes, with the recorded names, right before the first sign. Otherwise its own files are asked. */
  watched?: boolean;
  /** The last position of the old primary that the guard saw. */
  lastLsn?: Lsn;
  holdLimitMs: number;
  /** What the watch that saw the failure did of it already, under this run. */
  journal?: FailoverJournal;
  /** An undo of this run came before, and found that there is only forward: it has the nodes, and the move takes them from it. */
  afterUndo?: boolean;
  /** Nobody asked for this very node: a primary that a person stopped is not started, not even to be read. */
  leavesStopped?: boolean;
  /** A person says that this primary failed. Absent where the guard or a repair does, and from a run that is older. */
  byHand?: boolean;
  /** For an undo: it is certain that nobody was asked to be promoted. */
  neverAsked?: boolean;
  /**
   * For an undo: what speaks for it that another run fenced the old primary since it ran last, in half a sentence. That run may have
   * promoted somebody, of whom this one knows nothing. Absent where nothing does.
   */
  fencedBefore?: string;
}

/** What a failover did and measured. */
export interface FailoverResult {
  target: string;
  /** Standbys that follow the target. */
  others: string[];
  checks: Check[];
  /** Why the old primary takes no write. */
  fence: string;
  /** Bytes of acknowledged WAL that may be lost: 0 when it is proven that nothing is, null when nobody can tell. */
  lossBound: number | null;
  /** What proves that nothing is lost, in half a sentence; absent where the bound is not 0. */
  proof?: string;
  receivedByTarget: Lsn | null;
  /** The timeline that the target followed before it was promoted; null where nobody could tell. */
  timelineBefore: number | null;
  /** `synchronous_standby_names` of the new primary. */
  names: string;
  subSteps: SubStep[];
  /** Milliseconds since the epoch of the moments that a report tells. */
  marks: FailoverMarks;
  warnings: string[];
}

/** Milliseconds that a query may take: longer than clients are held, so that it never ends in the middle of a promotion. */
export const queryLimitOf = ({ holdLimitMs }: FailoverMove): number => holdLimitMs + 30_000;
