import { formatMs } from '../duration';
import { formatSize } from '../size';
import { judgeClientPath } from './client-path';
import { evidenceOf, FULL_DISK_BYTES } from './evidence';
import type { GuardPolicy } from './policy';
import {
  isCutOff,
  isGone,
  isStalled,
  saysCrashed,
  silenceOf,
  silentRounds,
  stalledMs,
  walAdvances,
  type WalAdvance,
  mayHaveEnded,
} from './rounds';
import type { FailureKind, Round, Verdict } from './signals';
import { judgeWrites } from './writes';

/** A primary that crashed so often within the rounds that are kept does not come back by itself. */
const CRASH_LOOP = 3;

/**
 * A disk that is full for a moment is none that stays full: a sort that spills until nothing is left fails, and gives back all of it at
 * once, within about a second. In milliseconds.
 */
export const FULL_FOR_MS = 1500;

/** What the rules look at while the primary is silent. */
interface Silence {
  newest: Round;
  /** All rounds since the primary's last answer, oldest first. */
  silent: readonly Round[];
  /** Milliseconds since the epoch of the first of them, or earlier when the caller knows of it. */
  since: number;
  /** From then until the newest round was over, in milliseconds. */
  forMs: number;
  advances: readonly WalAdvance[];
  policy: GuardPolicy;
}

/**
 * What the rounds mean (checklist I). Pure: the same rounds give the same verdict.
 *
 * What somebody says outright counts at once: Docker that the container ended, the agent that its server ended. Silence counts only
 * when an independent way confirms it (I1), in `confirmations` rounds in a row (I3), none of them seen by an observer that was stalled
 * itself, and only while nobody else sees the primary (I2) and no WAL of it arrives (I4). A primary that answers has failed where it
 * certainly can't write, or where clients' only way to it is certainly cut.
 * @param rounds oldest first. They should reach back to the primary's last answer
 * @param silentSince milliseconds since the epoch at which the silence began, where it began before the oldest round
 * @param heardAt when the primary's last answer was heard, in milliseconds since the epoch; absent where nobody knows
 */
export function judge(rounds: readonly Round[], policy: GuardPolicy, silentSince?: number, heardAt?: number): Verdict {
  const newest = rounds.at(-1);
  if (newest === undefined) return { state: 'suspect', says: 'nobody has looked yet', hold: false, signals: [] };
  if (newest.sql.answered) return judgeAnswer(rounds, newest, policy);

  const silent = silentRounds(rounds);
  const began = silent[0]?.at ?? newest.at;
  const seenSince = silent.length === rounds.length ? Math.min(began, silentSince ?? began) : began;
  const since = Math.min(seenSince, containerEnd(newest, heardAt) ?? seenSince);
  const advances = walAdvances(silent, policy.confirmations);
  const silence = { newest, silent, since, forMs: newest.at + newest.sql.ms - since, advances, policy };
  return (
    judgeGone(silence) ??
    judgeStopped(silence) ??
    judgeSeen(silence) ??
    judgeCrash(silence, rounds) ??
    judgeSilence(silence)
  );
}

/**
 * When the container ended, in milliseconds since the epoch by Docker's word. While no worker or no Temporal was there nobody saw it,
 * and clients waited all the same.
 */
const containerEnd = ({ at, container, endedAt }: Round, heardAt: number | undefined): number | undefined =>
  isGone(container) && endedAt !== undefined && mayHaveEnded(endedAt, at, heardAt) ? endedAt : undefined;

const primaryOf = ({ newest }: Silence): string => newest.sql.name;
const problemOf = ({ newest }: Silence): string => newest.sql.problem ?? 'no reason given';
const signalsOf = ({ newest, since, advances }: Silence) => evidenceOf(newest, since, advances);
const failed = (silence: Silence, kind: FailureKind, says: string, since = silence.since): Verdict => ({
  state: 'failed',
  kind,
  says,
  signals: signalsOf(silence),
  since,
});
const suspect = (silence: Silence, hold: boolean, says: string): Verdict => ({
  state: 'suspect',
  says,
  hold,
  signals: signalsOf(silence),
});
const inDoubt = (silence: Silence, says: string): Verdict => ({
  state: 'observer in doubt',
  says,
  signals: signalsOf(silence),
});

/** The primary answers: it is well, it can't write, its clients can't reach it, or it is none any more. */
function judgeAnswer(rounds: readonly Round[], newest: Round, policy: GuardPolicy): Verdict {
  const { sql } = newest;
  const signals = evidenceOf(newest, newest.at, []);
  if (sql.inRecovery === true)
    return {
      state: 'suspect',
      says: `${sql.name} is a standby now: it answered in ${formatMs(sql.ms)} that it is in recovery`,
      hold: false,
      signals,
    };
  const isFull = ({ sql: answer, agent }: Round) =>
    answer.answered &&
    answer.inRecovery !== true &&
    agent?.answered === true &&
    agent.freeDiskBytes !== undefined &&
    agent.freeDiskBytes < FULL_DISK_BYTES;
  const full = rounds.slice(rounds.findLastIndex((round) => !isFull(round)) + 1);
  const [first] = full;
  if (first === undefined)
    return (
      mostCertain(judgeWrites(rounds, policy), judgeClientPath(rounds, policy)) ?? {
        state: 'healthy',
        says: `${sql.name} answered in ${formatMs(sql.ms)} and takes writes${sql.timeline === undefined ? '' : `, on timeline ${sql.timeline}`}`,
      }
    );
  const disk = `${formatSize(newest.agent?.freeDiskBytes ?? 0)} free (limit: at least ${formatSize(FULL_DISK_BYTES)})`;
  if (full.length < policy.confirmations || newest.at - first.at < FULL_FOR_MS)
    return {
      state: 'suspect',
      says: `${sql.name} answers, but its disk has been full for ${formatMs(newest.at - first.at)}, ${full.length} rounds: ${disk}; it counts as failed after ${formatMs(FULL_FOR_MS)} and ${policy.confirmations} rounds`,
      // Each write that is let through fails: clients wait while it is confirmed.
      hold: true,
      signals,
    };
  return {
    state: 'failed',
    kind: 'unwritable',
    says: `${sql.name} answers and can't write: its disk has been full for ${formatMs(newest.at - first.at)}, ${full.length} rounds: ${disk}`,
    signals,
    since: first.at,
  };
}

/** Of what is wrong with a primary that answers, a failure comes first. */
const mostCertain = (...verdicts: readonly (Verdict | undefined)[]): Verdict | undefined =>
  verdicts.find((verdict) => verdict?.state === 'failed') ?? verdicts.find((verdict) => verdict !== undefined);

/** Docker says that the container is gone, and SQL is silent: two independent ways, and no confirmation is needed (I1). */
function judgeGone(silence: Silence): Verdict | undefined {
  const { container } = silence.newest;
  if (!isGone(container)) return undefined;
  return failed(
    silence,
    'dead',
    `${primaryOf(silence)} is dead: its container is ${container}, and it has not answered for ${formatMs(silence.forMs)} (${problemOf(silence)})`,
  );
}

/** A run or a person stopped it: nothing failed. */
function judgeStopped(silence: Silence): Verdict | undefined {
  const { agent } = silence.newest;
  if (agent?.answered !== true || agent.desired === undefined || agent.desired === 'up') return undefined;
  return suspect(
    silence,
    false,
    `${primaryOf(silence)} is ${agent.desired}: a run or a person stopped it ${formatMs(silence.forMs)} ago, and it did not fail`,
  );
}

/** I2: somebody else reaches it over the network. */
function judgeSeen(silence: Silence): Verdict | undefined {
  const seeing = (silence.newest.witnesses ?? []).filter(({ answered, sees }) => answered && sees);
  if (seeing.length === 0) return undefined;
  const names = seeing.map(({ node }) => node).join(' and ');
  return inDoubt(
    silence,
    `${names} ${seeing.length === 1 ? 'sees' : 'see'} ${primaryOf(silence)}, which has not answered here for ${formatMs(silence.forMs)} (${problemOf(silence)})`,
  );
}

/** I5: PostgreSQL ended by itself and comes back in place, within its budget. */
function judgeCrash(silence: Silence, rounds: readonly Round[]): Verdict | undefined {
  const { newest, silent, forMs, policy } = silence;
  if (!silent.some(saysCrashed)) return undefined;
  const name = primaryOf(silence);
  const now = saysCrashed(newest);
  const word =
    newest.agent?.answered === true
      ? `PostgreSQL is ${newest.agent.postgres}`
      : newest.container === undefined || newest.container === 'unknown'
        ? 'nobody answers'
        : `its container is ${newest.container}`;
  const loop = crashesIn(rounds);
  const [first = newest.at] = loop;
  if (now && loop.length >= CRASH_LOOP && !isStalled(newest, policy))
    return failed(
      silence,
      'crashed',
      `${name} crashed ${loop.length} times in ${formatMs(newest.at - first)}: ${word} (limit: fewer than ${CRASH_LOOP} times)`,
      first,
    );
  const left = policy.restartBudget - forMs;
  if (left >= 0)
    return suspect(
      silence,
      true,
      `${name} crashed and restarts in place: ${word} after ${formatMs(forMs)}, and ${formatMs(left)} of its ${formatMs(policy.restartBudget)} are left`,
    );
  // An agent that says nothing any more, or "running", is no crash: silence has to be confirmed as such.
  if (!now) return undefined;
  if (isStalled(newest, policy)) return stalled(silence);
  return failed(
    silence,
    'crashed',
    `${name} crashed and did not come back: ${word} after ${formatMs(forMs)} (limit: ${formatMs(policy.restartBudget)})`,
  );
}

/** Milliseconds since the epoch at which each crash within these rounds began. */
function crashesIn(rounds: readonly Round[]): number[] {
  const begun: number[] = [];
  let began: number | undefined;
  let counted = false;
  for (const round of rounds) {
    if (round.sql.answered) {
      began = undefined;
      counted = false;
      continue;
    }
    began ??= round.at;
    if (saysCrashed(round) && !counted) {
      counted = true;
      begun.push(began);
    }
  }
  return begun;
}

function stalled(silence: Silence): Verdict {
  const ms = formatMs(stalledMs(silence.newest, silence.policy));
  return inDoubt(
    silence,
    `the observer was stalled for ${ms} itself (limit: ${formatMs(2 * silence.policy.probeInterval)}): the silence of ${primaryOf(silence)} means nothing yet`,
  );
}

/** Nothing but silence, and what independent ways make of it. */
function judgeSilence(silence: Silence): Verdict {
  const { newest, silent, forMs, advances, policy } = silence;
  const name = primaryOf(silence);
  if (isStalled(newest, policy)) return stalled(silence);
  const [advance] = advances;
  const paused = newest.container === 'paused';
  // A frozen container sends nothing: what arrives from it is old.
  if (!paused && advance !== undefined && advance.times > 1)
    return inDoubt(
      silence,
      `WAL of ${name} still reaches ${advance.node}, ${advance.times} times more since it fell silent here ${formatMs(forMs)} ago: it runs`,
    );

  // Only what a wakeful observer saw in a row counts, after its last stall.
  const fresh = silent.slice(silent.findLastIndex((round) => isStalled(round, policy)) + 1);
  const confirming = fresh.slice(fresh.findLastIndex((round) => silenceOf(round) === undefined) + 1);
  const hold = silent.some(({ sql }) => isCutOff(sql)) || paused;
  const progress = `${confirming.length} of ${policy.confirmations} rounds`;
  if (confirming.length >= policy.confirmations) {
    if (!paused && !newest.others.some(({ answered }) => answered))
      return inDoubt(
        silence,
        `no node answers here: ${name} for ${formatMs(forMs)}, and none of ${newest.others.length} others. The observer may be cut off, and nobody could be promoted`,
      );
    if (!paused && advance?.lately === true)
      return suspect(
        silence,
        hold,
        `${name} has not answered for ${formatMs(forMs)}, but ${advance.node} received more WAL in the last round: one more round decides`,
      );
    const kind = confirming.every((round) => silenceOf(round) === 'isolated') ? 'isolated' : 'hung';
    return failed(
      silence,
      kind,
      `${name} ${wordsOf(silence, kind)} (${confirming.length} rounds; limit: ${policy.confirmations})`,
    );
  }
  if (fresh.length >= policy.confirmations && silenceOf(newest) === undefined && newest.witnesses !== undefined)
    return inDoubt(
      silence,
      `${name} has not answered for ${formatMs(forMs)} (${problemOf(silence)}), and nobody else could be asked whether it is reachable: silence in one way proves nothing`,
    );
  return suspect(
    silence,
    hold,
    `${name} has not answered for ${formatMs(forMs)} (${problemOf(silence)}), confirmed in ${progress}`,
  );
}

/** Why it is certain, in words. */
function wordsOf({ newest, forMs }: Silence, kind: 'hung' | 'isolated'): string {
  const silentFor = `has not answered for ${formatMs(forMs)}`;
  const blind = (newest.witnesses ?? []).filter(({ answered }) => answered).map(({ node }) => node);
  const unseen = blind.length === 0 ? '' : `, and ${blind.join(' and ')} can't reach it either`;
  if (kind === 'isolated') return `is cut off: it runs by its agent's word, ${silentFor}${unseen}`;
  if (newest.container === 'paused') return `hangs: its container is paused, and it ${silentFor}${unseen}`;
  return `hangs: ${newest.container === 'unknown' ? 'Docker does not tell of its container' : `its container is ${newest.container}`}, it ${silentFor}${unseen}`;
}
