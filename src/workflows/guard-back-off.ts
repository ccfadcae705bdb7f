import { patched } from '@temporalio/workflow';
import { formatMs } from '../cluster/duration';
import type { GuardShared } from './guard-host';
import { forget } from './guard-state';
import { MAX_BACKOFF_MS } from './guard-watching';

/** What keeps the guard from failing over: people, and for a time an attempt that did not end well. */
export class GuardBackOff {
  constructor(private readonly host: GuardShared) {}

  /** Neither people nor an attempt in vain keep it from failing over. */
  acts(): boolean {
    return this.isAllowed() && this.host.state.backoffUntil === undefined;
  }

  /** Nothing but people keeps it from acting. */
  private isAllowed(): boolean {
    const { state } = this.host;
    return state.mode !== 'off' && state.maintenance === undefined;
  }

  /** What is no second attempt at a failover does not wait for the back-off after the first one: clients' commits may wait for it. */
  actsInBackOff(): boolean {
    return this.acts() || (this.isAllowed() && patched('guard-acts-in-back-off'));
  }

  /** An attempt did not end well: the more of them in a row, the later the next one. */
  begin(says: string, run?: string): void {
    const { state, known, policy } = this.host;
    const ms = Math.min(MAX_BACKOFF_MS, policy.backoff * 2 ** known.failures);
    known.failures += 1;
    state.backoffUntil = Date.now() + ms;
    this.host.note('backoff', `${says}. Nothing is tried again before ${formatMs(ms)} have passed`, run);
  }

  /** What was in vain is tried again once its time is over. */
  retryWhenDue(now: number): void {
    const { state, known } = this.host;
    if (state.backoffUntil === undefined || now < state.backoffUntil) return;
    delete state.backoffUntil;
    forget(known);
  }

  /** Whatever was in vain has lost its reason, or may be possible now. */
  drop(): void {
    this.host.known.failures = 0;
    delete this.host.state.backoffUntil;
  }
}
