import { patched } from '@temporalio/workflow';
import type { WatchResult } from '../activities';
import { formatMs } from '../cluster/duration';
import type { Ledger } from '../cluster/guard/ledger';
import { relaxedLedger } from '../cluster/guard/ledger-rules';
import type { GuardHost } from './guard-host';
import { settingNames } from './guard-watching';
import { act } from './runbook/activity-options';
import { rootDetails, rootMessage, rootType } from './runbook/runner';

/** How much longer than a silence has to last a look is that finds none, in milliseconds. */
const LOOK_MS = 5000;

/** Has commits go on where their only standby is lost, and wait for one again where it is back. The ledger says less before they do. */
export class NamesGuard {
  constructor(private readonly host: GuardHost) {}

  /** When a stretch that looks again after an attempt in vain may end, in milliseconds since the epoch; undefined after none. */
  looksUntil(now: number): number | undefined {
    const { state, policy } = this.host;
    if (state.namesFailed === undefined || state.namesBackoffUntil !== undefined) return undefined;
    return now + policy.standbyLostAfter + LOOK_MS;
  }

  /**
   * Whether it is told that commits wait, and nothing was done about that: it was in vain, or commits are to wait, or people do the work.
   * Then the first round in which they go on is news: a loss after that is another one.
   */
  commitsWait(): boolean {
    const { state, known } = this.host;
    if (state.namesFailed?.what === 'relax') return true;
    return known.standbyLost && state.ledger.names !== '' && patched('guard-names-set-again');
  }

  /** Somebody else has commits wait again, such as the run that brought a standby back: a loss from now on is news. */
  seen(before: Ledger, now: Ledger): void {
    const { state, known } = this.host;
    // Names that could not be emptied wait for their back-off.
    if (before.names !== '' || now.names === '' || state.namesBackoffUntil !== undefined || !known.standbyLost) return;
    if (patched('guard-names-set-again')) known.standbyLost = false;
  }

  /** Another primary: what was in vain was so for the one before. */
  beginEpoch(): void {
    const { state } = this.host;
    delete state.namesBackoffUntil;
    delete state.namesFailed;
  }

  /** A whole stretch went by. Where commits waited for nobody in it, what was in vain is over. */
  looked(result: WatchResult): void {
    const { state, known } = this.host;
    if (state.namesBackoffUntil !== undefined || result.state !== 'healthy' || result.standbyLost !== undefined) return;
    if (!known.standbyLost && !known.standbyBack) delete state.namesFailed;
  }

  /** Commits that were told to wait go on by themselves: nothing is left to be tried again, and a loss from now on is news. */
  commitsGoOn(): void {
    const { state, known } = this.host;
    known.standbyLost = false;
    delete state.namesBackoffUntil;
    delete state.namesFailed;
    this.host.note('commits go on', 'standbys confirm again: commits go on');
  }

  /** What was in vain is tried again once its time is over. */
  retryWhenDue(now: number): void {
    const { state, known } = this.host;
    if (state.namesBackoffUntil === undefined || now < state.namesBackoffUntil) return;
    delete state.namesBackoffUntil;
    known.standbyLost = false;
    known.standbyBack = false;
  }

  /** No standby confirms any more: commits go on without one, if the topology says so. */
  async standbyLost(result: WatchResult): Promise<void> {
    const { state, known } = this.host;
    const { onStandbyLost, standbyLostAfter } = this.host.policy;
    known.standbyLost = true;
    const { primary } = state.ledger;
    const says = result.standbyLost?.says ?? `no standby has confirmed for ${formatMs(standbyLostAfter)}; commits wait`;
    this.host.note('standby lost', says);
    if (onStandbyLost === 'block' || !this.host.acts() || primary === null) return;
    // The ledger first: from here on nobody may believe that a standby has everything.
    const before = state.ledger;
    const since = new Date(result.standbyLostSince ?? result.at).toISOString();
    state.ledger = relaxedLedger(
      before,
      `no standby has confirmed since ${since}: commits go on without one`,
      Date.now(),
    );
    try {
      const relaxing = act(settingNames, 'Let commits go on without a standby');
      const relaxed = await relaxing.relaxSynchrony(state.cluster, primary, result.standbyLost);
      known.standbyBack = false;
      delete state.namesFailed;
      this.host.note('relaxed', relaxed);
    } catch (error) {
      // Refused: nothing was relaxed, and what the ledger knew before is still so. Any other failure leaves that open.
      if (rootType(error) === 'Refused') state.ledger = before;
      // It is back, and commits go on: all is watched as before.
      if (rootDetails(error).confirmsAgain === true) {
        known.standbyLost = false;
        delete state.namesFailed;
        return;
      }
      state.namesFailed = { what: 'relax', says: rootMessage(error), at: Date.now() };
      this.backOff(`synchronous_standby_names could not be relaxed: ${rootMessage(error)}`);
    }
  }

  /** A standby streams again: commits wait for it. */
  async standbyBack(): Promise<void> {
    const { state, known } = this.host;
    known.standbyBack = true;
    if (!this.host.acts() || state.ledger.primary === null) return;
    try {
      const says = await act(settingNames, 'Have commits wait for the standby again').restoreSynchrony(
        state.cluster,
        state.ledger.primary,
      );
      known.standbyLost = false;
      known.standbyBack = false;
      delete state.namesFailed;
      this.host.note('restored', says);
    } catch (error) {
      state.namesFailed = { what: 'restore', says: rootMessage(error), at: Date.now() };
      this.backOff(`synchronous_standby_names could not be restored: ${rootMessage(error)}`);
    }
  }

  /** The names are tried again later. A failover does not wait for that: a primary that dies meanwhile is failed over at once. */
  private backOff(says: string): void {
    // A guard that was started by a version in which everything waited goes on as it began, until its history begins anew.
    if (!patched('guard-names-apart')) return this.host.backOff(says);
    const { backoff } = this.host.policy;
    this.host.state.namesBackoffUntil = Date.now() + backoff;
    this.host.note('backoff', `${says}. It is tried again after ${formatMs(backoff)}`);
  }
}
