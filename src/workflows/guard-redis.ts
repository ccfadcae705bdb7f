import { getExternalWorkflowHandle, isCancellation, patched, proxyActivities, sleep } from '@temporalio/workflow';
import type { Activities, RedisWatchResult } from '../activities';
import { isInTheWay, TAKES_LOCK_MS } from '../cluster/guard/mending';
import type { RunEnd } from '../cluster/guard/run-end';
import { strangersSay } from '../cluster/redis/strangers';
import { TROUBLE } from '../cluster/redis/watch';
import { REDIS_WAITS, type RedisGuardKnowledge, type RedisGuardState } from './guard-messages';
import { BUSY_MS, RedisWaits, type RedisWaitsHost } from './guard-redis-waits';
import { GuardRuns, newRunId } from './guard-runs';
import { MAX_BACKOFF_MS, stretchMs, watching, Wait } from './guard-watching';
import type { RedisFailoverInput } from './redis-input';
import { rootMessage } from './runbook/runner';

/** The change that has a run started beside an earlier one. */
const BESIDE = 'redis-beside-own-run';
/** The change that has a failover waited for that may not have taken the lock yet. */
const AWAITS = 'redis-awaits-own-run';
/** A failover takes the lock within this time, in milliseconds, or ends. */
const FAILOVER_TAKES_LOCK_MS = 5000;
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
export interface RedisGuardHost extends RedisWaitsHost {
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
  private readonly waits: RedisWaits;
  private looping: Promise<void> | undefined;
  /** The failover that it has a person asked about. */
  private asking: { workflowId: string; withdrawn?: string } | undefined;

  constructor(private readonly host: RedisGuardHost) {
    this.waits = new RedisWaits(host);
  }

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
      this.waits.next(now);
      this.forget();
    }
    const { acting } = redis;
    const inTheWay = isInTheWay(acting, now);
    if (host.known.behind === true && !inTheWay) this.forgetLeft();
    const { failures: _failures, behind: _behind, ...known } = host.known;
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
        forMs: stretchMs(now, [
          state.maintenance?.until,
          redis.backoffUntil,
          inTheWay && acting !== undefined ? acting.since + TAKES_LOCK_MS : undefined,
        ]),
      }),
    );
  }

  private pause(ms: number): Promise<void> {
    return this.waiting.run(() => sleep(ms, { summary: 'Waiting before Redis is watched again' }));
  }

  /** What was told while nothing could be done about it is to be told again. */
  private forget(): void {
    this.host.known.failed = false;
    this.forgetLeft();
  }

  private forgetLeft(): void {
    const { known } = this.host;
    known.leftOver = false;
    delete known.left;
    delete known.behind;
  }

  /** People let it act, and of these faults one at least waits for no back-off. */
  private acts(faults: readonly string[]): boolean {
    const { mode, maintenance } = this.host.state;
    return mode !== 'off' && maintenance === undefined && this.waits.letActOn(faults);
  }

  /** A master whose disk takes no writes may be moved away: not again and again, where the disks of all nodes fail. */
  private movesAway(now: number): boolean {
    const { movedAwayAt = -Infinity } = this.redis;
    return (
      this.host.state.mode === 'auto' &&
      this.acts([REFUSES]) &&
      now - movedAwayAt >= MAX_BACKOFF_MS &&
      this.mendsBeside([REFUSES])
    );
  }

  /**
   * A failure is told only while nobody holds the lock of Redis. So a run of its own that is under way has settled the roles, and only
   * starts a node or looks: what fails meanwhile is not to wait for it. Only one that asks a person about this very master is waited for.
   */
  private failsOverBeside({ asks, about, since }: NonNullable<RedisGuardState['acting']>): boolean {
    const { master } = this.redis;
    // One that was started for this very failure has the lock in a moment. Its end has the failure told again.
    if (about === master && Date.now() - since < FAILOVER_TAKES_LOCK_MS && patched(AWAITS)) return false;
    const asksAboutIt = asks && (about ?? master) === master && this.asking?.withdrawn === undefined;
    return !asksAboutIt && patched(BESIDE);
  }

  /** The same of what is not urgent: a run that was started just now may not have taken the lock yet. */
  private mendsBeside(faults: readonly string[]): boolean {
    const { acting } = this.redis;
    if (acting === undefined) return true;
    const atIt = faults.every((fault) => acting.faults?.includes(fault));
    return !atIt && !acting.asks && !isInTheWay(acting, Date.now()) && patched(BESIDE);
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
        this.forgetLeft();
        redis.movedFrom = null;
        this.waits.drop();
        return this.withdraw(`${redis.master ?? 'the master'} is well again`);
      case 'failed': {
        const free = redis.acting === undefined || (!known.failed && this.failsOverBeside(redis.acting));
        known.failed = true;
        known.sees = result.key;
        host.note('redis failed', result.sees);
        if (this.acts([FAILED]) && free && redis.master !== null) await this.failOver(redis.master);
        return;
      }
      case 'left over': {
        const faults = result.faults ?? ['left over'];
        known.leftOver = true;
        if (result.faults === undefined) delete known.left;
        else known.left = result.faults;
        this.hang(result.hanging);
        host.note('redis doubt', result.sees);
        // A person is not asked about it: what is left over can wait until one looks.
        if (!this.acts(faults) || host.state.mode !== 'auto') return;
        if (this.mendsBeside(faults)) await this.start(faults, {});
        else if (isInTheWay(redis.acting, Date.now())) known.behind = true;
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
      this.waits.drop();
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
    this.forgetLeft();
    // The attempt that did not end well has lost its reason.
    this.waits.drop();
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
      this.waits.backOff(faults, `the failover of Redis could not be started: ${rootMessage(error)}`);
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
      ...(what.expectedMaster === undefined ? {} : { about: what.expectedMaster }),
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
    // Another one was started beside it since: what it came to changes nothing any more.
    if (redis.acting?.workflowId !== workflowId)
      return host.note(
        'redis run',
        `redis failover ${end.well ? 'ended' : 'did not end well'}: ${end.says}`,
        workflowId,
      );
    const faults = redis.acting.faults ?? [];
    const withdrawn = this.asking?.workflowId === workflowId ? this.asking.withdrawn : undefined;
    if (!end.well) delete this.redis.movedAwayAt;
    if (end.well) {
      host.note('redis run', `redis failover ended: ${end.says}`, workflowId);
      host.known.failures = 0;
      this.waits.end(faults);
    } else if (withdrawn !== undefined)
      host.note('redis run', `redis failover withdrawn before anybody approved it: ${withdrawn}`, workflowId);
    else if (end.type === 'Busy')
      this.waits.wait(faults, 0, `another run holds the lock of Redis: ${end.says}`, workflowId);
    else this.waits.backOff(faults, `redis failover ${workflowId} did not end well: ${end.says}`, workflowId);
    delete this.redis.acting;
    this.asking = undefined;
    this.forget();
    this.host.explain();
    this.waiting.cancel();
  }
}
