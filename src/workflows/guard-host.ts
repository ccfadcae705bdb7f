import type { GuardPolicy } from '../cluster/guard/policy';
import type { GuardEvent, GuardKnowledge, GuardState } from './guard-messages';

/** The guard of PostgreSQL, as its parts need it: the one that changes whom commits wait for, and the one that ends a second primary. */
export interface GuardHost {
  readonly state: GuardState;
  readonly policy: GuardPolicy;
  readonly known: GuardKnowledge;
  note(kind: GuardEvent['kind'], says: string): void;
  /** Nothing but people keeps the guard from acting. */
  acts(): boolean;
  /** Nothing at all is tried again before some time has passed. */
  backOff(says: string): void;
}
