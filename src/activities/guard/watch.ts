import type { FailureKind, Round, Signal, Verdict } from '../../cluster/guard/signals';
import {
  confirmedAfter,
  confirmedByBeat,
  confirmedWithinMs,
  doubted,
  wasFresh,
  type WatchBeat,
} from '../../cluster/guard/confirmation';
import { hadItsChance } from '../../cluster/guard/fair-chance';
import { heardAfter, mayBeAlone, withHeard, type Heard } from '../../cluster/guard/heard';
import { confirmedLedger, ledgerKey, type Ledger } from '../../cluster/guard/ledger';
import { isForeign, nextLedger } from '../../cluster/guard/ledger-rules';
import { isWritable } from '../../cluster/guard/rounds';
import { decideSplitBrain, splitBrainIn, type SplitBrain } from '../../cluster/guard/split-brain';
import type { CarriedStreak } from '../../cluster/guard/client-path';
import type { CarriedWatch, LostStandbys } from '../../cluster/guard/standby-loss';
import type { Lsn } from '../../cluster/lsn';
import { judge } from '../../cluster/guard/verdict';
import { attempt, heartbeat, keepBeating, lastHeartbeat } from '../context';
import { accessCluster, type ActivityDeps } from '../deps';
import type { FailoverJournal } from '../failover/journal';
import { readinessKey, type Readiness } from '../../cluster/readiness/findings';
import { ActAtOnce, type ActingBeat } from './act-at-once';
import { ClientHold } from './client-hold';
import { Observatory } from './observatory';
import { ReadinessWatch } from './readiness-watch';
import { RelaxingProof } from './relaxing-proof';
import { StandbyWatcher } from './standby-watcher';
import { endOfStretch } from './stretch';
import { Way } from './way';

/** What the guard asks of one stretch of watching. Names and numbers only. */
export interface WatchRequest {
  cluster: string;
  ledger: Ledger;
  /** Clients may be held at the first certain sign: a failover would follow by itself. */
  mayHold: boolean;
  /** The failover that would follow may be carried out at once, by the watch itself, as far as clients wait for it. */
  mayAct?: boolean;
  /** A run that is in the way of what would follow may be asked to let go of the lock. */
  mayInterrupt?: boolean;
  /** The run id of the failover that would follow: nodes are taken and clients are held under it. */
  incidentRun: string;
  /** What the guard knows already: the same news is not told again. */
  known: {
    failed: boolean;
    splitBrain: boolean;
    standbyLost: boolean;
    standbyBack: boolean;
    /** It is told that commits wait: the first round in which they go on is news. */
    commitsWait?: boolean;
    sees: string;
    ready?: string;
  };
  /** What the stretch before this one had counted, where it ended a moment ago: this one may run on another worker. */
  counted?: WatchCounts;
  /** Return after this time, in milliseconds, if nothing happens. */
  forMs: number;
}

/** Why a stretch of watching ended, and what was seen then. */
export interface WatchResult {
  why:
    | 'failed'
    | 'healthy'
    | 'ledger'
    | 'standby lost'
    | 'standby back'
    | 'commits go on'
    | 'split brain'
    | 'sees'
    | 'ready'
    | 'quiet';
  at: number;
  state: Verdict['state'];
  /** What is seen, in a sentence. */
  sees: string;
  signals: Signal[];
  /** The new ledger, where it changed. */
  ledger?: Ledger;
  /** The last moment for which the ledger is known to hold, in milliseconds since the epoch; absent where nobody knows. */
  confirmedAt?: number;
  /** What was heard of the standbys when the primary answered last; absent from a version before this one. */
  heard?: Heard;
  failure?: {
    kind: FailureKind;
    since: number;
    decidedAt: number;
    heldSince: number | null;
    /** The primary took writes, with the recorded names, in the moments before the first sign. Absent from a version before this one. */
    watched?: boolean;
    /** The last position of the primary that was seen. */
    lastLsn?: Lsn;
    /** What the watch did about it at once; absent where it has changed nothing. */
    acted?: {
      journal: FailoverJournal;
      /** Why it did not come to its end. */
      problem?: string;
    };
  };
  splitBrain?: SplitBrain;
  /** Since when no standby confirms, in milliseconds since the epoch. */
  standbyLostSince?: number;
  /** The database system of the ledger's primary, where the ledger does not name it yet. */
  systemIdentifier?: string;
  /** Whether a failover would work now, where that changed. */
  readiness?: Readiness & { key: string };
  /** How certain that is; absent where a version before this one watched. In `quiet`: they are lost, and a run holds the lock. */
  standbyLost?: LostStandbys;
  /** What goes on being counted in the next stretch; absent while all is well, and from a version before this one. */
  counted?: WatchCounts;
}

/** What a watch counts over more than one round, in durations. */
export interface WatchCounts {
  /** For how long which standby has not confirmed. */
  standbys?: CarriedWatch;
  /** For how long the pooler has not reached the primary. */
  clientPath?: CarriedStreak;
}

/** How many rounds a verdict looks back on. */
const ROUNDS_KEPT = 30;
/** What is odd for this long is told, even when it is no failure. */
const TELL_AFTER_MS = 1500;
/**
 * What is counted over several seconds, a write or the pooler's way, is told that much after it would have been decided, in
 * milliseconds: to tell ends the stretch, and the next one may be another worker's, which counts anew.
 */
const COUNTED_AFTER_MS = 2000;
/** How often the lock is asked for while a failure waits for it. */
const LOCK_EVERY_MS = 500;
/**
 * How often Temporal is told that it lives, in milliseconds: news from people come with the answer, and each beat costs the server a
 * write.
 */
const BEAT_EVERY_MS = 300;

/**
 * Watches a cluster until something happens that the guard has to know, or the time is over. Asks every node several times a
 * second over sessions that are held open; nothing of it stands in the workflow's history.
 */
export async function watchCluster(deps: ActivityDeps, request: WatchRequest): Promise<WatchResult> {
  const access = accessCluster(deps, request.cluster);
  const policy = access.topology.guard;
  const watched = ledgerKey(request.ledger);
  let { confirmedAt, heard } = lastKnown(deps, request);
  const limitMs = confirmedWithinMs(policy);
  const observatory = new Observatory(deps, access, request.ledger.primary, policy, request.counted?.clientPath);
  const acting = new ActAtOnce(deps, access, request, observatory, () => heartbeat(beat()));
  const beat = (): WatchBeat & { acting?: ActingBeat } => ({
    ledger: watched,
    ...(confirmedAt === undefined ? {} : { confirmedAt }),
    ...(heard === undefined ? {} : { heard }),
    ...(standbys.beat === undefined ? {} : { standbys: standbys.beat }),
    ...(acting.beat === undefined ? {} : { acting: acting.beat }),
  });
  const standbys = new StandbyWatcher(
    deps,
    access,
    policy,
    request.ledger.primary,
    beatBefore(watched)?.standbys,
    request.counted?.standbys,
  );
  const stopBeating = keepBeating(beat, BEAT_EVERY_MS);
  const hold = new ClientHold(deps, access, observatory.pooler, request);
  const readiness = new ReadinessWatch(access, observatory.agents, observatory.pooler);
  const ends = endOfStretch(deps, request.forMs);
  const rounds: Round[] = [];
  let oddSince: number | undefined;
  let lockedUntil = 0;
  const way = new Way(deps, request);
  const relaxing = new RelaxingProof(deps, access, request.ledger.primary);
  let failed = false;
  let silentSince: number | undefined;
  let lastLsn: Lsn | undefined;
  let aliveAt: number | undefined;
  let waiting: LostStandbys | undefined;
  try {
    await observatory.open();
    if (attempt() > 1) {
      const begun = request.mayAct === true ? await acting.resume() : undefined;
      failed = begun !== undefined;
      if (begun !== undefined) return begun;
      if (request.mayHold) await hold.goOn();
    }
    readiness.start();
    for (;;) {
      const round = await observatory.round(() => hold.begin());
      rounds.push(round);
      if (rounds.length > ROUNDS_KEPT) rounds.shift();
      lastLsn = round.sql.inRecovery === false ? (round.sql.lsn ?? lastLsn) : lastLsn;
      heard = heardAfter(heard, request.ledger, round, rounds.at(-2)?.sql);
      silentSince = round.sql.answered ? undefined : (silentSince ?? round.at);
      const verdict = judge(rounds, policy, silentSince, heard?.at);
      const now = observatory.clock.now();
      // What has not been confirmed for too long promises nothing: it is told so, or proven anew where the primary answers.
      const age = { confirmedAt, at: round.at, limitMs };
      const stale = request.ledger.state === 'protected' && !wasFresh(round, confirmedAt, limitMs, heard?.at);
      const known = withHeard(request.ledger, heard);
      const believed = stale ? doubted(known, age, now) : known;
      const ledger = nextLedger(believed, round, policy, now, rounds) ?? (stale ? believed : undefined);
      confirmedAt = confirmedAfter(ledger ?? known, round, confirmedAt, limitMs);
      if (isWritable(round.sql) && confirmedAt === round.at) aliveAt = round.at;
      remember(deps, request, confirmedAt, heard);
      const seen = {
        at: now,
        state: verdict.state,
        sees: verdict.says,
        signals: signalsOf(verdict),
        ...(confirmedAt === undefined ? {} : { confirmedAt }),
        ...(heard === undefined ? {} : { heard }),
        ...newSystem(request.ledger, round),
        ...countedBy(standbys.beat, observatory.pathCounted),
      };
      if (ledger !== undefined) return { why: 'ledger', ...seen, ledger: confirmedLedger(ledger, confirmedAt) };
      // One that is known is over when one round does not show it; a new one has to be confirmed.
      const splitBrain = request.known.splitBrain
        ? splitBrainIn(round, request.ledger, policy)
        : decideSplitBrain(rounds, request.ledger, policy);
      if ((splitBrain !== undefined) !== request.known.splitBrain)
        return splitBrain === undefined
          ? { why: 'healthy', ...seen }
          : { why: 'split brain', ...seen, sees: splitBrain.says, splitBrain };

      const waits = waitsForItself(request, verdict, seen.at, mayBeAlone(heard, round, request.ledger.timeline));
      if (verdict.state === 'failed' && !waits) {
        if (!request.known.failed && seen.at >= lockedUntil) {
          const holder = await deps.lockHolder(request.cluster);
          if (holder === undefined) {
            failed = true;
            const failure = {
              kind: verdict.kind,
              since: verdict.since,
              decidedAt: seen.at,
              heldSince: hold.since ?? null,
              watched: wasWatched(aliveAt, verdict.since, policy),
              ...(lastLsn === undefined ? {} : { lastLsn }),
            };
            const found = { why: 'failed' as const, ...seen, failure };
            return request.mayAct === true ? await acting.act(found) : found;
          }
          lockedUntil = observatory.clock.now() + LOCK_EVERY_MS;
          seen.sees = `${verdict.says}; run ${holder} holds the lock of PostgreSQL, and is waited for`;
          await way.ask(holder, verdict.says);
        }
      } else if (verdict.state === 'suspect' && verdict.hold) {
        void hold.begin();
      } else if (verdict.state !== 'suspect') {
        await hold.end();
      }
      // Of another database system nothing is relaxed, restored or proven: the ledger is not about it.
      if (verdict.state === 'healthy' && !isForeign(request.ledger, round.sql)) {
        if (request.known.failed) return { why: 'healthy', ...seen };
        if (request.known.commitsWait === true && standbys.goesOn(round)) return { why: 'commits go on', ...seen };
        const lost = await standbys.look(round, request.known.standbyLost);
        waiting = lost;
        if (lost !== undefined) {
          const holder = await deps.lockHolder(request.cluster);
          if (holder === undefined)
            return { why: 'standby lost', ...seen, standbyLost: lost, standbyLostSince: Date.now() - lost.forMs };
          // Where relaxing would be refused, the run may be what ends the node that it is refused for.
          if (policy.onStandbyLost !== 'block' && relaxing.holds()) await way.ask(holder, lost.says);
        }
        if (
          !request.known.standbyBack &&
          standbys.isBack(round) &&
          (await deps.lockHolder(request.cluster)) === undefined
        )
          return { why: 'standby back', ...seen };
        const news = readiness.news(request.known.ready);
        // A run that is under way has every node on its way to somewhere.
        if (news !== undefined && (await deps.lockHolder(request.cluster)) === undefined)
          return { why: 'ready', ...seen, readiness: { ...news, key: readinessKey(news) } };
      }

      // What stays odd is told, so that a person who asks the guard hears it.
      const key = `${verdict.state}${verdict.state === 'failed' ? ` ${verdict.kind}` : ''}`;
      // A failure that gets its time is told when that is over: to tell ends the stretch, and the next one counts anew.
      if (key === request.known.sees || waits) oddSince = undefined;
      else oddSince ??= seen.at;
      const counts = round.write !== undefined || round.clientPath !== undefined;
      const tellAfter = counts ? Math.max(policy.writeLimit, policy.poolerLimit) + COUNTED_AFTER_MS : TELL_AFTER_MS;
      if (oddSince !== undefined && seen.at - oddSince >= tellAfter) return { why: 'sees', ...seen };

      // Commits that wait while a run holds the lock are no end of that.
      if (ends.over()) return { why: 'quiet', ...seen, ...(waiting === undefined ? {} : { standbyLost: waiting }) };
      await observatory.pause(ends.signal, standbys.dueIn);
    }
  } finally {
    stopBeating();
    // A failover that follows goes on with the hold; nobody else may leave clients waiting.
    if (!failed) await hold.end();
    observatory.close();
    readiness.close();
    ends.close();
  }
}

/**
 * Whether a primary that has failed may come back, and gets the time for that: with this ledger nothing proves that somebody else may
 * take over.
 * @param mayBeAlone it may have acknowledged what no standby has, although the ledger says protected
 */
function waitsForItself({ ledger, known }: WatchRequest, verdict: Verdict, now: number, mayBeAlone: boolean): boolean {
  if (verdict.state !== 'failed' || known.failed) return false;
  if (ledger.state === 'protected' && !mayBeAlone) return false;
  return !hadItsChance(verdict.kind, verdict.since, now);
}

/**
 * Whether the primary was seen in the moments before its failure: within two rounds. Whatever somebody did to it before that, this watch
 * would have seen.
 * @param aliveAt milliseconds since the epoch of the last round in which it confirmed the ledger itself
 */
const wasWatched = (
  aliveAt: number | undefined,
  since: number,
  { probeInterval }: { probeInterval: number },
): boolean => aliveAt !== undefined && since - aliveAt <= 2 * probeInterval;

/** What a stretch knew last, by the worker that it ran on: the result of one that was ended by news is lost to the guard. */
const remembered = new WeakMap<ActivityDeps, Map<string, WatchBeat>>();

function remember(
  deps: ActivityDeps,
  { cluster, ledger }: WatchRequest,
  confirmedAt: number | undefined,
  heard: Heard | undefined,
): void {
  const clusters = remembered.get(deps) ?? new Map<string, WatchBeat>();
  remembered.set(deps, clusters);
  clusters.set(cluster, {
    ledger: ledgerKey(ledger),
    ...(confirmedAt === undefined ? {} : { confirmedAt }),
    ...(heard === undefined ? {} : { heard }),
  });
}

/** What the attempt before this one said last, if it watched this very ledger. */
function beatBefore(watched: string): Partial<WatchBeat> | undefined {
  const beat = lastHeartbeat<Partial<WatchBeat>>();
  return typeof beat === 'object' && beat !== null && beat.ledger === watched ? beat : undefined;
}

/** The newest of what the guard, the attempt before this one and this worker know of this very ledger. */
function lastKnown(deps: ActivityDeps, { cluster, ledger }: WatchRequest): Ledger {
  const beats = [lastHeartbeat<unknown>(), remembered.get(deps)?.get(cluster)];
  return beats.reduce<Ledger>(confirmedByBeat, ledger);
}

/** The database system that the ledger is about, where a version that did not note it wrote the ledger. */
function newSystem({ primary, timeline, systemIdentifier }: Ledger, { sql }: Round): { systemIdentifier?: string } {
  if (systemIdentifier !== undefined || sql.systemIdentifier === undefined || !isWritable(sql)) return {};
  return sql.name === primary && sql.timeline === timeline ? { systemIdentifier: sql.systemIdentifier } : {};
}

function countedBy(standbys?: CarriedWatch, clientPath?: CarriedStreak): { counted?: WatchCounts } {
  if (standbys === undefined && clientPath === undefined) return {};
  return {
    counted: { ...(standbys === undefined ? {} : { standbys }), ...(clientPath === undefined ? {} : { clientPath }) },
  };
}

function signalsOf(verdict: Verdict): Signal[] {
  return verdict.state === 'healthy' ? [] : verdict.signals;
}
