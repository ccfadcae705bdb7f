import { getExternalWorkflowHandle, isCancellation, patched, proxyActivities, sleep } from '@temporalio/workflow';
import type { Activities, RedisWatchResult } from '../activities';
import { formatMs } from '../cluster/duration';
import type { GuardPolicy } from '../cluster/guard/policy';
import type { RunEnd } from '../cluster/guard/run-end';
import { strangersSay } from '../cluster/redis/strangers';
import { TROUBLE } from '../cluster/redis/watch';
import {
  REDIS_WAITS,
  type GuardEvent,
  type GuardState,
  type RedisGuardKnowledge,
  type RedisGuardState,
} from './guard-messages';
import { GuardRuns, newRunId } from './guard-runs';
import { MAX_BACKOFF_MS, stretchMs, watching, Wait } from './guard-watching';
import type { RedisFailoverInput } from './redis-input';
import { rootMessage } from './runbook/runner';

/** Another run holds the lock of Redis: it is tried again after this time, in milliseconds. */
const BUSY_MS = 2000;
/** A reason has to fit into the input of a run. */
const REASON_LENGTH = 480;

const { failed: FAILED, refuses: REFUSES } = REDIS_WAITS;

/** With this everything that is found is told. */
export const nothingKnownOfRedis: RedisGuardKnowledge = {
  failed: false,
  leftOver: false,
  sees: 'healthy',
  failures: 0,
};

/** What a guard that has not looked yet knows of Redis. */
export function emptyRedisState(): RedisGuardState {
  return { master: null, movedFrom: null, sees: 'It has not looked yet', signals: [] };
}

/** The guard, as the part of it that watches Redis needs it. */
export interface RedisGuardHost {
  readonly state: GuardState & { redis: RedisGuardState };
  readonly policy: GuardPolicy;
  readonly known: RedisGuardKnowledge;
  note(kind: GuardEvent['kind'], says: string, run?: string): void;
  /** The state was changed: people are shown it. */
  explain(): void;
  /** A run for PostgreSQL is being started, or goes on. */
  postgresActs(): boolean;
}

/**
 * Watches Redis beside PostgreSQL, with stretches of its own, and starts `redisFailover` where the master is proven to have failed, or
 * where an earlier failover left something. Nothing of it holds up what the guard does for PostgreSQL: it shares the state that people
 * see and their orders. Each of the two takes the lock of its own tier.
 */
export class RedisGuard {
  private ended = false;
  private readonly waiting = new Wait();
  private readonly runs = new GuardRuns();
  private looping: Promise<void> | undefined;
  /** The failover that it has a person asked about. */
  private asking: { workflowId: string; withdrawn?: string } | undefined;

  constructor(private readonly host: RedisGuardHost) {}

  private get redis(): RedisGuardState {
    return this.host.state.redis;
  }

  /** Begins to watch. */
  begin(): void {
    this.ended = false;
    this.looping = this.loop();
  }

  /** Ends the watching and waits for that. What it started goes on. */
  async end(): Promise<void> {
    this.ended = true;
    this.waiting.cancel();
    await this.looping;
  }

  /** The mode, or maintenance, was changed by people. */
  news(): void {
    this.forget();
    this.waiting.cancel();
  }

  /** Takes back the question whether to fail over: another one comes first, or it has lost its reason. */
  async withdraw(why: string): Promise<void> {
    if (this.asking === undefined || this.asking.withdrawn !== undefined) return;
    this.asking.withdrawn = why;
    // It may have ended this moment.
    await getExternalWorkflowHandle(this.asking.workflowId)
      .cancel()
      .catch(() => undefined);
  }

  private async loop(): Promise<void> {
    while (!this.ended) {
      try {
        this.hearAgain();
        const result = await this.watch();
        if (result !== undefined) await this.take(result);
        this.host.explain();
      } catch (error) {
        if (isCancellation(error)) return;
        // It must never end the guard of PostgreSQL; nothing is known that would get here.
        this.host.note('redis doubt', `Redis could not be watched: ${rootMessage(error)}`);
        await this.pause(BUSY_MS);
      }
    }
  }

  private async watch(): Promise<RedisWatchResult | undefined> {
    const { redis, host } = this;
    const { state } = host;
    const now = Date.now();
    if (redis.backoffUntil !== undefined && now >= redis.backoffUntil) {
      this.nextWait(now);
      this.forget();
    }
    const { failures: _failures, ...known } = host.known;
    return this.waiting.run(() =>
      proxyActivities<Activities>(watching('Watch Redis')).watchRedis({
        cluster: state.cluster,
        master: redis.master,
        movedFrom: redis.movedFrom,
        postgresPrimary: state.ledger.primary,
        known,
        ...(redis.seen === undefined ? {} : { seen: redis.seen }),
        mayStart: state.mode === 'auto' && state.maintenance === undefined,
        mayMove: this.movesAway(now),
        forMs: stretchMs(now, [state.maintenance?.until, redis.backoffUntil]),
      }),
    );
  }

  private pause(ms: number): Promise<void> {
    return this.waiting.run(() => sleep(ms, { summary: 'Waiting before Redis is watched again' }));
  }

  /** What was told while nothing could be done about it is to be told again. */
  private forget(): void {
    Object.assign(this.host.known, { failed: false, leftOver: false });
    delete this.host.known.left;
  }

  /** People let it act, and of these faults one at least waits for no back-off. */
  private acts(faults: readonly string[]): boolean {
    const { state } = this.host;
    const { waits, backoffUntil } = this.redis;
    if (state.mode === 'off' || state.maintenance !== undefined) return false;
    if (waits === undefined) return backoffUntil === undefined;
    return faults.some((fault) => (waits[fault]?.until ?? 0) <= Date.now());
  }

  /** When the next of the back-offs is over. One that is over goes on to count how often in a row its fault was tried in vain. */
  private nextWait(now: number): void {
    const untils = Object.values(this.redis.waits ?? {}).flatMap(({ until }) => (until > now ? [until] : []));
    if (untils.length === 0) delete this.redis.backoffUntil;
    else this.redis.backoffUntil = Math.min(...untils);
  }

  /** Whatever was in vain has lost its reason. */
  private waitNoMore(): void {
    delete this.redis.backoffUntil;
    delete this.redis.waits;
  }

  /** A master whose disk takes no writes may be moved away: not again and again, where the disks of all nodes fail. */
  private movesAway(now: number): boolean {
    const { acting, movedAwayAt = -Infinity } = this.redis;
    return (
      this.host.state.mode === 'auto' &&
      this.acts([REFUSES]) &&
      acting === undefined &&
      now - movedAwayAt >= MAX_BACKOFF_MS
    );
  }

  private async take(result: RedisWatchResult): Promise<void> {
    const { redis, host } = this;
    const { known } = host;
    this.trouble(result);
    redis.sees = redis.trouble ?? result.sees;
    redis.signals = result.signals;
    if (result.seen !== undefined) redis.seen = result.seen;
    for (const says of result.started ?? []) host.note('redis run', says);
    switch (result.why) {
      case 'quiet':
        known.sees = result.key;
        return;
      case 'sees':
        known.sees = result.key;
        if (result.state !== 'healthy') host.note('redis doubt', result.sees);
        return;
      case 'master':
        return this.moved(result);
      case 'healthy':
        if (known.failed) host.note('redis back', result.sees);
        Object.assign(known, nothingKnownOfRedis);
        delete known.hanging;
        delete known.left;
        redis.movedFrom = null;
        this.waitNoMore();
        return this.withdraw(`${redis.master ?? 'the master'} is well again`);
      case 'failed':
        known.failed = true;
        known.sees = result.key;
        host.note('redis failed', result.sees);
        if (this.acts([FAILED]) && redis.acting === undefined && redis.master !== null)
          await this.failOver(redis.master);
        return;
      case 'left over': {
        const faults = result.faults ?? ['left over'];
        known.leftOver = true;
        if (result.faults === undefined) delete known.left;
        else known.left = result.faults;
        this.hang(result.hanging);
        host.note('redis doubt', result.sees);
        // A person is not asked about it: what is left over can wait until one looks.
        if (this.acts(faults) && redis.acting === undefined && host.state.mode === 'auto') await this.start(faults, {});
        return;
      }
      case 'refuses':
        if (known.sees !== result.key) host.note('redis doubt', result.sees);
        known.sees = result.key;
        if (this.movesAway(Date.now()) && redis.master !== null && result.heir !== undefined)
          await this.moveAway(redis.master, result.heir);
        return;
    }
  }

  /** What is wrong beside a master that is well. A stretch that is over before it has looked knows nothing of it. */
  private trouble({ state, key, sees }: RedisWatchResult): void {
    if (key !== TROUBLE) delete this.redis.trouble;
    else if (state === 'suspect') this.redis.trouble = sees;
  }

  /** A node that hung has ended: what was in vain then is no reason to wait now. */
  private hang(now: string[] = []): void {
    const { host } = this;
    const { known } = host;
    if ((known.hanging ?? []).some((node) => !now.includes(node))) {
      this.waitNoMore();
      known.failures = 0;
    }
    if (now.length === 0) delete known.hanging;
    else known.hanging = now;
  }

  private async moved({ master, by, sees }: RedisWatchResult): Promise<void> {
    const { redis, host } = this;
    const before = redis.master;
    redis.master = master;
    redis.movedFrom = before;
    Object.assign(host.known, nothingKnownOfRedis);
    delete host.known.hanging;
    delete host.known.left;
    // The attempt that did not end well has lost its reason.
    this.waitNoMore();
    if (before !== null) {
      const run = by ?? redis.acting?.workflowId;
      host.note('redis moved', run === undefined ? `${sees}; no run moved it${this.lossBy(before)}` : sees, run);
      await this.withdraw(`${master ?? 'another node'} is the master now`);
    } else if (master !== null) host.note('redis moved', sees);
  }

  /** What the Sentinels' own failover may have lost, since the replaced master had a replica that the topology does not have. */
  private lossBy(replaced: string): string {
    const { seen } = this.redis;
    const strange = seen?.master === replaced ? strangersSay(seen) : undefined;
    return strange === undefined ? '' : `. Writes acknowledged with WAIT 1 may be lost: ${strange}`;
  }

  private failOver(master: string): Promise<void> {
    return this.start([FAILED], { expectedMaster: master });
  }

  private moveAway(master: string, target: string): Promise<void> {
    this.redis.movedAwayAt = Date.now();
    return this.start([REFUSES], { expectedMaster: master, target }, {});
  }

  /**
   * Starts the runbook, which looks again itself, lives on by itself, and whose end is listened for.
   * @param faults the keys of what it is started for, and that waits where it does not end well
   * @param how a master that answers by then stays the master, unless it is to be moved away
   */
  private async start(
    faults: string[],
    what: { expectedMaster?: string; target?: string },
    how: Pick<RedisFailoverInput, 'only'> = { only: 'repair' },
  ): Promise<void> {
    const { redis, host } = this;
    const { state } = host;
    if (host.postgresActs() && !patched('lock-by-tier')) {
      // Its run takes the only lock that there was. It is told anew then, and looked at first.
      redis.backoffUntil = Date.now() + BUSY_MS;
      return;
    }
    const workflowId = newRunId('redis-failover', state.cluster);
    const approval = state.mode === 'auto' ? 'given' : 'required';
    const input: RedisFailoverInput = {
      cluster: state.cluster,
      mode: 'run',
      approval,
      ...how,
      ...what,
      soak: '0s',
      leaveStopped: true,
      startedBy: `guard of ${state.cluster}`,
      reason: redis.sees.slice(0, REASON_LENGTH),
    };
    let run;
    try {
      run = await this.runs.start({
        type: 'redisFailover',
        workflowId,
        input,
        summary: `Started by the guard: ${redis.sees}`,
      });
    } catch (error) {
      if (isCancellation(error)) throw error;
      delete redis.movedAwayAt;
      this.backOff(faults, `the failover of Redis could not be started: ${rootMessage(error)}`);
      return;
    }
    const asks = approval === 'required';
    redis.acting = {
      workflowId,
      runId: run.firstExecutionRunId,
      since: Date.now(),
      what: 'redis failover',
      asks,
      faults,
    };
    if (asks) this.asking = { workflowId };
    host.note('redis run', `redis failover started: ${workflowId}`, workflowId);
    this.runs.hear(run, (end) => this.runEnded(workflowId, end));
  }

  /** An earlier history started a run that goes on: without this nobody would hear its end. */
  private hearAgain(): void {
    const { acting } = this.redis;
    if (acting === undefined || !this.runs.hearAgain(acting, (end) => this.runEnded(acting.workflowId, end))) return;
    if (acting.asks) this.asking = { workflowId: acting.workflowId };
    this.host.note('redis run', 'redis failover goes on, which an earlier history started', acting.workflowId);
  }

  private runEnded(workflowId: string, end: RunEnd): void {
    const { host, redis } = this;
    const faults = redis.acting?.faults ?? [];
    const withdrawn = this.asking?.workflowId === workflowId ? this.asking.withdrawn : undefined;
    if (!end.well) delete this.redis.movedAwayAt;
    if (end.well) {
      host.note('redis run', `redis failover ended: ${end.says}`, workflowId);
      host.known.failures = 0;
      for (const fault of faults) delete redis.waits?.[fault];
      if (redis.waits !== undefined) this.nextWait(Date.now());
    } else if (withdrawn !== undefined)
      host.note('redis run', `redis failover withdrawn before anybody approved it: ${withdrawn}`, workflowId);
    else if (end.type === 'Busy') this.wait(faults, 0, `another run holds the lock of Redis: ${end.says}`, workflowId);
    else this.backOff(faults, `redis failover ${workflowId} did not end well: ${end.says}`, workflowId);
    delete this.redis.acting;
    this.asking = undefined;
    this.forget();
    this.host.explain();
    this.waiting.cancel();
  }

  private backOff(faults: readonly string[], says: string, run?: string): void {
    this.wait(faults, 1, says, run);
    this.host.known.failures += 1;
  }

  /**
   * Each fault waits for itself: one that is new, a failed master above all, is tried at once.
   * @param failed 1 where the attempt did not end well, 0 where it only found the lock taken
   */
  private wait(faults: readonly string[], failed: 0 | 1, says: string, run?: string): void {
    const { redis, host } = this;
    const now = Date.now();
    const after = (failures: number) =>
      failed === 0 ? BUSY_MS : Math.min(MAX_BACKOFF_MS, host.policy.backoff * 2 ** failures);
    if (faults.length > 0 && patched('redis-backoff-by-fault')) {
      const waits = (redis.waits ??= {});
      for (const fault of faults) {
        const failures = waits[fault]?.failures ?? 0;
        waits[fault] = { until: now + after(failures), failures: failures + failed };
      }
      this.nextWait(now);
    } else {
      delete redis.waits;
      redis.backoffUntil = now + after(host.known.failures);
    }
    const own = faults.flatMap((fault) => redis.waits?.[fault]?.until ?? []);
    const ms = (own.length > 0 ? Math.min(...own) : (redis.backoffUntil ?? now)) - now;
    const what = own.length > 0 ? 'It is not' : 'Nothing is';
    host.note('redis run', `${says}. ${what} tried again before ${formatMs(ms)} have passed`, run);
  }
}
