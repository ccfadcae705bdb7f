import {
  ApplicationFailure,
  makeContinueAsNewFunc,
  patched,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import type { ClusterDescription } from '../activities';
import { guardCommand } from '../cluster/commands';
import { ActingGuard } from './guard-acting';
import { GuardBackOff } from './guard-back-off';
import { ClusterWatch } from './guard-cluster-watch';
import { renderGuard } from './guard-details';
import { explainGuard, explainRedis } from './guard-explain';
import { GuardHistory } from './guard-history';
import type { GuardHost, GuardShared } from './guard-host';
import { guardQuery, guardWorkflowId, type GuardInput, type GuardState } from './guard-messages';
import { listenToPeople, phaseKey } from './guard-people';
import { MendingGuard } from './guard-mending';
import { NamesGuard } from './guard-names';
import { GuardNews } from './guard-news';
import { emptyRedisState, nothingKnownOfRedis, RedisGuard } from './guard-redis';
import { SplitBrainGuard } from './guard-split-brain';
import { firstKnowledge, firstState, forget, noteEvent } from './guard-state';
import { searchAttributeNames, WORKFLOW_TASK_TIMEOUT } from './messages';
import { describeCluster } from './runbook/begin';

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

/** Puts the parts of the guard together, and has its history begin anew. */
class Guard {
  private readonly shared: GuardShared;
  private stopped = false;
  /** Keeps it from failing over after an attempt in vain. */
  private readonly backOff: GuardBackOff;
  /** Ends a second primary. */
  private readonly splitBrain: SplitBrainGuard;
  /** Starts failovers and rejoins. */
  private readonly acting: ActingGuard;
  /** Says when its history begins anew. */
  private readonly history: GuardHistory;
  /** Watches PostgreSQL. */
  private readonly watch: ClusterWatch;
  /** Watches Redis, where the cluster has one. */
  private readonly redis: RedisGuard | undefined;
  /** Brings back what a failover, a fence or a fault left. */
  private readonly mending: MendingGuard | undefined;
  /** Takes what the watch of PostgreSQL tells. */
  private readonly news: GuardNews;

  constructor(
    private readonly described: ClusterDescription,
    input: GuardInput,
  ) {
    const state = firstState(described, input);
    const known = firstKnowledge(input);
    const shared: GuardShared = {
      state,
      policy: described.topology.guard,
      known,
      note: (kind, says, run) => noteEvent(state, kind, says, run),
    };
    this.shared = shared;
    if (input.carried === undefined)
      shared.note('started', `started by ${input.startedBy ?? 'the Web UI or an API client'}, mode ${state.mode}`);
    const backOff = new GuardBackOff(shared);
    const host: GuardHost = {
      ...shared,
      // What these two parts do is no second attempt at a failover.
      acts: () => backOff.actsInBackOff(),
      backOff: (says) => backOff.begin(says),
    };
    const splitBrain = new SplitBrainGuard(host);
    const names = new NamesGuard(host);
    const { toRejoin } = splitBrain;
    const history = new GuardHistory({ state, known, toRejoin });
    this.backOff = backOff;
    this.splitBrain = splitBrain;
    this.history = history;
    this.acting = new ActingGuard({
      ...shared,
      backOff,
      toRejoin,
      incidentRun: () => this.watch.incidentRun,
      changed: () => this.changed(),
    });
    // These three ask which version began the history: recorded ones have the answers in this order.
    this.watch = new ClusterWatch({ ...shared, backOff, names, splitBrain, handsOnAt: () => history.handsOnAt() });
    this.redis = this.redisGuard();
    this.mending = this.mendingGuard();
    this.news = new GuardNews({ ...shared, backOff, names, splitBrain, acting: this.acting, redis: this.redis });
    listenToPeople({
      state,
      note: (kind, says) => shared.note(kind, says),
      changed: () => {
        forget(known);
        this.redis?.news();
        this.mending?.news();
        this.changed();
      },
      withdraw: (why) => {
        void this.acting.withdraw(why);
        void this.redis?.withdraw(why);
      },
      stop: () => {
        this.stopped = true;
      },
      handOver: () => history.handOver(),
    });
  }

  /** Of a cluster that has Redis. What was known of one that it has no more is dropped. */
  private redisGuard(): RedisGuard | undefined {
    const { state, known } = this.shared;
    // A guard that was started by a version which left Redis alone goes on as it began, until its history begins anew.
    if (this.described.topology.redis === undefined || !patched('guard-redis')) {
      delete state.redis;
      delete known.redis;
      return undefined;
    }
    const redis = (state.redis ??= emptyRedisState());
    return new RedisGuard({
      ...this.shared,
      state: Object.assign(state, { redis }),
      known: (known.redis ??= { ...nothingKnownOfRedis }),
      explain: () => this.explain(),
      postgresActs: () => this.acting.isStarting || state.acting !== undefined,
    });
  }

  private mendingGuard(): MendingGuard | undefined {
    const { state, known } = this.shared;
    const { toRejoin } = this.splitBrain;
    // A guard that was started by a version which left that to people goes on as it began, until its history begins anew.
    if (!patched('guard-mending')) {
      delete state.mending;
      delete known.mending;
      return undefined;
    }
    const mending = (state.mending ??= { nodes: [] });
    return new MendingGuard({
      ...this.shared,
      state: Object.assign(state, { mending }),
      known: (known.mending ??= {}),
      explain: () => this.explain(),
      busy: () => this.acting.isStarting || state.acting !== undefined || toRejoin.length > 0,
      startsAnother: () => this.acting.isStarting || toRejoin.length > 0,
      mended: () => {
        if (!known.failed) this.tryAgainNow();
      },
      standbyAnswers: () => this.tryAgainNow(),
    });
  }

  /** What the last attempt was in vain for may be possible now. */
  private tryAgainNow(): void {
    const { state, known } = this.shared;
    if (state.backoffUntil === undefined) return;
    this.backOff.drop();
    forget(known);
    this.changed();
  }

  async run(): Promise<GuardState> {
    const { state } = this.shared;
    upsertSearchAttributes([
      { key: keys.cluster, value: state.cluster },
      { key: keys.runbook, value: 'guard' },
      { key: keys.phase, value: state.mode },
    ]);
    this.redis?.begin();
    this.mending?.begin();
    while (!this.stopped) {
      this.acting.hearAgain();
      await this.acting.rejoinNext();
      this.explain();
      if (this.history.isDue()) {
        await this.redis?.end();
        await this.mending?.end();
        // What was being started until now has an end that somebody has to listen for. The next round asks again.
        if (this.history.busyWith() !== undefined && patched('guard-busy-at-its-end')) {
          this.redis?.begin();
          this.mending?.begin();
          continue;
        }
        // One that was started with another limit takes this one over now.
        const beginAnew = makeContinueAsNewFunc<typeof guard>({ workflowTaskTimeout: WORKFLOW_TASK_TIMEOUT });
        await beginAnew({ cluster: state.cluster, carried: state, known: this.history.handedOver() });
      }
      const result = await this.watch.watch();
      if (result !== undefined) await this.news.take(result);
    }
    await this.redis?.end();
    await this.mending?.end();
    return state;
  }

  /** The state was changed: people are shown it, and the stretch of watching that knows nothing of it ends. */
  private changed(): void {
    this.explain();
    this.watch.news();
  }

  /** What follows from the state, for people. */
  private explain(): void {
    const { state, policy, known } = this.shared;
    Object.assign(state, explainGuard(state, policy, known.failed));
    const { redis } = this.described.topology;
    if (redis !== undefined && state.redis !== undefined)
      state.redis.next = explainRedis(state, state.redis, redis.limits.silence);
    setCurrentDetails(renderGuard(state));
  }
}
