import { formatMs } from '../duration';
import { lsnBytes, type Lsn } from '../lsn';
import type { GuardPolicy } from './policy';
import { standbysNeeded } from '../synchronous-names';
import { isGone, isWritable } from './rounds';
import type { ContainerWord, NodeAnswer, Round } from './signals';

/*
 * Commits wait for a standby that is away: when do they wait in vain? Two answers, with a limit each:
 *
 * - proven: the container of every standby has ended by Docker's word, and does not come back within `standbyDeadAfter`. Nobody will
 *   confirm anything until somebody starts one, so waiting longer protects nothing.
 * - silent: fewer standbys than the names ask for (`ANY 2 (…)`: two), so as a rule none, confirm anything for `standbyLostAfter`, although
 *   something waits to be confirmed. One that was cut off, is frozen, or whose disk hangs looks connected for as long as
 *   `wal_sender_timeout`: what counts is what it confirms, not that the primary still lists it.
 *
 * Times are milliseconds of one clock, which the caller chooses: a monotonic one, so that a step of the wall clock means nothing.
 */

/** What is known of the standbys' confirmations, carried from round to round. */
export interface StandbyWatch {
  /** Each standby that streams: what it has confirmed, and since when the primary had more without it confirming anything new. */
  positions: Readonly<Record<string, { flush: Lsn; behindSince?: number }>>;
  /** Since when fewer standbys confirm than commits wait for. */
  lostSince?: number;
  /** Since when the container of every standby is gone by Docker's word. */
  goneSince?: number;
}

/** Nothing is known yet. */
export const nothingWatched: StandbyWatch = { positions: {} };

/** A {@link StandbyWatch} in durations, in milliseconds: for whoever goes on with it by another clock. */
export interface CarriedWatch {
  positions: Record<string, { flush: Lsn; behindMs?: number }>;
  lostMs?: number;
  goneMs?: number;
}

/** What has been counted until now. */
export function carriedWatch({ positions, lostSince, goneSince }: StandbyWatch, now: number): CarriedWatch {
  return {
    positions: Object.fromEntries(
      Object.entries(positions).map(([node, { flush, behindSince }]) => [
        node,
        { flush, ...(behindSince === undefined ? {} : { behindMs: Math.round(now - behindSince) }) },
      ]),
    ),
    ...(lostSince === undefined ? {} : { lostMs: Math.round(now - lostSince) }),
    ...(goneSince === undefined ? {} : { goneMs: Math.round(now - goneSince) }),
  };
}

/** Goes on with what was counted elsewhere. The time between is not counted: nobody looked. */
export function goesOnWith({ positions, lostMs, goneMs }: CarriedWatch, now: number): StandbyWatch {
  return {
    positions: Object.fromEntries(
      Object.entries(positions).map(([node, { flush, behindMs }]) => [
        node,
        { flush, ...(behindMs === undefined ? {} : { behindSince: now - behindMs }) },
      ]),
    ),
    ...(lostMs === undefined ? {} : { lostSince: now - lostMs }),
    ...(goneMs === undefined ? {} : { goneSince: now - goneMs }),
  };
}

/** Fewer standbys confirm than commits wait for, for longer than is waited for them. */
export interface LostStandbys {
  /** For how long already, in milliseconds. */
  forMs: number;
  /** Docker says that all of them have ended; otherwise they are merely silent. */
  proven: boolean;
  says: string;
  /** What the primary had written: a standby that confirms it is back. */
  mark?: Lsn;
}

/** This much between two rounds, in milliseconds, and a standby may have been there in between. */
const STALLED_MS = 1000;

const primaryOf = (round: Round, primary: string): NodeAnswer | undefined =>
  [round.sql, ...round.others].find(({ name, answered }) => name === primary && answered);

/**
 * What a round adds to what is known. Pure. A silent primary says nothing about its standbys, and a stall of the observer begins the
 * count anew.
 * @param now milliseconds, of the clock that all times here are of
 * @param words Docker's word on the containers of all other nodes, where it was asked
 */
export function watchStandbys(
  before: StandbyWatch,
  round: Round,
  primary: string,
  now: number,
  words?: ReadonlyMap<string, ContainerWord>,
): StandbyWatch {
  const answer = primaryOf(round, primary);
  if (answer === undefined || !isWritable(answer)) return before;
  const known = round.lateMs > STALLED_MS ? nothingWatched : before;
  const standbys = (answer.standbys ?? []).filter(({ state }) => state === 'streaming');
  const positions: StandbyWatch['positions'] = Object.fromEntries(
    standbys.flatMap(({ node, flush }): [string, StandbyWatch['positions'][string]][] => {
      if (flush === undefined) return [];
      const earlier = known.positions[node];
      // What hangs on the primary's own disk is sent to nobody: that is not the standby's fault.
      const sent = answer.flushed ?? answer.lsn;
      const has = sent === undefined || lsnBytes(flush) >= lsnBytes(sent);
      if (has || earlier?.flush !== flush) return [[node, { flush }]];
      return [[node, { flush, behindSince: earlier.behindSince ?? now }]];
    }),
  );
  const confirming = confirmingOf(answer);
  const needed = standbysNeeded(answer.names ?? '');
  const behind = confirming.flatMap(({ node }) => positions[node]?.behindSince ?? []).sort((a, b) => a - b);
  if (confirming.length - behind.length >= needed) return { positions };
  // The one with whom they became too few is the one that counts.
  const lostSince = known.lostSince ?? behind[confirming.length - needed] ?? now;
  // A look without Docker's word neither begins nor ends what its last word said.
  const said =
    words === undefined ? known.goneSince !== undefined : words.size > 0 && [...words.values()].every(isGone);
  const gone = confirming.length === 0 && said;
  return { positions, lostSince, ...(gone ? { goneSince: known.goneSince ?? now } : {}) };
}

/** Those whom commits wait for, as the primary lists them. */
const confirmingOf = ({ standbys = [] }: Pick<NodeAnswer, 'standbys'>) =>
  standbys.filter(({ state, syncState }) => state === 'streaming' && (syncState === 'sync' || syncState === 'quorum'));

/** Commits wait for more standbys than are there to confirm one: no commit returns. */
export function tooFewConfirm(answer: Pick<NodeAnswer, 'names' | 'standbys'>): boolean {
  return confirmingOf(answer).length < standbysNeeded(answer.names ?? '');
}

/**
 * Do commits go on? So many standbys as they wait for have confirmed `mark`, or they wait for none. Pure.
 * @param mark what the primary had on its disk in an earlier round: one that is merely listed, frozen or cut off, does not confirm it
 */
export function commitsGoOn(round: Round, primary: string, mark: Lsn | undefined): boolean {
  const answer = primaryOf(round, primary);
  if (answer === undefined || !isWritable(answer)) return false;
  const needed = standbysNeeded(answer.names ?? '');
  if (needed === 0) return answer.names !== undefined;
  if (mark === undefined) return false;
  const confirmed = confirmingOf(answer).filter(
    ({ flush }) => flush !== undefined && lsnBytes(flush) >= lsnBytes(mark),
  );
  return confirmed.length >= needed;
}

/** What the primary has on its own disk, where it answers: a standby that confirms it later is there. */
export function markOf(round: Round, primary: string): Lsn | undefined {
  const answer = primaryOf(round, primary);
  return answer?.flushed ?? answer?.lsn ?? undefined;
}

/** Are commits waiting in vain by now? Pure. */
export function lostStandbys(
  watch: StandbyWatch,
  round: Round,
  primary: string,
  now: number,
  policy: Pick<GuardPolicy, 'standbyDeadAfter' | 'standbyLostAfter'>,
): LostStandbys | undefined {
  const { lostSince, goneSince } = watch;
  if (lostSince === undefined) return undefined;
  const forMs = now - lostSince;
  const answer = primaryOf(round, primary);
  const mark = markOf(round, primary);
  const rest = { forMs, ...(mark === undefined ? {} : { mark }) };
  if (goneSince !== undefined && now - goneSince >= policy.standbyDeadAfter)
    return {
      ...rest,
      proven: true,
      says: `no standby runs by Docker's word for ${formatMs(now - goneSince)} (limit: ${formatMs(policy.standbyDeadAfter)}); commits wait`,
    };
  const needed = standbysNeeded(answer?.names ?? '');
  if (forMs >= policy.standbyLostAfter)
    return {
      ...rest,
      proven: false,
      says:
        needed > 1
          ? `commits wait for ${needed} standbys, by synchronous_standby_names '${answer?.names}', and fewer have confirmed for ${formatMs(forMs)} (limit: ${formatMs(policy.standbyLostAfter)})`
          : `no standby has confirmed for ${formatMs(forMs)} (limit: ${formatMs(policy.standbyLostAfter)}); commits wait`,
    };
  return undefined;
}

/** Milliseconds until {@link lostStandbys} may say something new; undefined while there is no hurry. */
export function standbysDueIn(
  watch: StandbyWatch,
  now: number,
  policy: Pick<GuardPolicy, 'standbyDeadAfter' | 'standbyLostAfter'>,
): number | undefined {
  const { lostSince, goneSince } = watch;
  if (lostSince === undefined) return undefined;
  const due = Math.min(
    lostSince + policy.standbyLostAfter,
    goneSince === undefined ? Infinity : goneSince + policy.standbyDeadAfter,
  );
  return Math.max(0, due - now);
}

/**
 * What was relaxed can be restored: the names are empty, and a node that says of itself that it streams has confirmed something
 * new, or everything. One that merely is still listed, frozen or cut off, would have every commit wait again.
 */
export function isStandbyBack(watch: StandbyWatch, round: Round, primary: string): boolean {
  const answer = primaryOf(round, primary);
  if (answer?.names !== '') return false;
  return (answer.standbys ?? []).some(({ node, state }) => {
    if (state !== 'streaming' || watch.positions[node]?.behindSince !== undefined) return false;
    return round.others.some(({ name, answered, receiver }) => name === node && answered && receiver === 'streaming');
  });
}
