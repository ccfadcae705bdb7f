import type { Ledger } from '../guard/ledger';
import type { Lsn } from '../lsn';
import type { CheckWords } from '../switchover/checklist';
import type { CandidateState, Position, Standing } from './candidates';
import type { OwnSettings } from './own-settings';

/** Consent to lose acknowledged commits (E8). */
export interface LossConsent {
  maxBytes: number;
  reason: string;
  by: string;
}

/** What the proof rests on. */
export interface ProofInput {
  cluster: string;
  ledger: Ledger | null;
  failedPrimary: string;
  candidate: Standing;
  /** Every other standby that answers, with its position. */
  rest: readonly Standing[];
  /** Every node but the failed primary, answering or not. */
  all: readonly CandidateState[];
  lastKnownPrimaryLsn?: Lsn | undefined;
  consent?: LossConsent | undefined;
  /** Milliseconds since the epoch of the failure: when it was certain, or when the old primary could certainly write no more. */
  failedAt: number;
  /** How long before that the ledger must have been confirmed, in milliseconds. */
  confirmedWithinMs: number;
  /** Where the failed primary's own WAL ends, read while its server does not run; absent where nobody could read it. */
  oldPrimary?: Position | undefined;
  /** Why nobody could, in half a sentence; absent where nobody has tried. */
  oldPrimaryProblem?: string | undefined;
  /** False: nobody saw the primary in the moments before its end, so that somebody may have changed whom its commits waited for. */
  watched?: boolean | undefined;
  /** What starts the failed primary again is told before what accepts a loss. */
  repairFirst?: boolean | undefined;
  /** What its own files say of that; absent where nobody has read them. */
  own?: OwnSettings | undefined;
  /** The command that makes the container of a node again, by node: of those that have none. That loses nothing, and comes first. */
  makeAgain: Readonly<Record<string, string>>;
}

/** A check that refuses, or only warns where a person has consented to a loss: what that answers to is told all the same. */
export type Curable = (id: string, good: boolean, words: CheckWords) => boolean;

/** What to do about a possible loss. */
export type Cure = Pick<CheckWords, 'next' | 'instead'>;
