import { CancellationScope, patched } from '@temporalio/workflow';
import type { WatchResult } from '../activities';
import { problemSentence } from '../cluster/check';
import { withHeard } from '../cluster/guard/heard';
import { confirmedLedger, ledgerOfSystem, type Ledger } from '../cluster/guard/ledger';
import type { ActingGuard } from './guard-acting';
import type { GuardBackOff } from './guard-back-off';
import type { GuardShared } from './guard-host';
import type { NamesGuard } from './guard-names';
import type { RedisGuard } from './guard-redis';
import type { SplitBrainGuard } from './guard-split-brain';
import { forget } from './guard-state';

/** The guard, as the part of it that takes what the watch tells needs it. */
export interface NewsHost extends GuardShared {
  readonly backOff: GuardBackOff;
  readonly names: NamesGuard;
  readonly splitBrain: SplitBrainGuard;
  readonly acting: ActingGuard;
  /** Undefined where the cluster has no Redis. */
  readonly redis: RedisGuard | undefined;
}

/** Takes what a stretch of watching tells: it goes into the state and the ledger, and what is to be done about it is begun. */
export class GuardNews {
  constructor(private readonly host: NewsHost) {}

  async take(result: WatchResult): Promise<void> {
    const { host } = this;
    const { state, known, names, splitBrain, acting } = host;
    state.sees = result.sees;
    state.signals = result.signals;
    const confirmed = withHeard(confirmedLedger(state.ledger, result.confirmedAt), result.heard);
    state.ledger = ledgerOfSystem(confirmed, result.systemIdentifier);
    // One question at a time, and PostgreSQL's first. That of a run from before locks by tier even holds the lock that is needed now.
    if (result.state === 'failed') await host.redis?.withdraw('PostgreSQL has failed, and goes first');
    switch (result.why) {
      case 'quiet':
        known.sees = keyOf(result);
        names.looked(result);
        return;
      case 'sees':
        known.sees = keyOf(result);
        if (result.state !== 'healthy') host.note('in doubt', result.sees);
        return;
      case 'ledger':
        if (result.ledger !== undefined) this.takeLedger(result.ledger);
        return;
      case 'healthy':
        if (known.failed) host.note('primary back', result.sees);
        known.failed = false;
        splitBrain.isOver();
        host.backOff.drop();
        // A failover that nobody has approved yet has lost its reason. One that was approved is why another node is well now.
        if (acting.asksAboutPrimary()) await acting.withdraw(`${state.ledger.primary ?? 'the primary'} is well again`);
        return;
      case 'failed': {
        const news = !known.failed;
        known.failed = true;
        known.sees = keyOf(result);
        host.note('primary failed', result.sees);
        // What the watch has begun is finished, whatever people said meanwhile.
        if (result.failure?.acted !== undefined)
          await CancellationScope.nonCancellable(() => acting.failOver(result, 'given'));
        else if (host.backOff.acts() && (state.acting === undefined || (news && acting.mayActBeside())))
          await acting.failOver(result, state.mode === 'auto' ? 'given' : 'required');
        return;
      }
      case 'ready':
        return this.takeReadiness(result);
      case 'standby lost':
        return names.standbyLost(result);
      case 'standby back':
        return names.standbyBack();
      case 'commits go on':
        names.commitsGoOn();
        return;
      case 'split brain':
        return splitBrain.take(result);
    }
  }

  /** Protected is not enough: what would keep a failover or a planned move from working is told as soon as it is so. */
  private takeReadiness({ readiness }: WatchResult): void {
    if (readiness === undefined) return;
    const { state, known } = this.host;
    const { key, ...seen } = readiness;
    const before = state.readiness;
    state.readiness = seen;
    known.ready = key;
    const [first] = seen.findings;
    if (first === undefined) {
      if (before !== undefined)
        this.host.note('ready', 'nothing is in the way of a failover or a planned move any more');
      return;
    }
    this.host.note(seen.ready ? 'ready' : 'not ready', seen.findings.map(problemSentence).join('; '));
  }

  private takeLedger(ledger: Ledger): void {
    const { state, known, names } = this.host;
    const before = state.ledger;
    state.ledger = ledger;
    if (ledger.state === 'protected') {
      known.standbyLost = false;
      delete state.namesFailed;
    }
    this.host.note('ledger', `${ledger.state}: ${ledger.why}`);
    if (before.primary !== null && before.epoch !== ledger.epoch && patched('guard-news-of-epoch'))
      this.beginEpoch(ledger);
    else names.seen(before, ledger);
  }

  /**
   * Another primary, or another timeline of the same: what was told is of the one before. Whatever happens to this one is news, and waits
   * for no back-off after an attempt for that one.
   */
  private beginEpoch({ primary, timeline }: Ledger): void {
    const { host } = this;
    const { state, known } = host;
    const says = `${primary ?? 'a node'} takes writes, on timeline ${timeline}`;
    if (known.failed) host.note('primary back', says);
    // What the round that found it has to say is about the one before.
    state.sees = says;
    state.signals = [];
    // It alone takes them.
    if (patched('guard-epoch-ends-split-brain')) host.splitBrain.isOver();
    forget(known);
    known.sees = 'healthy';
    host.backOff.drop();
    host.names.beginEpoch();
  }
}

/** The state, and the kind of failure, by which the same news is known again. */
const keyOf = (result: WatchResult): string =>
  `${result.state}${result.failure === undefined ? '' : ` ${result.failure.kind}`}`;
