import {
  ApplicationFailure,
  CancellationScope,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  makeContinueAsNewFunc,
  patched,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  uuid4,
  workflowInfo,
} from '@temporalio/workflow';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import type { Activities, ClusterDescription, WatchCounts, WatchResult } from '../activities';
import { problemSentence } from '../cluster/check';
import { guardCommand } from '../cluster/commands';
import { formatMs } from '../cluster/duration';
import { withHeard } from '../cluster/guard/heard';
import { confirmedLedger, emptyLedger, ledgerOfSystem, type Ledger } from '../cluster/guard/ledger';
import { HOLDS_UP_MS, holdsUp, type RunEnd } from '../cluster/guard/run-end';
import { renderGuard } from './guard-details';
import { explainGuard, explainRedis } from './guard-explain';
import type { GuardHost } from './guard-host';
import {
  guardQuery,
  guardWorkflowId,
  type GuardEvent,
  type GuardInput,
  type GuardKnowledge,
  type GuardState,
} from './guard-messages';
import type { FailoverInput } from './failover-input';
import { listenToPeople, phaseKey } from './guard-people';
import { MendingGuard } from './guard-mending';
import { NamesGuard } from './guard-names';
import { emptyRedisState, nothingKnownOfRedis, RedisGuard } from './guard-redis';
import { GuardRuns, newRunId, type StartedRun } from './guard-runs';
import { SplitBrainGuard } from './guard-split-brain';
import { MAX_BACKOFF_MS, stretchMs, watching, watchingAndActing } from './guard-watching';
import { searchAttributeNames, WORKFLOW_TASK_TIMEOUT } from './messages';
import { describeCluster } from './runbook/begin';
import { rootMessage } from './runbook/runner';
import type { RejoinInput } from './standby-input';

/** A history of this length is begun anew. */
const HISTORY_LIMIT = 2000;
const EVENTS_KEPT = 50;
/** So long after a stretch what it counted is gone on with, in milliseconds. */
const COUNTS_FOR_MS = 2000;

const keys = {
  cluster: defineSearchAttributeKey(searchAttributeNames.cluster, SearchAttributeType.KEYWORD),
  runbook: defineSearchAttributeKey(searchAttributeNames.runbook, SearchAttributeType.KEYWORD),
  phase: phaseKey,
};

/**
 * An error that nobody threw on purpose (a version of the code that goes another way than the recorded one, a mistake of the
 * program) fails the workflow task, which is tried again until the right code is there: it must not end the guard, as it ends a run.
 *
 * The guard of a cluster: watches it, keeps its ledger, and starts a failover when the primary is proven to be gone. One of them a
 * cluster, under the id `guard/<cluster>`; it runs until somebody stops it.
 */
export async function guard(input?: GuardInput | null): Promise<GuardState> {
  const given: GuardInput = input ?? {};
  const unknown = Object.keys(given).filter(
    (key) => !['cluster', 'mode', 'startedBy', 'carried', 'known'].includes(key),
  );
  if (unknown.length > 0 || (given.mode !== undefined && !['auto', 'approve', 'off'].includes(given.mode)))
    throw ApplicationFailure.nonRetryable(
      `the input of guard is wrong: ${unknown.length > 0 ? `unknown key ${unknown.join(', ')}` : `mode: expected auto, approve or off, got ${String(given.mode)}`}. Known keys: cluster, mode, startedBy. Next: veloz-ha guard start --help`,
      'BadInput',
    );
  const { workflowId, runId } = workflowInfo();
  const { carried } = given;
  // A history that begins anew can be asked from its first moment on: until the topology is read it is what it was.
  if (carried !== undefined) setHandler(guardQuery, () => ({ ...carried, runId }));
  const described = await describeCluster(given.cluster);
  // One open run per id is what keeps a second guard of the cluster away, and the id is how others find the ledger.
  if (workflowId !== guardWorkflowId(described.name))
    throw ApplicationFailure.nonRetryable(
      `the workflow id ${workflowId} is not that of a guard (limit: ${guardWorkflowId(described.name)}). Next: ${guardCommand('start', described.name)}`,
      'BadInput',
    );
  return new Guard(described, given).run();
}
/** With this everything that is found is told. */
const nothingTold = { failed: false, splitBrain: false, standbyLost: false, standbyBack: false } as const;

class Guard {
  private readonly state: GuardState;
  private stopped = false;
  /** A guard that was started by a version whose watch only told goes on as it began, until its history begins anew. */
  private readonly watchActs = patched('guard-watch-acts');
  /** Somebody asked for a new history: the next version of the code finds nothing in it that it would do in another way. */
  private handsOver = false;
  /** The stretch of watching that is under way; cancelled when there is news from people. */
  private stretch: CancellationScope | undefined;
  /** What the last stretch was counting at its end: the next one may run on another worker. */
  private counted: { at: number; primary: string | null; counts: WatchCounts } | undefined;
  /** News that was told already, and attempts in a row that did not end well. */
  private readonly known: GuardKnowledge;
  /** The failover that it has a person asked about, and the primary whose failure is the reason. */
  private asking: { workflowId: string; primary: string | null; withdrawn?: string } | undefined;
  /** Ends a second primary. */
  private readonly splitBrain: SplitBrainGuard;
  /** The runs that it started. */
  private readonly runs = new GuardRuns();
  /** Changes whom commits wait for. */
  private readonly names: NamesGuard;
  /** Watches Redis, where the cluster has one. */
  private readonly redis: RedisGuard | undefined;
  /** Brings back what a failover, a fence or a fault left. */
  private readonly mending: MendingGuard | undefined;

  constructor(
    private readonly described: ClusterDescription,
    input: GuardInput,
  ) {
    const { workflowId, runId } = workflowInfo();
    const now = Date.now();
    this.state = input.carried ?? {
      version: 1,
      cluster: described.name,
      workflowId,
      runId,
      mode: input.mode ?? described.topology.guard.mode,
      ledger: emptyLedger(now),
      sees: 'It has not looked yet.',
      waitsFor: '',
      next: '',
      signals: [],
      events: [],
      startedAt: now,
    };
    this.state.runId = runId;
    this.known = input.known ?? { ...nothingTold, sees: 'healthy', failures: 0 };
    const host: GuardHost = {
      state: this.state,
      policy: described.topology.guard,
      known: this.known,
      note: (kind, says) => this.note(kind, says),
      acts: () => this.actsInBackOff(),
      backOff: (says) => this.backOff(says),
    };
    this.splitBrain = new SplitBrainGuard(host);
    if (input.carried === undefined)
      this.note('started', `started by ${input.startedBy ?? 'the Web UI or an API client'}, mode ${this.state.mode}`);
    this.names = new NamesGuard(host);
    this.redis = this.redisGuard();
    this.mending = this.mendingGuard();
    listenToPeople({
      state: this.state,
      note: (kind, says) => this.note(kind, says),
      changed: () => {
        this.forget();
        this.redis?.news();
        this.mending?.news();
        this.explain();
        this.stretch?.cancel();
      },
      withdraw: (why) => {
        void this.withdraw(why);
        void this.redis?.withdraw(why);
      },
      stop: () => {
        this.stopped = true;
      },
      handOver: () => {
        this.handsOver = true;
        return this.busyWith();
      },
    });
  }

  /** Of a cluster that has Redis. What was known of one that it has no more is dropped. */
  private redisGuard(): RedisGuard | undefined {
    const { state, known, described } = this;
    // A guard that was started by a version which left Redis alone goes on as it began, until its history begins anew.
    if (described.topology.redis === undefined || !patched('guard-redis')) {
      delete state.redis;
      delete known.redis;
      return undefined;
    }
    const redis = (state.redis ??= emptyRedisState());
    return new RedisGuard({
      state: Object.assign(state, { redis }),
      policy: described.topology.guard,
      known: (known.redis ??= { ...nothingKnownOfRedis }),
      note: (kind, says, run) => this.note(kind, says, run),
      explain: () => this.explain(),
      postgresActs: () => this.starting || state.acting !== undefined,
    });
  }

  private mendingGuard(): MendingGuard | undefined {
    const { state, known, described } = this;
    // A guard that was started by a version which left that to people goes on as it began, until its history begins anew.
    if (!patched('guard-mending')) {
      delete state.mending;
      delete known.mending;
      return undefined;
    }
    const mending = (state.mending ??= { nodes: [] });
    return new MendingGuard({
      state: Object.assign(state, { mending }),
      policy: described.topology.guard,
      known: (known.mending ??= {}),
      note: (kind, says, run) => this.note(kind, says, run),
      explain: () => this.explain(),
      busy: () => this.starting || state.acting !== undefined || this.splitBrain.toRejoin.length > 0,
      startsAnother: () => this.starting || this.splitBrain.toRejoin.length > 0,
      mended: () => {
        if (!this.known.failed) this.tryAgainNow();
      },
      standbyAnswers: () => this.tryAgainNow(),
    });
  }

  /** What the last attempt was in vain for may be possible now. */
  private tryAgainNow(): void {
    if (this.state.backoffUntil === undefined) return;
    delete this.state.backoffUntil;
    this.known.failures = 0;
    this.forget();
    this.explain();
    this.stretch?.cancel();
  }

  async run(): Promise<GuardState> {
    const { state } = this;
    upsertSearchAttributes([
      { key: keys.cluster, value: state.cluster },
      { key: keys.runbook, value: 'guard' },
      { key: keys.phase, value: state.mode },
    ]);
    this.redis?.begin();
    this.mending?.begin();
    while (!this.stopped) {
      this.hearAgain();
      await this.rejoinNext();
      this.explain();
      const { historyLength, continueAsNewSuggested } = workflowInfo();
      const due = historyLength > HISTORY_LIMIT || continueAsNewSuggested || this.handsOver;
      if (due && this.busyWith() === undefined) {
        await this.redis?.end();
        await this.mending?.end();
        // What was being started until now has an end that somebody has to listen for. The next round asks again.
        if (this.busyWith() !== undefined && patched('guard-busy-at-its-end')) {
          this.redis?.begin();
          this.mending?.begin();
          continue;
        }
        // One that was started with another limit takes this one over now.
        const beginAnew = makeContinueAsNewFunc<typeof guard>({ workflowTaskTimeout: WORKFLOW_TASK_TIMEOUT });
        await beginAnew({ cluster: state.cluster, carried: state, known: this.handedOver() });
      }
      const result = await this.watch();
      if (result !== undefined) await this.take(result);
    }
    await this.redis?.end();
    await this.mending?.end();
    return state;
  }

  /**
   * Why its history can't begin anew just now: it waits for the end of a run that it started. Not for ever: a run may wait for a person,
   * hang or copy for hours, and a rejoin may wait for the end of maintenance. These are handed on.
   */
  private busyWith(): string | undefined {
    const { toRejoin } = this.splitBrain;
    const young = holdsUp(this.goingOn(), Date.now());
    if (young !== undefined) return young.workflowId;
    const [old] = this.goingOn();
    if (old === undefined && toRejoin.length === 0) return undefined;
    // A guard that was started by a version which waited for all of it does so, until its history begins anew.
    if (patched('guard-hands-on')) return undefined;
    return old?.workflowId ?? `the rejoin of ${toRejoin.map(({ node }) => node).join(', ')}`;
  }

  private goingOn(): StartedRun[] {
    const { acting, redis, mending } = this.state;
    return [acting, redis?.acting, mending?.acting].filter((run) => run !== undefined);
  }

  /** When the last of what goes on holds a new history up no more, where somebody asked for one. Milliseconds since the epoch. */
  private handsOnAt(): number | undefined {
    const began = this.goingOn().map(({ since }) => since);
    return this.handsOver && began.length > 0 ? Math.max(...began) + HOLDS_UP_MS : undefined;
  }

  private handedOver(): GuardKnowledge {
    return this.splitBrain.toRejoin.length === 0 ? this.known : { ...this.known, toRejoin: this.splitBrain.toRejoin };
  }

  /** An earlier history started a run that goes on: without this nobody would hear its end, and nothing else would ever be started. */
  private hearAgain(): void {
    const { acting } = this.state;
    if (
      acting === undefined ||
      !this.runs.hearAgain(acting, (end) => this.runEnded(acting.workflowId, acting.what, end))
    )
      return;
    if (acting.asks !== undefined) this.asking = { workflowId: acting.workflowId, primary: acting.asks.primary };
    this.note('failover', `${acting.what} goes on, which an earlier history started`, acting.workflowId);
  }

  /** What follows from the state, for people. */
  private explain(): void {
    Object.assign(this.state, explainGuard(this.state, this.described.topology.guard, this.known.failed));
    const { redis } = this.described.topology;
    if (redis !== undefined && this.state.redis !== undefined)
      this.state.redis.next = explainRedis(this.state, this.state.redis, redis.limits.silence);
    setCurrentDetails(renderGuard(this.state));
  }

  private async watch(): Promise<WatchResult | undefined> {
    const { state } = this;
    const now = Date.now();
    const { maintenance } = state;
    if (maintenance?.until != null && now >= maintenance.until) {
      delete state.maintenance;
      this.forget();
      this.note('maintenance', 'maintenance mode is over: its time is up');
    }
    if (state.backoffUntil !== undefined && now >= state.backoffUntil) {
      delete state.backoffUntil;
      this.forget();
    }
    this.names.retryWhenDue(now);
    this.splitBrain.retryWhenDue(now);
    const { primary } = state.ledger;
    const run = `${this.runId('failover')}/${uuid4()}`;
    const {
      failures: _failures,
      redis: _redis,
      mending: _mending,
      fenceAgainAt: _again,
      fencesInVain: _vain,
      ...known
    } = this.known;
    const mayHold =
      this.acts() && state.mode === 'auto' && state.ledger.state === 'protected' && state.acting === undefined;
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
          mayInterrupt: this.acts() && state.mode === 'auto',
          incidentRun: run,
          known: { ...known, ...(this.names.commitsWait() ? { commitsWait: true } : {}) },
          ...this.countedOf(primary, now),
          forMs: stretchMs(now, [
            state.maintenance?.until,
            state.backoffUntil,
            state.namesBackoffUntil,
            this.names.looksUntil(now),
            this.splitBrain.againAt,
            this.handsOnAt(),
          ]),
        }),
      );
      this.incidentRun = run;
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
  private incidentRun = '';
  /** A run is being started, and is not shown yet. */
  private starting = false;

  /** What was told while nothing could be done about it is to be told again. */
  private forget(): void {
    Object.assign(this.known, nothingTold);
  }

  /** Neither people nor an attempt in vain keep it from failing over. */
  private acts(): boolean {
    return this.isAllowed() && this.state.backoffUntil === undefined;
  }

  /** Nothing but people keeps it from acting. */
  private isAllowed(): boolean {
    const { state } = this;
    return state.mode !== 'off' && state.maintenance === undefined;
  }

  /** What is no second attempt at a failover does not wait for the back-off after the first one: clients' commits may wait for it. */
  private actsInBackOff(): boolean {
    return this.acts() || (this.isAllowed() && patched('guard-acts-in-back-off'));
  }

  /** What the stretch before counted: of this very primary, and a moment ago. */
  private countedOf(primary: string | null, now: number): { counted?: WatchCounts } {
    const { counted } = this;
    if (counted === undefined || counted.primary !== primary || now - counted.at > COUNTS_FOR_MS) return {};
    return { counted: counted.counts };
  }

  private async take(result: WatchResult): Promise<void> {
    const { state } = this;
    state.sees = result.sees;
    state.signals = result.signals;
    const confirmed = withHeard(confirmedLedger(state.ledger, result.confirmedAt), result.heard);
    state.ledger = ledgerOfSystem(confirmed, result.systemIdentifier);
    // One question at a time, and PostgreSQL's first. That of a run from before locks by tier even holds the lock that is needed now.
    if (result.state === 'failed') await this.redis?.withdraw('PostgreSQL has failed, and goes first');
    switch (result.why) {
      case 'quiet':
        this.known.sees = keyOf(result);
        this.names.looked(result);
        return;
      case 'sees':
        this.known.sees = keyOf(result);
        if (result.state !== 'healthy') this.note('in doubt', result.sees);
        return;
      case 'ledger':
        if (result.ledger !== undefined) this.takeLedger(result.ledger);
        return;
      case 'healthy':
        if (this.known.failed) this.note('primary back', result.sees);
        this.known.failed = false;
        this.splitBrain.isOver();
        this.known.failures = 0;
        delete state.backoffUntil;
        // A failover that nobody has approved yet has lost its reason. One that was approved is why another node is well now.
        if (this.asking !== undefined && this.asking.primary === state.ledger.primary)
          await this.withdraw(`${state.ledger.primary ?? 'the primary'} is well again`);
        return;
      case 'failed': {
        const news = !this.known.failed;
        this.known.failed = true;
        this.known.sees = keyOf(result);
        this.note('primary failed', result.sees);
        // What the watch has begun is finished, whatever people said meanwhile.
        if (result.failure?.acted !== undefined)
          await CancellationScope.nonCancellable(() => this.failOver(result, 'given'));
        else if (this.acts() && (state.acting === undefined || (news && this.mayActBeside())))
          await this.failOver(result, state.mode === 'auto' ? 'given' : 'required');
        return;
      }
      case 'ready':
        return this.takeReadiness(result);
      case 'standby lost':
        return this.names.standbyLost(result);
      case 'standby back':
        return this.names.standbyBack();
      case 'commits go on':
        this.names.commitsGoOn();
        return;
      case 'split brain':
        return this.splitBrain.take(result);
    }
  }

  /** Protected is not enough: what would keep a failover or a planned move from working is told as soon as it is so. */
  private takeReadiness({ readiness }: WatchResult): void {
    if (readiness === undefined) return;
    const { key, ...seen } = readiness;
    const before = this.state.readiness;
    this.state.readiness = seen;
    this.known.ready = key;
    const [first] = seen.findings;
    if (first === undefined) {
      if (before !== undefined) this.note('ready', 'nothing is in the way of a failover or a planned move any more');
      return;
    }
    this.note(seen.ready ? 'ready' : 'not ready', seen.findings.map(problemSentence).join('; '));
  }

  private takeLedger(ledger: Ledger): void {
    const { state } = this;
    const before = state.ledger;
    state.ledger = ledger;
    if (ledger.state === 'protected') {
      this.known.standbyLost = false;
      delete state.namesFailed;
    }
    this.note('ledger', `${ledger.state}: ${ledger.why}`);
    if (before.primary !== null && before.epoch !== ledger.epoch && patched('guard-news-of-epoch'))
      this.beginEpoch(ledger);
    else this.names.seen(before, ledger);
  }

  /**
   * Another primary, or another timeline of the same: what was told is of the one before. Whatever happens to this one is news, and waits
   * for no back-off after an attempt for that one.
   */
  private beginEpoch({ primary, timeline }: Ledger): void {
    const { known, state } = this;
    if (known.failed) this.note('primary back', `${primary ?? 'a node'} takes writes, on timeline ${timeline}`);
    this.forget();
    known.sees = 'healthy';
    known.failures = 0;
    delete state.backoffUntil;
    this.names.beginEpoch();
  }

  /**
   * A failure is told only while nobody holds the lock of PostgreSQL. So a run of its own that is under way waits for a copy, or only
   * watches: the next failover is not held up by it. Only one that asks a person about this very primary is.
   */
  private mayActBeside(): boolean {
    return this.asking?.primary !== this.state.ledger.primary && patched('lock-by-tier');
  }

  private async failOver(result: WatchResult, approval: 'given' | 'required'): Promise<void> {
    const { state } = this;
    const { failure } = result;
    if (failure === undefined) return;
    const [workflowId = this.runId('failover')] = this.incidentRun.split('/');
    const input: FailoverInput = {
      cluster: state.cluster,
      approval,
      startedBy: `guard of ${state.cluster}`,
      reason: result.sees,
      ...(state.ledger.primary === null ? {} : { expectedPrimary: state.ledger.primary }),
      incident: {
        run: this.incidentRun,
        since: failure.since,
        decidedAt: failure.decidedAt,
        kind: failure.kind,
        says: result.sees,
        signals: result.signals,
        ...(failure.watched === undefined ? {} : { watched: failure.watched }),
        ...(failure.lastLsn === undefined ? {} : { lastLsn: failure.lastLsn }),
        ledger: state.ledger,
        ...(failure.acted === undefined ? {} : { journal: failure.acted.journal }),
      },
    };
    if (failure.acted !== undefined) this.note('failover', actedWords(failure.acted), workflowId);
    await this.startRun('failover', workflowId, input);
    if (input.approval === 'required' && state.acting !== undefined) {
      this.asking = { workflowId, primary: state.ledger.primary };
      state.acting.asks = { primary: state.ledger.primary };
    }
  }

  /** Takes back the question whether to fail over. */
  private async withdraw(why: string): Promise<void> {
    if (this.asking === undefined) return;
    this.asking.withdrawn = why;
    // It may have ended this moment.
    await getExternalWorkflowHandle(this.asking.workflowId)
      .cancel()
      .catch(() => undefined);
  }

  private async rejoinNext(): Promise<void> {
    const { state } = this;
    if (state.acting !== undefined || state.maintenance !== undefined || state.mode === 'off') return;
    const next = this.splitBrain.toRejoin.shift();
    if (next === undefined) return;
    await this.startRun('rejoin', this.runId('rejoin'), {
      cluster: state.cluster,
      node: next.node,
      approval: 'given',
      startedBy: `guard of ${state.cluster}`,
      reason: next.reason,
    });
  }

  /** Starts a runbook that lives on by itself, and listens for its end. */
  private async startRun(
    what: 'failover' | 'rejoin',
    workflowId: string,
    input: FailoverInput | RejoinInput,
  ): Promise<void> {
    const { state } = this;
    this.starting = true;
    let run;
    try {
      run = await this.runs.start({
        type: what,
        workflowId,
        input,
        summary: `Started by the guard: ${state.sees}`,
      });
    } catch (error) {
      const says = `the ${what} could not be started: ${rootMessage(error)}`;
      if (what === 'failover' || !patched('guard-back-off-of-failovers')) this.backOff(says);
      else this.note('failover', says);
      return;
    } finally {
      this.starting = false;
    }
    state.acting = { workflowId, runId: run.firstExecutionRunId, since: Date.now(), what };
    this.note('failover', `${what} started: ${workflowId}`, workflowId);
    this.runs.hear(run, (end) => this.runEnded(workflowId, what, end));
  }

  private runEnded(workflowId: string, what: string, end: RunEnd): void {
    const withdrawn = this.asking?.workflowId === workflowId ? this.asking.withdrawn : undefined;
    const says = `${what} ${workflowId} did not end well: ${end.says}`;
    if (end.well) {
      this.note('failover', `${what} ended: ${end.says}`, workflowId);
      this.known.failures = 0;
    } else if (withdrawn !== undefined) {
      this.forget();
      this.note('failover', `${what} withdrawn before anybody approved it: ${withdrawn}`, workflowId);
    } else if (what === 'failover' && end.type === 'Incomplete' && patched('lock-by-tier')) {
      // It promoted: the failure of the new primary is another one, and waits for nothing. It may have come before anybody saw that one.
      if (this.state.acting?.workflowId === workflowId && patched('guard-news-of-epoch')) this.forget();
      this.note('failover', says, workflowId);
    } else if (what === 'failover' && !this.known.failed && patched('guard-acts-in-back-off')) {
      // It was refused because the primary came back meanwhile, or lost its reason: nothing is to be tried again.
      this.note('failover', says, workflowId);
    } else if (what !== 'failover' && patched('guard-back-off-of-failovers')) {
      // Whatever else is left of a node is brought back with a back-off of the node's own, and keeps no failover waiting.
      this.note('failover', says, workflowId);
    } else this.backOff(says, workflowId);
    this.ended(workflowId);
  }

  private ended(workflowId: string): void {
    // A failover that was started beside it goes on, and is still the one that acts.
    if (this.state.acting?.workflowId === workflowId) delete this.state.acting;
    if (this.asking?.workflowId === workflowId) this.asking = undefined;
    // Two writable nodes are left to the run that acts; what is so afterwards is to be told.
    this.known.splitBrain = false;
    // The stretch takes a moment to end, and only then the next one begins.
    this.explain();
    this.stretch?.cancel();
  }

  private backOff(says: string, run?: string): void {
    const { backoff } = this.described.topology.guard;
    const ms = Math.min(MAX_BACKOFF_MS, backoff * 2 ** this.known.failures);
    this.known.failures += 1;
    this.state.backoffUntil = Date.now() + ms;
    this.note('backoff', `${says}. Nothing is tried again before ${formatMs(ms)} have passed`, run);
  }

  private runId(what: 'failover' | 'rejoin'): string {
    return newRunId(what, this.state.cluster);
  }

  private note(kind: GuardEvent['kind'], says: string, run?: string): void {
    this.state.events.push({ at: Date.now(), kind, says, ...(run === undefined ? {} : { run }) });
    while (this.state.events.length > EVENTS_KEPT) this.state.events.shift();
    log.info(`guard: ${kind}: ${says}`);
  }
}

/** What the watch itself did about a failure, in a sentence. */
function actedWords({ journal, problem }: NonNullable<NonNullable<WatchResult['failure']>['acted']>): string {
  const done =
    journal.marks.releasedAt !== null
      ? 'a standby was promoted at once, and clients go on with it'
      : journal.marks.promotedAt !== null
        ? 'a standby was promoted at once, and the pooler gave no answer'
        : journal.began === 'promotion'
          ? 'a standby may have been asked to be promoted'
          : 'the fence was begun at once, and nobody was promoted';
  return problem === undefined ? done : `${done}: ${problem}`;
}

const keyOf = (result: WatchResult): string =>
  `${result.state}${result.failure === undefined ? '' : ` ${result.failure.kind}`}`;
