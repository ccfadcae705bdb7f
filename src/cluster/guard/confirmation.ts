import { formatMs } from '../duration';
import { withHeard, type Heard } from './heard';
import { confirmedLedger, ledgerKey, type Ledger } from './ledger';
import type { GuardPolicy } from './policy';
import { CLOCK_SKEW_MS, isGone, isWritable, mayHaveEnded } from './rounds';
import type { Round } from './signals';
import type { CarriedWatch } from './standby-loss';

/*
 * A ledger is a belief, and a belief proves something only as long as somebody confirms it. Who confirms is a round of the watch:
 *
 * - the ledger's primary answers, takes writes on the ledger's timeline with the recorded names, and the round changes nothing; or
 * - the primary certainly can't acknowledge anything in this round (its container has ended or is frozen, or its agent says that
 *   PostgreSQL does not run), and the ledger was fresh until then, or until it ended where that is known: what can't acknowledge makes
 *   no ledger wrong.
 *
 * Whatever happens while nobody looks, or while the primary can't be heard and may run, is not in the ledger: names emptied by hand, a
 * standby that joins for the first time and confirms. So an old ledger promises nothing, and when its primary is heard again,
 * `protected` begins anew.
 */

/**
 * How long before a failure a ledger must have been confirmed to prove something, in milliseconds; the time in which a silence becomes
 * certain comes on top. Another worker watches on within 3 s of a worker's death.
 */
export const CONFIRMED_WITHIN_MS = 5000;
/**
 * How long before the known end of a primary a ledger must have been confirmed, in milliseconds: a round and what a heartbeat keeps it
 * back. A script can take the standby away, empty the names and end the primary within that: where nobody watched until the end, the
 * primary's own files are asked as well (failover/own-settings.ts).
 */
export const CONFIRMED_BEFORE_END_MS = 1000;

/** The limit for a cluster: the time in which a silent primary is certain to have failed belongs to it. */
export function confirmedWithinMs(policy: Pick<GuardPolicy, 'probeInterval' | 'probeLimit' | 'confirmations'>): number {
  return CONFIRMED_WITHIN_MS + policy.confirmations * Math.max(policy.probeInterval, policy.probeLimit);
}

/** What a stretch of watching says with each heartbeat: until when which ledger holds. It costs no history, and outlives the worker. */
export interface WatchBeat {
  /** {@link ledgerKey} of the ledger that is watched. */
  ledger: string;
  /** Milliseconds since the epoch; absent while nobody knows. */
  confirmedAt?: number;
  /** What was heard of the standbys when the primary answered last; absent from a version before this one. */
  heard?: Heard;
  /** For how long which standby has not confirmed; absent while all is well, and from a version before this one. */
  standbys?: CarriedWatch;
}

/** The ledger with what a heartbeat of its watch knows of it; anything else than a heartbeat about this very ledger changes nothing. */
export function confirmedByBeat(ledger: Ledger, beat: unknown): Ledger {
  const said = typeof beat === 'object' && beat !== null ? (beat as Partial<WatchBeat>) : {};
  if (said.ledger !== ledgerKey(ledger)) return ledger;
  const confirmedAt = typeof said.confirmedAt === 'number' ? said.confirmedAt : undefined;
  return withHeard(confirmedLedger(ledger, confirmedAt), said.heard);
}

/** What makes a ledger fresh: when it was confirmed, when it is asked for, and how old it may be then. */
export interface Freshness {
  /** Milliseconds since the epoch of the last confirmation; undefined when there was none. */
  confirmedAt: number | undefined;
  /** Milliseconds since the epoch for which it is to hold: of the failure, or of the question. */
  at: number;
  /** {@link confirmedWithinMs}. */
  limitMs: number;
}

/** Was it confirmed shortly enough before? One that lies in the future was written by a clock that is wrong. */
export function isFresh({ confirmedAt, at, limitMs }: Freshness): boolean {
  return confirmedAt !== undefined && at - confirmedAt <= limitMs && confirmedAt - at <= CLOCK_SKEW_MS;
}

/** `was last confirmed 14 min 02 s before`: how old it is, for a sentence that goes on with what it was before. */
export function ageWords({ confirmedAt, at }: Omit<Freshness, 'limitMs'>): string {
  if (confirmedAt === undefined) return 'was never confirmed by a living primary before';
  const age = at - confirmedAt;
  return age < 0
    ? `was confirmed ${formatMs(-age)} in the future (a clock is wrong) of`
    : `was last confirmed ${formatMs(age)} before`;
}

/**
 * The last moment for which the ledger holds after this round, in milliseconds since the epoch. Only for a round that leaves the ledger
 * as it is.
 * @param before the same after the rounds before; undefined when nothing is known
 */
export function confirmedAfter(
  ledger: Ledger,
  round: Round,
  before: number | undefined,
  limitMs: number,
): number | undefined {
  const { sql } = round;
  if (sql.name !== ledger.primary) return before;
  if (isWritable(sql)) {
    const same = sql.timeline === ledger.timeline && (sql.names ?? '').trim() === ledger.names;
    // A setting that lets commits pass ends the promise when it is seen twice; once seen, it confirms nothing.
    const whole = ledger.state !== 'protected' || sql.weak === undefined;
    return same && whole ? round.at : before;
  }
  return !sql.answered && isPowerless(round) && wasFresh(round, before, limitMs, ledger.heard?.at) ? round.at : before;
}

/**
 * Was the ledger confirmed shortly enough before this round? Where it is known when the primary ended, that is the moment that counts:
 * it acknowledges nothing from then on, so it does not matter for how long nobody looked at it since; and what it did between the last
 * confirmation and its end is not known, so that has to be one moment.
 * @param heardAt when the primary's last answer was heard, in milliseconds since the epoch; undefined where nobody knows
 */
export function wasFresh(
  round: Round,
  confirmedAt: number | undefined,
  limitMs: number,
  heardAt: number | undefined,
): boolean {
  const end = endOf(round, heardAt);
  if (end === undefined) return isFresh({ confirmedAt, at: round.at, limitMs });
  return (
    confirmedAt !== undefined && end - confirmedAt <= CONFIRMED_BEFORE_END_MS && confirmedAt - round.at <= CLOCK_SKEW_MS
  );
}

/** When the primary ended, in milliseconds since the epoch, by Docker's word or its agent's; undefined where that is not known. */
function endOf({ at, container, endedAt, agent }: Round, heardAt: number | undefined): number | undefined {
  const end = isGone(container) ? endedAt : saysStopped(agent) ? agent?.sinceMs : undefined;
  return end !== undefined && mayHaveEnded(end, at, heardAt) ? end : undefined;
}

const saysStopped = (agent: Round['agent']): boolean =>
  agent?.answered === true && (agent.postgres === 'stopped' || agent.postgres === 'starting');

/** Certainly no commit can be acknowledged by the primary in this round. */
function isPowerless({ container, agent }: Round): boolean {
  if (isGone(container) || container === 'paused') return true;
  return saysStopped(agent);
}

/** A ledger that said `protected` and that nobody has confirmed for too long: what it promised may be true, and nobody knows. */
export function doubted(ledger: Ledger, { confirmedAt, at, limitMs }: Freshness, now: number): Ledger {
  const age = ageWords({ confirmedAt, at });
  return {
    ...ledger,
    state: 'unknown',
    since: now,
    why: `it said protected, and ${age} now (limit: ${formatMs(limitMs)}): what its primary did since nobody has seen`,
  };
}
