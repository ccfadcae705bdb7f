import type { GuardPolicy } from '../cluster/guard/policy';
import type { GuardEvent, GuardKnowledge, GuardState } from './guard-messages';

/** What all parts of the guard of PostgreSQL share: the state that people are shown, what it knows beside that, and its policy. */
export interface GuardShared {
  readonly state: GuardState;
  readonly policy: GuardPolicy;
  readonly known: GuardKnowledge;
  note(kind: GuardEvent['kind'], says: string, run?: string): void;
}

/** The guard of PostgreSQL, as its parts need it: the one that changes whom commits wait for, and the one that ends a second primary. */
export interface GuardHost extends GuardShared {
  /** Nothing but people keeps the guard from acting. */
  acts(): boolean;
  /** Nothing at all is tried again before some time has passed. */
  backOff(says: string): void;
}
