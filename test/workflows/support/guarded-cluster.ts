import { Context } from '@temporalio/activity';
import { QueryNotRegisteredError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { temporal } from '@temporalio/proto';
import type {
  Activities,
  FailoverJournal,
  MembersWatchRequest,
  MembersWatchResult,
  RedisWatchRequest,
  RedisWatchResult,
  WatchRequest,
  WatchResult,
} from '../../../src/activities';
import { emptyJournal } from '../../../src/activities/failover/journal';
import { awaitRunEnd } from '../../../src/activities/guard/await-run-end';
import type { Ledger } from '../../../src/cluster/guard/ledger';
import { guardPolicySchema, type GuardPolicy } from '../../../src/cluster/guard/policy';
import { runEnd } from '../../../src/systems/run-end';
import { guardQuery, guardWorkflowId, type GuardInput, type GuardState } from '../../../src/workflows/guard-messages';
import { MASTER, redisTopology } from '../../cluster/redis/picture';
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

/** What a watch did at once about a primary that was killed. */
export function acted(rest: Partial<FailoverJournal> = {}): NonNullable<WatchResult['failure']>['acted'] {
  const at = Date.now();
  return {
    journal: {
      ...emptyJournal(),
      began: 'promotion',
      fence: `${PRIMARY}: its container is exited, and the fence lies in its volume`,
      lossBound: 0,
      proof: `${STANDBY} was heard`,
      names: '',
      timelineBefore: 3,
      subSteps: [{ id: 'promote', says: `promote ${STANDBY}`, ms: 60, atMs: 120 }],
      marks: {
        fencedAt: at - 80,
        promotedAt: at - 10,
        routedAt: at,
        releasedAt: at,
        fenceMs: 90,
        promoteMs: 60,
        routeMs: 3,
      },
      ...rest,
    },
  };
}

/** The primary was killed, and the watch itself had the standby promoted. */
export function deadAndActed(rest: Partial<FailoverJournal> = {}): WatchResult {
  const found = dead();
  return { ...found, failure: { ...found.failure, acted: acted(rest) } as WatchResult['failure'] };
}

/** What a stretch of watching Redis found. */
export function redisSeen(why: RedisWatchResult['why'], rest: Partial<RedisWatchResult> = {}): RedisWatchResult {
  return {
    why,
    at: Date.now(),
    state: 'healthy',
    key: 'healthy',
    sees: `${MASTER} answered in 1 ms`,
    signals: [],
    master: MASTER,
    ...rest,
  };
}

/** The master was killed. */
export function redisDead(rest: Partial<RedisWatchResult> = {}): RedisWatchResult {
  const at = Date.now();
  return redisSeen('failed', {
    state: 'failed',
    key: 'failed dead',
    sees: `${MASTER} is dead: its container is exited, exit code 137, and it gives no answer`,
    signals: [{ at, source: 'docker', says: 'the container is exited', speaks: 'for' }],
    failure: { kind: 'dead', since: at - 40, decidedAt: at },
    ...rest,
  });
}

/** A stretch of watching that is under way. */
interface Stretch<Request, Result> {
  activityId: string;
  /** Which attempt of it, from 1. */
  attempt: number;
  request: Request;
  end: (result: Result) => void;
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
  /** Its watch acts: it goes on to its end although it is told to end. */
  actsOn = false;
  /** The stretch that is under way says no more that it lives. */
  falls = false;
  /** What it asked of each stretch of watching Redis. */
  readonly askedRedis: RedisWatchRequest[] = [];
  /** What it asked of each stretch of looking after what is left over. */
  readonly askedMembers: MembersWatchRequest[] = [];
  private membersStretch: Stretch<MembersWatchRequest, MembersWatchResult> | undefined;
  private stretch: Stretch<WatchRequest, WatchResult> | undefined;
  private redisStretch: Stretch<RedisWatchRequest, RedisWatchResult> | undefined;

  constructor(
    private readonly server: WorkflowServer,
    private readonly policy: Partial<Record<keyof GuardPolicy, unknown>> = {},
    private readonly has: { redis?: boolean } = {},
  ) {}

  activities(): Partial<Activities> {
    return {
      describeCluster: () =>
        Promise.resolve({
          name: this.name,
          topology: {
            ...clusterTopology(),
            ...(this.has.redis === true ? { redis: redisTopology() } : {}),
            guard: guardPolicySchema.parse({ backoff: '1s', ...this.policy }),
          },
        }),
      watchCluster: (request) => this.watch(request),
      watchRedis: (request) => this.watchRedis(request),
      watchMembers: (request) => this.watchMembers(request),
      awaitRunEnd: (run) => awaitRunEnd({ runEnd: (...of) => runEnd(this.server.client, ...of) }, run),
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

  private watch(request: WatchRequest): Promise<WatchResult> {
    this.asked.push(request);
    return inStretch(request, seen('quiet'), (stretch) => (this.stretch = stretch), this);
  }

  private watchRedis(request: RedisWatchRequest): Promise<RedisWatchResult> {
    this.askedRedis.push(request);
    return inStretch(request, redisSeen('quiet', { master: request.master }), (stretch) => {
      this.redisStretch = stretch;
    });
  }

  private watchMembers(request: MembersWatchRequest): Promise<MembersWatchResult> {
    this.askedMembers.push(request);
    const quiet: MembersWatchResult = { why: 'quiet', leftOver: [], due: [], byHand: [] };
    return inStretch(request, quiet, (stretch) => {
      this.membersStretch = stretch;
    });
  }

  /** Has the stretch of looking after what is left over find something. */
  async seesMembers(
    result: MembersWatchResult,
    when: (request: MembersWatchRequest) => boolean = () => true,
  ): Promise<MembersWatchRequest> {
    const { end, request } = await eventually(
      `a stretch in which ${result.why} is seen of the members`,
      () => this.heard(() => this.membersStretch, when),
      () => this.askedMembers.at(-1),
    );
    this.membersStretch = undefined;
    end(result);
    return request;
  }

  /** Has the stretch that is under way find something. `when`: only one that was asked so. */
  async sees(result: WatchResult, when: (request: WatchRequest) => boolean = () => true): Promise<void> {
    const { end } = await eventually(
      `a stretch in which ${result.why} is seen`,
      () => this.heard(() => this.stretch, when),
      () => this.asked.at(-1),
    );
    this.stretch = undefined;
    end(result);
  }

  /** Has the stretch that is under way come to its end, also where the guard has told it to. */
  comesTo(result: WatchResult): void {
    const { stretch } = this;
    if (stretch === undefined) throw new Error('no stretch is under way');
    this.stretch = undefined;
    this.actsOn = false;
    stretch.end(result);
  }

  /** The same of Redis. */
  async seesRedis(result: RedisWatchResult, when: (request: RedisWatchRequest) => boolean = () => true): Promise<void> {
    const { end } = await eventually(
      `a stretch in which ${result.why} is seen of Redis`,
      () => this.heard(() => this.redisStretch, when),
      () => this.askedRedis.at(-1),
    );
    this.redisStretch = undefined;
    end(result);
  }

  /**
   * The stretch that is under way. Nobody hears one that the guard has cancelled, which goes on until its next heartbeat, and none of
   * an attempt before the one that the server knows: its worker has ended.
   */
  private async heard<Request, Result>(
    underWay: () => Stretch<Request, Result> | undefined,
    when: (request: Request) => boolean,
  ): Promise<Stretch<Request, Result> | undefined> {
    const stretch = underWay();
    if (stretch === undefined || !when(stretch.request)) return undefined;
    const { raw } = await this.handle.describe();
    const pending = raw.pendingActivities?.find(
      ({ activityId, attempt }) => activityId === stretch.activityId && attempt === stretch.attempt,
    );
    const heard = pending?.state === temporal.api.enums.v1.PendingActivityState.PENDING_ACTIVITY_STATE_STARTED;
    return heard && underWay() === stretch ? stretch : undefined;
  }

  /** A new stretch of watching Redis, asked so. */
  async watchesRedis(when: (request: RedisWatchRequest) => boolean = () => true): Promise<RedisWatchRequest> {
    return eventually(
      'a stretch of watching Redis',
      () =>
        this.redisStretch !== undefined && when(this.redisStretch.request) ? this.redisStretch.request : undefined,
      () => this.askedRedis.at(-1),
    );
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
        last = await this.state().catch((error: unknown) => {
          // A history that has only just begun anew has no handler yet.
          if (error instanceof QueryNotRegisteredError) return undefined;
          throw error;
        });
        return last !== undefined && holds(last) ? last : undefined;
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
  async run(what: 'failover' | 'rejoin' | 'repair' | 'redis failover' = 'failover') {
    const actingIn = (state: GuardState) =>
      what === 'redis failover' ? state.redis?.acting : what === 'repair' ? state.mending?.acting : state.acting;
    const state = await this.until(`a ${what}`, (each) => actingIn(each)?.what === what);
    const id = actingIn(state)?.workflowId ?? '';
    this.runs.push(id);
    const handle = this.server.client.getHandle(id);
    return {
      id,
      handle,
      input: (await handle.query(inputQuery)) as Record<string, unknown>,
      end: async (how: RunEnd) => {
        await handle.signal(endSignal, how);
        await this.until(`the end of ${id}`, (each) => actingIn(each)?.workflowId !== id);
      },
    };
  }
}

/** A stretch that lasts until the test ends it, its time is over, or it is cancelled. */
async function inStretch<Request extends { forMs: number }, Result>(
  request: Request,
  quiet: Result,
  begin: (stretch: Stretch<Request, Result>) => void,
  how: { actsOn: boolean; falls: boolean } = { actsOn: false, falls: false },
): Promise<Result> {
  const context = Context.current();
  const beating = setInterval(() => {
    if (how.falls) clearInterval(beating);
    else context.heartbeat();
  }, 200);
  how.falls = false;
  let over: NodeJS.Timeout | undefined;
  try {
    return await new Promise<Result>((resolve, reject) => {
      begin({ activityId: context.info.activityId, attempt: context.info.attempt, request, end: resolve });
      over = setTimeout(() => resolve(quiet), request.forMs);
      context.cancelled.catch((error: unknown) => {
        if (!how.actsOn) reject(error);
      });
    });
  } finally {
    clearInterval(beating);
    clearTimeout(over);
  }
}

/** An activity's refusal. */
export const refused = (says: string): ApplicationFailure => ApplicationFailure.nonRetryable(says, 'Refused');
