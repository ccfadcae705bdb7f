import { formatMs } from '../duration';
import { isKilled, wasStoppedByHand } from '../guard/mending';
import type { GuardPolicy } from '../guard/policy';
import type { Signal } from '../guard/signals';
import { redisStatus } from './commands';
import { diagnose, faultSays, type RedisFault } from './faults';
import {
  answeringSentinels,
  behind,
  HEARD_MS,
  isStopped,
  majorityOf,
  mastersOf,
  namedMaster,
  nodeAt,
  whoHears,
  type ObservedRedis,
} from './observed';
import { waitingSentinel } from './waiting';

/** The master's answer to the guard's own question, over its held-open connection. */
export interface RedisAnswer {
  answered: boolean;
  /** Milliseconds that the answer took, or after which it was given up. */
  ms: number;
  /** What it says it is; absent without an answer. */
  role?: 'master' | 'replica';
  /** Why there was no answer. */
  problem?: string;
}

/** Everything that one round of questions said. */
export interface RedisRound {
  /** Milliseconds since the epoch at which the round began. */
  at: number;
  /** How much later than planned it began, in milliseconds: what the observer itself was stalled for. */
  lateMs: number;
  /** The node that the guard takes for the master; null while nobody names one. */
  master: string | null;
  answer: RedisAnswer;
  /** A look at everything: once something is odd, and every few seconds. */
  picture?: ObservedRedis;
}

/** How the master failed, once that is certain. */
export type RedisFailureKind =
  /** It gives no answer, and Docker says that its container has ended or is gone. */
  | 'dead'
  /** It should run, and answers nobody: it hangs, is frozen, is cut off, or does not come back from a restart. */
  | 'silent';

/** What the rounds so far mean. */
export type RedisVerdict =
  | { state: 'healthy'; says: string }
  /** Something is odd: look harder. */
  | { state: 'suspect'; says: string; signals: Signal[] }
  /** Others hear from the master, or this observer was stalled itself (I2). */
  | { state: 'observer in doubt'; says: string; signals: Signal[] }
  /** A Sentinel is failing over; a second failover beside it could end with two masters. */
  | { state: 'sentinels act'; says: string; signals: Signal[] }
  /** A majority of the Sentinels names another master. */
  | { state: 'moved'; says: string; signals: Signal[]; master: string }
  | { state: 'failed'; kind: RedisFailureKind; says: string; signals: Signal[]; since: number };

/** Rounds that a verdict looks back on. */
export const REDIS_ROUNDS_KEPT = 60;

/** What the decision is measured against. */
export interface RedisWatchLimits {
  policy: Pick<GuardPolicy, 'probeInterval' | 'probeLimit' | 'confirmations'>;
  /** A master that should run may answer nobody for this long, in milliseconds. */
  silenceMs: number;
}

/**
 * What the newest rounds mean. Pure.
 *
 * Two independent ways at least have to agree (I1): no answer here, and Docker's word that the container has ended; or no answer
 * here for {@link RedisWatchLimits.silenceMs}, and no Sentinel and no replica that has heard anything either, of which a majority of
 * the Sentinels has to be asked. A Sentinel that acts is left to act.
 *
 * @param rounds oldest first, at least one
 */
export function judgeRedis(rounds: readonly RedisRound[], limits: RedisWatchLimits): RedisVerdict {
  const round = rounds.at(-1);
  if (round === undefined) return { state: 'healthy', says: 'nobody has looked yet' };
  const { master, answer, picture } = round;
  const waiting = picture === undefined ? undefined : waitingSentinel(picture);
  // Nothing failed, and no run could act: nobody but the Sentinels, or a person, says which node may be the master.
  if (
    waiting !== undefined &&
    picture !== undefined &&
    answeringSentinels(picture).length < majorityOf(picture) &&
    !(answer.answered && answer.role !== 'replica')
  )
    return {
      state: 'suspect',
      says: `the Sentinels lost what they knew, and wait: ${waiting.says}. Next: ${waiting.next}`,
      signals: signalsOf(round),
    };
  if (master === null)
    return { state: 'suspect', says: 'no majority of the Sentinels names a master', signals: signalsOf(round) };

  const acting = picture === undefined ? undefined : whoFailsOver(picture);
  if (acting !== undefined)
    return {
      state: 'sentinels act',
      says: `${acting} is failing over from ${master}: it is left to it`,
      signals: signalsOf(round),
    };
  const named = picture === undefined ? undefined : namedMaster(picture);
  if (named !== undefined && named !== master)
    return {
      state: 'moved',
      master: named,
      says: `${named} is the master now, as a majority of the Sentinels says; before it was ${master}`,
      signals: [],
    };

  if (answer.answered) {
    if (answer.role !== 'replica') return { state: 'healthy', says: `${master} answered in ${formatMs(answer.ms)}` };
    return {
      state: 'suspect',
      says: `${master} answers as a replica, and the Sentinels name it as the master`,
      signals: signalsOf(round),
    };
  }
  return judgeSilence(rounds, round, master, limits);
}

/** The key of what is wrong while the master is well, and that no run mends. */
export const TROUBLE = 'trouble';

/** Two verdicts with the same key are no news. */
export const keyOfRedis = (verdict: RedisVerdict): string =>
  verdict.state === 'failed' ? `failed ${verdict.kind}` : verdict.state;

function judgeSilence(
  rounds: readonly RedisRound[],
  round: RedisRound,
  master: string,
  limits: RedisWatchLimits,
): RedisVerdict {
  const { picture, answer } = round;
  const silent = silenceIn(rounds, limits);
  const signals = signalsOf(round, silent?.since);
  if (silent === undefined)
    return {
      state: 'observer in doubt',
      says: `this observer was stalled for ${formatMs(stalledMs(round, limits))} itself: silence proves nothing`,
      signals,
    };
  const { since, forMs, count } = silent;
  const problem = answer.problem ?? 'no reason given';
  const suspect = (what: string): RedisVerdict => ({ state: 'suspect', says: `${master} ${what}`, signals });
  if (picture === undefined) return suspect(`gives no answer: ${problem}`);

  const node = picture.nodes.find(({ name }) => name === master);
  const container = node?.container;
  const exitCode = container?.exitCode;
  // The look may have reached it where the question before it did not: it is slow, and not gone.
  if (node?.state != null) return suspect(`answered late, after ${formatMs(forMs)}`);

  if (container !== undefined && (isStopped(container) || (!container.exists && container.status !== 'unknown'))) {
    const word = container.exists ? `its container is ${container.status}` : 'its container is gone';
    // Told to end: by a restart, which is over in a moment, or for good.
    if (exitCode === 0 && container.exists && forMs < limits.silenceMs)
      return suspect(`was told to end, ${formatMs(forMs)} ago, and may be on its way back`);
    return {
      state: 'failed',
      kind: 'dead',
      since,
      says: `${master} is dead: ${word}${exitCode === undefined ? '' : `, exit code ${exitCode}`}, and it gives no answer (${problem})`,
      signals,
    };
  }

  const hear = whoHears(picture, master);
  if (hear.length > 0)
    return forMs < HEARD_MS
      ? suspect(`has given no answer for ${formatMs(forMs)}: ${problem}`)
      : {
          state: 'observer in doubt',
          says: `${master} gives no answer here, but ${hear.join(' and ')} heard from it within ${formatMs(HEARD_MS)}`,
          signals,
        };
  const asked = answeringSentinels(picture).filter(({ state }) => nodeAt(picture, state.master)?.name === master);
  if (asked.length < majorityOf(picture))
    return {
      state: 'observer in doubt',
      says: `${master} gives no answer here, and ${asked.length} of ${picture.sentinels.length} Sentinels can be asked about it: one way alone proves nothing`,
      signals,
    };
  if (forMs < limits.silenceMs || count < limits.policy.confirmations)
    return suspect(
      `has answered nobody for ${formatMs(forMs)} (${problem}); it counts as failed after ${formatMs(limits.silenceMs)}`,
    );
  const state = container === undefined ? 'unknown to Docker' : container.status;
  return {
    state: 'failed',
    kind: 'silent',
    since,
    says: `${master} has answered nobody for ${formatMs(forMs)}: its container is ${state}, and ${asked.map(({ name }) => name).join(', ')} can't reach it either`,
    signals,
  };
}

/** For how long the observer itself was stalled around a round: it began late, or its limit was noticed late. */
function stalledMs({ lateMs, answer }: RedisRound, { policy }: RedisWatchLimits): number {
  return Math.max(lateMs, answer.answered ? 0 : answer.ms - policy.probeLimit);
}

/** The silence up to now: everything since the last answer, or since the observer last was stalled. */
function silenceIn(
  rounds: readonly RedisRound[],
  limits: RedisWatchLimits,
): { since: number; forMs: number; count: number } | undefined {
  const master = rounds.at(-1)?.master;
  const last = rounds.findLastIndex(
    (round) =>
      round.answer.answered || round.master !== master || stalledMs(round, limits) > 2 * limits.policy.probeInterval,
  );
  const silent = rounds.slice(last + 1);
  const [first, newest] = [silent[0], silent.at(-1)];
  if (first === undefined || newest === undefined) return undefined;
  return { since: first.at, forMs: newest.at + newest.answer.ms - first.at, count: silent.length };
}

/** The Sentinel that is failing over; undefined where none is. */
export function whoFailsOver(observed: ObservedRedis): string | undefined {
  return answeringSentinels(observed).find(({ state }) => state.master?.flags.includes('failover_in_progress') === true)
    ?.name;
}

/**
 * What an earlier failover left and a run may mend without asking anybody. A container that does not run is left alone: people stop
 * containers; the one of the master that was replaced is started again, and one that a run took off its networks, unless it was told to
 * stop. What a person took off its networks stays so. Undecided things are for people.
 * @param movedFrom the master that was replaced, and that nobody has seen well since
 */
export function leftBehind(observed: ObservedRedis, movedFrom: string | null): RedisFault[] {
  const found = diagnose(observed);
  if ('undecided' in found) return [];
  return found.faults.filter((fault) => {
    if (fault.kind !== 'stopped') return true;
    const container = observed.nodes.find(({ name }) => name === fault.node)?.container;
    const off = container?.offNetworks?.by;
    if (off === 'somebody') return false;
    if (container === undefined || wasStoppedByHand(container)) return false;
    return fault.node === movedFrom || off === 'run';
  });
}

/**
 * The nodes that were killed and may be started at once, without a run: beside the one master, which a majority of the Sentinels names,
 * a node that starts becomes its replica, whatever it was. The master that was replaced and what a run took off its networks come back by
 * runs ({@link leftBehind}).
 * @param movedFrom the master that was replaced, and that nobody has seen well since
 */
export function killedBeside(observed: ObservedRedis, movedFrom: string | null): string[] {
  const [master, second] = mastersOf(observed);
  if (master === undefined || second !== undefined || namedMaster(observed) !== master.name) return [];
  return observed.nodes
    .filter(
      ({ name, state, container }) =>
        state === null && name !== movedFrom && container.offNetworks === undefined && isKilled(container),
    )
    .map(({ name }) => name);
}

/** Why only a person can say which node is right, and what to run, without full stop; undefined where nobody has to. */
export function undecidedSays(observed: ObservedRedis): string | undefined {
  const found = diagnose(observed);
  if (!('undecided' in found)) return undefined;
  const next = found.next ?? redisStatus(observed.cluster);
  return `nobody but a person can say which node is right: ${found.undecided}. Next: ${next}`;
}

/** The nodes that hang, off their networks: what is done about them is in vain until they end. */
export const hangingIn = (faults: readonly RedisFault[]): string[] =>
  faults.filter(({ kind }) => kind === 'cut off').map(({ node }) => node);

/** The same in a sentence. */
export const leftBehindSays = (faults: readonly RedisFault[]): string =>
  `something is not as it should be: ${faults.map(faultSays).join('; ')}`;

/** The evidence of a round, one line per way, for the report. */
function signalsOf(round: RedisRound, since = round.at): Signal[] {
  const { at, master, answer, picture } = round;
  const signals: Signal[] = [];
  const add = (source: string, speaks: Signal['speaks'], says: string, when = at) =>
    signals.push({ at: when, source, says, speaks });
  if (master !== null) {
    if (answer.answered) add('redis', 'against', `${master} answered in ${formatMs(answer.ms)}, as a ${answer.role}`);
    else
      add(
        'redis',
        'for',
        `${master} has not answered for ${formatMs(at + answer.ms - since)}: ${answer.problem ?? 'no reason given'}`,
        since,
      );
  }
  if (picture === undefined) return signals;
  const container = picture.nodes.find(({ name }) => name === master)?.container;
  if (container !== undefined) {
    const code = container.exitCode === undefined ? '' : `, exit code ${container.exitCode}`;
    const speaks = container.running || container.status === 'unknown' ? 'neither' : 'for';
    add(
      'docker',
      speaks,
      container.status === 'unknown' ? 'the engine gave no answer' : `the container is ${container.status}${code}`,
    );
  }
  for (const { name, state } of picture.nodes) {
    if (name === master || state?.upstream == null) continue;
    const { up, silentMs } = state.upstream;
    if (up && silentMs < HEARD_MS) add(`replica ${name}`, 'against', 'is connected to its master');
    else
      add(
        `replica ${name}`,
        'for',
        up ? `has heard nothing for ${formatMs(silentMs)}` : 'has lost the connection to its master',
      );
  }
  for (const { name, state, error } of picture.sentinels) {
    if (state === null) add(`sentinel ${name}`, 'neither', `could not be asked: ${error ?? 'no reason given'}`);
    else if (state.master === null) add(`sentinel ${name}`, 'neither', 'watches no such master');
    else {
      const { host, lastAnswerMs, flags } = state.master;
      const other = behind(picture, state.master);
      if (other !== undefined && other.name !== (nodeAt(picture, state.master)?.name ?? other.name)) {
        add(`sentinel ${name}`, 'neither', `names ${host}, and hears ${other.name} in its place`);
        continue;
      }
      const down = flags.filter((flag) => /down|failover/.test(flag)).join(', ');
      add(
        `sentinel ${name}`,
        lastAnswerMs < HEARD_MS ? 'neither' : 'for',
        `names ${host}, heard from it ${formatMs(lastAnswerMs)} ago${down === '' ? '' : ` (${down})`}`,
      );
    }
  }
  return signals;
}
