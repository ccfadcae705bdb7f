import { CancellationScope, isCancellation, patched, proxyActivities, uuid4 } from '@temporalio/workflow';
import type { Activities, WatchCounts, WatchResult } from '../activities';
import type { GuardBackOff } from './guard-back-off';
import type { GuardShared } from './guard-host';
import type { NamesGuard } from './guard-names';
import { newRunId } from './guard-runs';
import type { SplitBrainGuard } from './guard-split-brain';
import { forget } from './guard-state';
import { stretchMs, watching, watchingAndActing } from './guard-watching';

/** So long after a stretch what it counted is gone on with, in milliseconds. */
const COUNTS_FOR_MS = 2000;

/** The guard, as the part of it that watches the primary and its standbys needs it. */
export interface ClusterWatchHost extends GuardShared {
  readonly backOff: GuardBackOff;
  readonly names: NamesGuard;
  readonly splitBrain: SplitBrainGuard;
  /** When what goes on holds a new history up no more, in milliseconds since the epoch; undefined where nobody asked for one. */
  handsOnAt(): number | undefined;
}

/** Watches the primary and its standbys in stretches: news from people end one, and so does the first time at which something is due. */
export class ClusterWatch {
  /** A guard that was started by a version whose watch only told goes on as it began, until its history begins anew. */
  private readonly watchActs = patched('guard-watch-acts');
  /** The stretch of watching that is under way; cancelled when there is news from people. */
  private stretch: CancellationScope | undefined;
  /** What the last stretch was counting at its end: the next one may run on another worker. */
  private counted: { at: number; primary: string | null; counts: WatchCounts } | undefined;
  private lastRun = '';

  constructor(private readonly host: ClusterWatchHost) {}

  /** The run that the last stretch has taken nodes and held clients under: its workflow id, and more after a slash. */
  get incidentRun(): string {
    return this.lastRun;
  }

  /** Something has changed that the stretch under way knows nothing of: it ends, and the next one begins. */
  news(): void {
    this.stretch?.cancel();
  }

  /** One stretch. Returns what it has to tell; undefined where news ended it first. */
  async watch(): Promise<WatchResult | undefined> {
    const { state, backOff, names, splitBrain } = this.host;
    const now = Date.now();
    this.endMaintenanceWhenDue(now);
    backOff.retryWhenDue(now);
    names.retryWhenDue(now);
    splitBrain.retryWhenDue(now);
    const { primary } = state.ledger;
    const run = `${newRunId('failover', state.cluster)}/${uuid4()}`;
    const {
      failures: _failures,
      redis: _redis,
      mending: _mending,
      fenceAgainAt: _again,
      fencesInVain: _vain,
      ...known
    } = this.host.known;
    const mayHold =
      backOff.acts() && state.mode === 'auto' && state.ledger.state === 'protected' && state.acting === undefined;
    // Only what takes no longer than a moment is done outside of the run that follows: with any other ledger the failed primary's own
    // data are read first. And only the first failure: while a run is under way, the next one waits for a look at that.
    const mayAct = this.watchActs && mayHold && state.ledger.primary !== null && !known.failed;
    const options = (this.watchActs ? watchingAndActing : watching)('Watch the cluster');
    const stretch = new CancellationScope();
    this.stretch = stretch;
    try {
      const result = await stretch.run(() =>
        proxyActivities<Activities>(options).watchCluster({
          cluster: state.cluster,
          ledger: state.ledger,
          mayHold,
          ...(mayAct ? { mayAct } : {}),
          mayInterrupt: backOff.acts() && state.mode === 'auto',
          incidentRun: run,
          known: { ...known, ...(names.commitsWait() ? { commitsWait: true } : {}) },
          ...this.countedOf(primary, now),
          forMs: stretchMs(now, [
            state.maintenance?.until,
            state.backoffUntil,
            state.namesBackoffUntil,
            names.looksUntil(now),
            splitBrain.againAt,
            this.host.handsOnAt(),
          ]),
        }),
      );
      this.lastRun = run;
      this.counted = result.counted === undefined ? undefined : { at: Date.now(), primary, counts: result.counted };
      // Ended by news, with nothing to tell: what it saw last counts no more.
      return stretch.consideredCancelled && result.why === 'quiet' ? undefined : result;
    } catch (error) {
      // The guard itself was cancelled, and not only its watching. A watch whose worker dies while it is told to end does not go on at
      // another one: it has timed out then, and that is an end like any other.
      if (CancellationScope.current().consideredCancelled) throw error;
      if (isCancellation(error) || stretch.consideredCancelled) return undefined;
      throw error;
    } finally {
      this.stretch = undefined;
    }
  }

  private endMaintenanceWhenDue(now: number): void {
    const { state, known } = this.host;
    if (state.maintenance?.until == null || now < state.maintenance.until) return;
    delete state.maintenance;
    forget(known);
    this.host.note('maintenance', 'maintenance mode is over: its time is up');
  }

  /** What the stretch before counted: of this very primary, and a moment ago. */
  private countedOf(primary: string | null, now: number): { counted?: WatchCounts } {
    const { counted } = this;
    if (counted === undefined || counted.primary !== primary || now - counted.at > COUNTS_FOR_MS) return {};
    return { counted: counted.counts };
  }
}
