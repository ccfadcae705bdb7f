import type { Signal } from '../../cluster/guard/signals';
import { notConnected } from '../../cluster/redis/apart';
import { ailmentSays, refusesWrites } from '../../cluster/redis/ailments';
import { faultKey, type RedisFault } from '../../cluster/redis/faults';
import { headless, HEADLESS_MS } from '../../cluster/redis/headless';
import { isStopped, mastersOf, namedMaster, type ObservedRedis, type SeenReplicas } from '../../cluster/redis/observed';
import { moveThatMends, REFUSES_MS } from '../../cluster/redis/refusal';
import { newerSeen, nextSeen } from '../../cluster/redis/strangers';
import {
  judgeRedis,
  hangingIn,
  keyOfRedis,
  leftBehind,
  leftBehindSays,
  undecidedSays,
  REDIS_ROUNDS_KEPT,
  TROUBLE,
  type RedisFailureKind,
  type RedisRound,
  type RedisVerdict,
} from '../../cluster/redis/watch';
import { keepBeating } from '../context';
import { accessCluster, type ActivityDeps } from '../deps';
import { endOfStretch } from '../guard/stretch';
import { AwayNodes } from './away-nodes';
import { BarredMaster } from './barred-master';
import { RedisObservatory } from './observatory';
import { Restarts } from './restarts';

/** What the guard asks of one stretch of watching Redis. Names and numbers only. */
export interface RedisWatchRequest {
  cluster: string;
  /** The master as far as the guard knows; null while it knows none. */
  master: string | null;
  /** A master that was replaced, and that has not been seen well since: its container is among what is left over. */
  movedFrom: string | null;
  /** The primary of PostgreSQL, whose failover goes first; null while it is not known. */
  postgresPrimary: string | null;
  /** What the guard knows already: the same news is not told again. */
  known: {
    failed: boolean;
    leftOver: boolean;
    sees: string;
    hanging?: string[];
    /** The keys of the faults that were told as left over; another one is news. Absent from a guard of an older version: none is. */
    left?: string[];
  };
  /** What an earlier stretch saw last in the master's own list of replicas. */
  seen?: SeenReplicas;
  /** Nodes that were killed, or hang, may be started. Absent from a guard of an older version: they may not. */
  mayStart?: boolean;
  /** A master whose disk takes no writes may be moved away. Absent from a guard of an older version: it may not. */
  mayMove?: boolean;
  /** Return after this time, in milliseconds, if nothing happens. */
  forMs: number;
}

/** Why a stretch of watching Redis ended, and what was seen then. */
export interface RedisWatchResult {
  why: 'failed' | 'healthy' | 'master' | 'left over' | 'refuses' | 'sees' | 'quiet';
  at: number;
  state: RedisVerdict['state'];
  /** What is seen, in a sentence without full stop. */
  sees: string;
  signals: Signal[];
  /** The master now. */
  master: string | null;
  /** The run that holds the lock of Redis while the master changes. */
  by?: string;
  failure?: { kind: RedisFailureKind; since: number; decidedAt: number };
  /** Two looks with the same key are no news. */
  key: string;
  /** Of `refuses`: the replica that is fit to be the master. */
  heir?: string;
  /** Of `left over`: the keys of the faults. Absent from a watch of an older version. */
  faults?: string[];
  /** Of `left over`: the nodes that hang, off their networks. */
  hanging?: string[];
  /** What the watch did about nodes that were killed or hung, each in a sentence. */
  started?: string[];
  /** What was seen last in the master's own list of replicas; absent where nobody has read one. */
  seen?: SeenReplicas;
}

/** What is odd for this long is told, even when it is no failure. */
const TELL_AFTER_MS = 1500;
/** Whatever a failover leaves is put right by the nodes themselves within three seconds, or not at all. */
const REPAIR_AFTER_MS = 5000;
/** How often the lock is asked for while a failure waits for it. */
const LOCK_EVERY_MS = 500;
/** A stretch that is over, and has something in hand, goes on at its pace. */
const NEVER = new AbortController().signal;
/** The failover of PostgreSQL has this long to begin where both failed together. */
const POSTGRES_FIRST_MS = 5000;

/**
 * Watches a cluster's Redis until something happens that the guard has to know, or the time is over. Changes nothing but that it starts
 * nodes that were killed, or that hang; nothing of it stands in the workflow's history.
 */
export async function watchRedis(deps: ActivityDeps, request: RedisWatchRequest): Promise<RedisWatchResult> {
  const access = accessCluster(deps, request.cluster);
  const { redis, guard: policy } = access.topology;
  if (redis === undefined) throw new Error(`cluster ${request.cluster} has no Redis`);
  const limits = { policy, silenceMs: redis.limits.silence };
  const stopBeating = keepBeating(() => 'watching', 600);
  const ends = endOfStretch(deps, request.forMs);
  const { failed, leftOver, sees } = request.known;
  const waitsForAnEnd = failed || leftOver || sees === TROUBLE || request.movedFrom !== null;
  const observatory = new RedisObservatory(deps, request.cluster, redis, request.master, policy, waitsForAnEnd);
  const odd = new Since();
  const left = new Since();
  const lasts = new Map<string, number>();
  const without = new Since();
  const refusing = new Since();
  const { cluster, master, movedFrom, mayStart = false } = request;
  const restarts = new Restarts(deps, { cluster, redis, policy, master, movedFrom, mayStart });
  const started: string[] = [];
  const away = new AwayNodes();
  const barred = new BarredMaster();
  const rounds: RedisRound[] = [];
  let notBefore = 0;
  let failedSince: number | undefined;
  let looked = false;
  let undecided: string | undefined;
  let ailing: string | undefined;
  let refused = false;
  let replicas = newerSeen(request.seen, seenReplicas(deps, request.cluster));
  try {
    await observatory.open();
    if (request.master === null) {
      const known = masterIn(await observatory.look());
      if (known !== undefined) return { why: 'master', state: 'healthy', ...bare(`${known} is the master`, known) };
    }
    for (;;) {
      const round = await observatory.round();
      rounds.push(round);
      if (rounds.length > REDIS_ROUNDS_KEPT) rounds.shift();
      const verdict = judgeRedis(rounds, limits);
      const now = observatory.clock.now();
      if (round.picture !== undefined && request.master !== null) {
        replicas = nextSeen(replicas, round.picture, request.master);
        remember(deps, request.cluster, replicas);
      }
      restarts.see(round, verdict, now);
      started.push(...restarts.takeStarted());
      const seen: Omit<RedisWatchResult, 'why'> = {
        at: now,
        state: verdict.state,
        sees: verdict.says,
        key: keyOfRedis(verdict),
        signals: 'signals' in verdict ? verdict.signals : [],
        master: request.master,
        ...(replicas === undefined ? {} : { seen: replicas }),
        ...(started.length === 0 ? {} : { started }),
      };

      const masterSeen = masterNow(request.master, round.picture, verdict);
      if (masterSeen !== undefined && masterSeen !== request.master) {
        const by = await deps.lockHolder(request.cluster, 'redis');
        return { why: 'master', ...seen, master: masterSeen, ...(by === undefined ? {} : { by }) };
      }

      if (verdict.state !== 'failed') failedSince = undefined;
      else if (!request.known.failed && now >= notBefore && !restarts.revivesMaster) {
        failedSince ??= now;
        const [holder, postgres] = await Promise.all([
          deps.lockHolder(request.cluster, 'redis'),
          now - failedSince < POSTGRES_FIRST_MS ? endedPrimary(deps, request.postgresPrimary) : undefined,
        ]);
        if (holder === undefined && postgres === undefined)
          return {
            why: 'failed',
            ...seen,
            failure: { kind: verdict.kind, since: verdict.since, decidedAt: observatory.clock.now() },
          };
        notBefore = observatory.clock.now() + LOCK_EVERY_MS;
        seen.sees =
          holder === undefined
            ? `${verdict.says}; ${postgres} does not run either, and PostgreSQL goes first`
            : `${verdict.says}; run ${holder} holds the lock of Redis, and is waited for`;
      }

      if (verdict.state === 'healthy' && round.picture !== undefined && request.master !== null)
        away.see(round.picture, request.master, now);
      // Not in the middle of a silence that is being counted: a new stretch would count it anew.
      if (started.length > 0 && (round.answer.answered || verdict.state === 'failed')) return { why: 'sees', ...seen };

      if (verdict.state === 'healthy' && round.picture !== undefined) {
        const faults = leftBehind(round.picture, request.movedFrom);
        if (faults.length > 0) {
          const says = leftBehindSays(faults);
          const hanging = hangingIn(faults);
          // What an attempt was in vain for is over: the next one does not wait.
          const ended = (request.known.hanging ?? []).some((node) => !hanging.includes(node));
          const lasting = lastingOf(faults, lasts, now);
          // One that is new has its time, too, however long others last.
          const news = leftOver ? isNews(request.known, lasting) : left.holds(now) >= REPAIR_AFTER_MS;
          const due = ended || news;
          if (due && (await deps.lockHolder(request.cluster, 'redis')) === undefined)
            return {
              why: 'left over',
              ...seen,
              sees: says,
              faults: faults.map(faultKey),
              ...(hanging.length > 0 || ended ? { hanging } : {}),
            };
        } else {
          // A replica that waits for its copy is no fault, and what was one is not over by that.
          const waits = request.master !== null && notConnected(round.picture, request.master).length > 0;
          if (!waits) {
            left.ends();
            lasts.clear();
          }
          if (failed || (leftOver && !waits) || isBack(round.picture, request.movedFrom))
            return { why: 'healthy', ...seen };
        }
      }

      if (round.picture !== undefined) {
        const faults = headless(round.picture);
        if (faults.length === 0) without.ends();
        else if (without.holds(now) >= HEADLESS_MS && isNews(request.known, faults)) {
          const holder = await deps.lockHolder(request.cluster, 'redis');
          if (holder === undefined)
            return { why: 'left over', ...seen, sees: leftBehindSays(faults), faults: faults.map(faultKey) };
        }
      }

      // What stays odd is told, so that a person who asks the guard hears it. Not in the middle of a silence that is being counted.
      const patienceMs = round.answer.answered ? TELL_AFTER_MS : limits.silenceMs + TELL_AFTER_MS;
      barred.see(round);
      if (round.picture !== undefined) {
        looked = true;
        undecided = undecidedSays(round.picture);
        const move = moveThatMends(redis, round.picture);
        ailing = ailmentSays(round.picture, refused, move?.next);
        refused = refusesWrites(round.picture);
        if (move === undefined || verdict.state !== 'healthy') refusing.ends();
        else if (refusing.holds(now) >= REFUSES_MS && request.mayMove === true && ailing !== undefined) {
          const holder = await deps.lockHolder(request.cluster, 'redis');
          if (holder === undefined)
            return { why: 'refuses', ...seen, state: 'suspect', sees: ailing, key: TROUBLE, heir: move.target };
        }
      }
      if (verdict.state === 'healthy') {
        const trouble = undecided ?? barred.trouble ?? ailing ?? restarts.trouble ?? away.trouble;
        // What was told by an earlier stretch stays told until this one knows.
        const unknown =
          request.known.sees === TROUBLE &&
          (!looked || restarts.pending || away.pending || barred.pending || (refused && ailing === undefined));
        if (trouble !== undefined) Object.assign(seen, { state: 'suspect', sees: trouble, key: TROUBLE });
        else if (unknown) seen.key = TROUBLE;
      } else if (restarts.trouble !== undefined)
        Object.assign(seen, { sees: `${seen.sees}; ${restarts.trouble}`, key: `${seen.key}, ${TROUBLE}` });
      if (seen.key === request.known.sees) odd.ends();
      else if (odd.holds(now) >= patienceMs && !restarts.busy) return { why: 'sees', ...seen };

      if (ends.over() && !restarts.busy) return { why: 'quiet', ...seen };
      await observatory.pause(ends.over() ? NEVER : ends.signal);
    }
  } finally {
    stopBeating();
    observatory.close();
    ends.close();
  }
}

/** What the watches on this worker saw last: the guard's state has it only when their stretch is over. */
const remembered = new WeakMap<ActivityDeps, Map<string, SeenReplicas>>();

/** What the watch of a cluster saw last in the master's own list of replicas, if it is on this worker. */
export const seenReplicas = (deps: ActivityDeps, cluster: string): SeenReplicas | undefined =>
  remembered.get(deps)?.get(cluster);

function remember(deps: ActivityDeps, cluster: string, seen: SeenReplicas | undefined): void {
  if (seen === undefined) return;
  const clusters = remembered.get(deps) ?? new Map<string, SeenReplicas>();
  remembered.set(deps, clusters.set(cluster, seen));
}

const bare = (sees: string, master: string) => ({ at: Date.now(), sees, master, key: 'healthy', signals: [] });

/** The master as it can be told without knowing who was: a majority names it, or it is the only one. */
function masterIn(observed: ObservedRedis): string | undefined {
  const masters = mastersOf(observed);
  return namedMaster(observed) ?? (masters.length === 1 ? masters[0]?.name : undefined);
}

function masterNow(
  known: string | null,
  picture: ObservedRedis | undefined,
  verdict: RedisVerdict,
): string | undefined {
  if (verdict.state === 'moved') return verdict.master;
  return known === null && picture !== undefined ? masterIn(picture) : undefined;
}

/** The replaced master answers again. */
function isBack(observed: ObservedRedis, movedFrom: string | null): boolean {
  return movedFrom !== null && observed.nodes.some(({ name, state }) => name === movedFrom && state !== null);
}

/** The primary of PostgreSQL where its container has ended too. */
async function endedPrimary(deps: ActivityDeps, primary: string | null): Promise<string | undefined> {
  if (primary === null) return undefined;
  const container = await deps.docker.inspect(primary).catch(() => undefined);
  return container !== undefined && isStopped(container) ? primary : undefined;
}

/** Those of the faults that have lasted for {@link REPAIR_AFTER_MS}; `since` says when each began, and forgets those that are over. */
function lastingOf(faults: readonly RedisFault[], since: Map<string, number>, now: number): RedisFault[] {
  const keys = faults.map(faultKey);
  for (const key of since.keys()) if (!keys.includes(key)) since.delete(key);
  for (const key of keys) since.set(key, since.get(key) ?? now);
  return faults.filter((fault) => now - (since.get(faultKey(fault)) ?? now) >= REPAIR_AFTER_MS);
}

/** Nothing left over was told yet, or one of these was not. */
const isNews = ({ leftOver, left }: RedisWatchRequest['known'], faults: readonly RedisFault[]): boolean =>
  !leftOver || (left !== undefined && faults.some((fault) => !left.includes(faultKey(fault))));

/** For how long something has been so. */
class Since {
  private at: number | undefined;

  holds(now: number): number {
    this.at ??= now;
    return now - this.at;
  }

  ends(): void {
    this.at = undefined;
  }
}
