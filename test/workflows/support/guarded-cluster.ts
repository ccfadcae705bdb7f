import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { temporal } from '@temporalio/proto';
import type { Activities, WatchRequest, WatchResult } from '../../../src/activities';
import type { Ledger } from '../../../src/cluster/guard/ledger';
import { guardPolicySchema, type GuardPolicy } from '../../../src/cluster/guard/policy';
import { guardQuery, guardWorkflowId, type GuardInput, type GuardState } from '../../../src/workflows/guard-messages';
import { clusterTopology, PRIMARY, STANDBY } from '../../cluster/support/picture';
import { endSignal, inputQuery, type RunEnd } from './guard-workflows';
import { eventually, type WorkflowServer } from './server';

/** A ledger as it stands while all is well. */
export function protectedLedger(rest: Partial<Ledger> = {}): Ledger {
  return {
    version: 1,
    state: 'protected',
    primary: PRIMARY,
    timeline: 3,
    epoch: 1,
    synchronous: [STANDBY],
    names: 'veloz_standby',
    since: Date.now(),
    why: `${STANDBY} confirms each commit before it is acknowledged`,
    ...rest,
  };
}

/** What a stretch of watching found. */
export function seen(why: WatchResult['why'], rest: Partial<WatchResult> = {}): WatchResult {
  return { why, at: Date.now(), state: 'healthy', sees: `${PRIMARY} answered in 1 ms`, signals: [], ...rest };
}

/** The primary was killed. */
export function dead(rest: Partial<WatchResult> = {}): WatchResult {
  const at = Date.now();
  return seen('failed', {
    state: 'failed',
    sees: `${PRIMARY} is dead: its container is exited`,
    signals: [{ at, source: 'docker', says: 'the container is exited', speaks: 'for' }],
    failure: { kind: 'dead', since: at - 40, decidedAt: at, heldSince: at, lastLsn: '0/5000000' },
    ...rest,
  });
}

/** A stretch of watching that is under way. */
interface Stretch {
  activityId: string;
  request: WatchRequest;
  end: (result: WatchResult) => void;
}

let clusters = 0;

/** A cluster that exists in a guard's eyes only: what it sees is what the test says. */
export class GuardedCluster {
  readonly name = `c${++clusters}-${process.pid}`;
  /** What the guard asked of each stretch. */
  readonly asked: WatchRequest[] = [];
  /** What it did, in order. */
  readonly did: string[] = [];
  /** What its activities are to do; each may throw. */
  readonly acts = {
    relax: (): Promise<string> => Promise.resolve('relaxed'),
    restore: (): Promise<string> => Promise.resolve('restored'),
    fence: (node: string): Promise<string> => Promise.resolve(`${node} was fenced`),
  };
  private stretch: Stretch | undefined;

  constructor(
    private readonly server: WorkflowServer,
    private readonly policy: Partial<Record<keyof GuardPolicy, unknown>> = {},
  ) {}

  activities(): Partial<Activities> {
    return {
      describeCluster: () =>
        Promise.resolve({
          name: this.name,
          topology: { ...clusterTopology(), guard: guardPolicySchema.parse({ backoff: '400ms', ...this.policy }) },
        }),
      watchCluster: (request) => this.watch(request),
      relaxSynchrony: (_cluster, primary) => {
        this.did.push(`relax ${primary}`);
        return this.acts.relax();
      },
      restoreSynchrony: (_cluster, primary) => {
        this.did.push(`restore ${primary}`);
        return this.acts.restore();
      },
      fenceRogue: ({ node, keep }) => {
        this.did.push(`fence ${node}, keep ${keep}`);
        return this.acts.fence(node);
      },
    };
  }

  private async watch(request: WatchRequest): Promise<WatchResult> {
    const context = Context.current();
    this.asked.push(request);
    const beating = setInterval(() => context.heartbeat(), 200);
    let over: NodeJS.Timeout | undefined;
    try {
      return await new Promise<WatchResult>((resolve, reject) => {
        this.stretch = { activityId: context.info.activityId, request, end: resolve };
        over = setTimeout(() => resolve(seen('quiet')), request.forMs);
        context.cancelled.catch(reject);
      });
    } finally {
      clearInterval(beating);
      clearTimeout(over);
    }
  }

  /** Has the stretch that is under way find something. `when`: only one that was asked so. */
  async sees(result: WatchResult, when: (request: WatchRequest) => boolean = () => true): Promise<void> {
    const { end } = await eventually(
      `a stretch in which ${result.why} is seen`,
      () => this.heardStretch(when),
      () => this.asked.at(-1),
    );
    this.stretch = undefined;
    end(result);
  }

  /** The stretch that is under way. One that the guard has cancelled goes on until its next heartbeat, and nobody hears it. */
  private async heardStretch(when: (request: WatchRequest) => boolean): Promise<Stretch | undefined> {
    const { stretch } = this;
    if (stretch === undefined || !when(stretch.request)) return undefined;
    const { raw } = await this.handle.describe();
    const pending = raw.pendingActivities?.find(({ activityId }) => activityId === stretch.activityId);
    const heard = pending?.state === temporal.api.enums.v1.PendingActivityState.PENDING_ACTIVITY_STATE_STARTED;
    return heard && this.stretch === stretch ? stretch : undefined;
  }

  /** A new stretch, asked so. */
  async watches(when: (request: WatchRequest) => boolean = () => true): Promise<WatchRequest> {
    return eventually(
      'a stretch of watching',
      () => (this.stretch !== undefined && when(this.stretch.request) ? this.stretch.request : undefined),
      () => this.asked.at(-1),
    );
  }

  get handle() {
    return this.server.client.getHandle(guardWorkflowId(this.name));
  }

  state(): Promise<GuardState> {
    return this.handle.query(guardQuery);
  }

  /** Waits until the guard's state is as wanted. */
  async until(what: string, holds: (state: GuardState) => boolean): Promise<GuardState> {
    let last: GuardState | undefined;
    return eventually(
      what,
      async () => {
        last = await this.state();
        return holds(last) ? last : undefined;
      },
      () => last,
    );
  }

  /** Starts a guard and runs `body` beside it; ends the guard and whatever it started. */
  async guarded<T>(body: () => Promise<T>, input: GuardInput = {}): Promise<T> {
    return this.server.withWorker(this.activities(), async (taskQueue) => {
      await this.server.client.start('guard', { taskQueue, workflowId: guardWorkflowId(this.name), args: [input] });
      try {
        await this.watches();
        return await body();
      } finally {
        for (const id of [guardWorkflowId(this.name), ...this.runs])
          await this.server.client
            .getHandle(id)
            .terminate()
            .catch(() => undefined);
      }
    });
  }

  /** The same, once the ledger says protected. */
  protected<T>(body: () => Promise<T>, input: GuardInput = {}): Promise<T> {
    return this.guarded(async () => {
      await this.sees(seen('ledger', { ledger: protectedLedger() }));
      await this.watches(({ ledger }) => ledger.state === 'protected');
      return body();
    }, input);
  }

  private readonly runs: string[] = [];

  /** The run that the guard is busy with: its id, its input, and how to end it. */
  async run(what: 'failover' | 'rejoin' = 'failover') {
    const { acting } = await this.until(`a ${what}`, (state) => state.acting?.what === what);
    const id = acting?.workflowId ?? '';
    this.runs.push(id);
    const handle = this.server.client.getHandle(id);
    return {
      id,
      handle,
      input: (await handle.query(inputQuery)) as Record<string, unknown>,
      end: async (how: RunEnd) => {
        await handle.signal(endSignal, how);
        await this.until(`the end of ${id}`, (state) => state.acting?.workflowId !== id);
      },
    };
  }
}

/** An activity's refusal. */
export const refused = (says: string): ApplicationFailure => ApplicationFailure.nonRetryable(says, 'Refused');
