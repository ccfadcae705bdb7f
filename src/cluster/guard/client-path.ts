import { formatMs } from '../duration';
import { evidenceOf } from './evidence';
import type { GuardPolicy } from './policy';
import { isStalled } from './rounds';
import type { CutPath, Round, Verdict } from './signals';

/** One question of the pooler's agent: to the primary, and where that was not reached to its standbys. Milliseconds of one steady clock. */
export interface PathQuestion {
  from: number;
  until: number;
  /** A PostgreSQL server answered there, if only to say that it is full. */
  reachesPrimary: boolean;
  /** The standbys that were asked, and those that answered. */
  asked: string[];
  reaches: string[];
  problem?: string;
}

/** Questions in a row of which none reached the primary. */
export interface PathStreak extends Pick<CutPath, 'times' | 'problem' | 'asked' | 'reaches'> {
  from: number;
  until: number;
}

/** Between two questions of one streak there may be this much time, in milliseconds: nobody knows what was so in between. */
export const PATH_GAP_MS = 3000;

/** The streak after one more question; undefined when that reached the primary. */
export function nextStreak(before: PathStreak | undefined, question: PathQuestion): PathStreak | undefined {
  const { from, until, reachesPrimary, asked, reaches, problem } = question;
  if (reachesPrimary) return undefined;
  const goesOn = before !== undefined && from - before.until <= PATH_GAP_MS;
  return {
    from: goesOn ? before.from : from,
    until,
    times: goesOn ? before.times + 1 : 1,
    asked,
    reaches,
    ...(problem === undefined ? {} : { problem }),
  };
}

/** A {@link PathStreak} in durations, in milliseconds: for whoever goes on with it by another clock. */
export interface CarriedStreak extends Omit<PathStreak, 'from' | 'until'> {
  forMs: number;
  agoMs: number;
}

/** What has been counted until now. */
export function carriedStreak({ from, until, ...rest }: PathStreak, now: number): CarriedStreak {
  return { ...rest, forMs: Math.round(until - from), agoMs: Math.round(now - until) };
}

/** Goes on with what was counted elsewhere. */
export function goesOnWithStreak({ forMs, agoMs, ...rest }: CarriedStreak, now: number): PathStreak {
  const until = now - agoMs;
  return { ...rest, from: until - forMs, until };
}

/** How long the pooler may be without its way before that is told, in milliseconds. */
const TOLD_AFTER_MS = 1000;

/**
 * What it means that the pooler can't reach a primary that answers here: clients have no other way. Undefined while that is no older
 * than a moment. Nothing is done unless all of that is so: in enough questions and for long enough the pooler's agent did not reach the
 * primary; it reached a standby that confirms commits, so the pooler itself is not cut off and somebody could be promoted without loss;
 * and a query through the pool, which is PgBouncer's own way, got no answer either (I1).
 */
export function judgeClientPath(rounds: readonly Round[], policy: GuardPolicy): Verdict | undefined {
  const newest = rounds.at(-1);
  const path = newest?.clientPath;
  if (newest === undefined || path === undefined || path.cutMs < TOLD_AFTER_MS) return undefined;
  const { sql } = newest;
  const { pooler, cutMs, times, problem, through } = path;
  const signals = evidenceOf(newest, newest.at, []);
  const cut = `${pooler} has not reached it for ${formatMs(cutMs)}, in ${times} ${times === 1 ? 'question' : 'questions'} (${problem ?? 'no reason given'})`;
  const inDoubt = (why: string): Verdict => ({
    state: 'observer in doubt',
    says: `${sql.name} answers here, but ${cut}${why}`,
    signals,
  });
  const suspect = (why: string): Verdict => ({
    state: 'suspect',
    says: `${sql.name} answers here, but ${cut}: ${why}`,
    // Whatever clients send now waits already, and a hold has an end of its own.
    hold: false,
    signals,
  });
  if (path.asked.length === 0) return suspect('no standby streams, so nobody could be promoted without loss');
  if (path.reaches.length === 0)
    return inDoubt(
      `. It does not reach ${path.asked.join(' and ')} either: the pooler itself is cut off, and a failover would not help`,
    );
  if (through === 'answered') return inDoubt('. A query through the pool was answered: clients reach a server');
  const synchronous = (sql.standbys ?? []).filter(({ syncState }) => syncState === 'sync' || syncState === 'quorum');
  const able = path.reaches.filter((node) => synchronous.some((standby) => standby.node === node));
  if (able.length === 0)
    return suspect(
      `it reaches ${path.reaches.join(' and ')}, which ${path.reaches.length === 1 ? 'confirms' : 'confirm'} no commits: nobody could be promoted without loss`,
    );
  if (through === 'unknown')
    return suspect('no query through the pool could be tried, and one way alone proves nothing');
  const reached = `it reaches ${able.join(' and ')}, and a query through the pool gets no answer`;
  const limit = formatMs(policy.poolerLimit);
  if (cutMs < policy.poolerLimit || times < policy.confirmations || isStalled(newest, policy))
    return suspect(`${reached}; it counts as failed after ${limit} and ${policy.confirmations} questions`);
  return {
    state: 'failed',
    kind: 'unreachable',
    says: `${sql.name} runs, and its clients can't reach it: ${cut}; ${reached} (limit: ${limit})`,
    signals,
    since: newest.at - cutMs,
  };
}
