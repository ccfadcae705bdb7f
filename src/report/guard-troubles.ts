import { problemSentence, type Check } from '../cluster/check';
import { CONFIRMED_WITHIN_MS } from '../cluster/guard/confirmation';
import type { Ledger } from '../cluster/guard/ledger';
import { namesTrouble } from '../workflows/guard-explain';
import type { GuardState } from '../workflows/guard-messages';
import { formatAge } from './words';

/** A ledger that nobody confirms for this long, in milliseconds, is told: twice as long as it proves something. */
const CONFIRMATION_TOLD_MS = 2 * CONFIRMED_WITHIN_MS;

/** Maintenance without an end that lasts for longer, in milliseconds, is told: somebody may have forgotten it. */
const MAINTENANCE_TOLD_MS = 3_600_000;

/** Why the cluster of a guard is not well, each in half a sentence; empty while it is. */
export function guardTroubles(state: GuardState, now: number): string[] {
  const troubles: string[] = [];
  const against = state.signals.filter((signal) => signal.speaks === 'for').length;
  if (state.acting !== undefined) troubles.push(`a ${state.acting.what} goes on: ${state.acting.workflowId}`);
  else if (against > 0) troubles.push(`it sees signs of a failure: ${state.sees}`);
  if (isBackingOff(state, now)) troubles.push('its last attempt did not end well, and it waits before the next one');
  if (state.namesFailed !== undefined)
    troubles.push(`${namesTrouble(state.namesFailed)}; ${namesAgain(state, (at) => new Date(at).toISOString())}`);
  troubles.push(...(state.mending?.nodes ?? []).map(({ node, says }) => `${node}: ${says}`));
  troubles.push(...redisTroubles(state, now));
  for (const finding of notReady(state)) troubles.push(`not ready: ${problemSentence(finding)}`);
  if (state.ledger.state !== 'protected') troubles.push(`the ledger says ${state.ledger.state}: ${state.ledger.why}`);
  else if (isUnconfirmed(state.ledger, now))
    troubles.push(
      `the ledger says protected, and was last confirmed ${formatAge(now - (state.ledger.confirmedAt ?? now))} ago: it proves nothing now`,
    );
  return troubles;
}

/**
 * Why a guard that runs does nothing, by the word of a person that has no end: mode `off`, or maintenance that nobody has ended for an
 * hour. Undefined where it acts, or will do so by itself.
 */
export function handsOff(
  { cluster, mode, maintenance }: GuardState,
  now: number,
): { says: string; next: string } | undefined {
  if (maintenance?.until === null && now - maintenance.since > MAINTENANCE_TOLD_MS)
    return {
      says: `maintenance has lasted for ${formatAge(now - maintenance.since)} and has no end (limit: ${formatAge(MAINTENANCE_TOLD_MS)}): nothing fails over, relaxes or fences`,
      next: `veloz-ha guard maintenance off --cluster ${cluster}`,
    };
  if (mode === 'off')
    return {
      says: 'the guard is in mode off: nothing fails over by itself',
      next: `veloz-ha guard mode auto --cluster ${cluster}`,
    };
  return undefined;
}

/** Why the exit code of `guard status` is 8, each in half a sentence; empty where it is 0. */
export function whyUnhealthy(state: GuardState, now: number): string[] {
  const idle = handsOff(state, now);
  return [...guardTroubles(state, now), ...(idle === undefined ? [] : [idle.says])];
}

/** What would keep a failover or a planned move from working. */
export const notReady = (state: GuardState): Check[] =>
  (state.readiness?.findings ?? []).filter(({ result }) => result === 'refuse');

/** The same of Redis. */
function redisTroubles({ redis }: GuardState, now: number): string[] {
  if (redis === undefined) return [];
  const troubles: string[] = [];
  if (redis.acting !== undefined) troubles.push(`a ${redis.acting.what} goes on: ${redis.acting.workflowId}`);
  else if (isSuspicious(redis.signals)) troubles.push(`it sees signs of a failure of Redis: ${redis.sees}`);
  else if (redis.trouble !== undefined) troubles.push(`Redis: ${redis.trouble}`);
  else if (redis.movedFrom !== null) troubles.push(`${redis.movedFrom}, which was the master, has not come back yet`);
  if (redis.backoffUntil !== undefined && redis.backoffUntil > now)
    troubles.push('its last attempt at Redis did not end well, and it waits before the next one');
  return troubles;
}

/** When names that could not be set are set again, in words. */
export const namesAgain = ({ namesBackoffUntil }: GuardState, time: (at: number) => string): string =>
  namesBackoffUntil === undefined ? 'it is tried again now' : `tried again at ${time(namesBackoffUntil)}`;

/** The ledger says protected, and nobody has confirmed it for so long that it proves nothing. */
export const isUnconfirmed = ({ confirmedAt }: Ledger, now: number): boolean =>
  confirmedAt !== undefined && now - confirmedAt > CONFIRMATION_TOLD_MS;

/** Something that was seen speaks for a failure. */
export const isSuspicious = (signals: GuardState['signals']): boolean => signals.some(({ speaks }) => speaks === 'for');

/** It waits before its next attempt. */
export function isBackingOff(state: GuardState, now: number): boolean {
  return state.backoffUntil !== undefined && state.backoffUntil > now;
}
