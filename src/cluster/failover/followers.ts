import { logs, psql } from '../commands';
import { formatMs } from '../duration';
import { lsnDistance } from '../lsn';
import { formatSize } from '../size';
import type { Checklist } from '../switchover/checklist';
import { standbysNeeded, synchronousNamesFor } from '../synchronous-names';
import type { ClusterTopology } from '../topology';
import { positionWords, type CandidateState, type Standing } from './candidates';
import { rejoinCommand } from './commands';

/** What keeps a standby from taking another upstream now; undefined where nothing is seen that does. */
export function heldUpBy(
  topology: ClusterTopology,
  { state, position }: Standing,
): { why: string; measured: string; limit: string; next: string } | undefined {
  const { name, replayPaused = false, applyDelayMs = 0, replayReader, replayedLsn } = state;
  const lag = replayedLsn == null ? 0 : Math.max(0, lsnDistance(position.lsn, replayedLsn));
  const measured = `${formatSize(lag)} to replay`;
  const limit = topology.limits.replayLagBytes;
  // A pause is waited for also where nothing is left to replay (PostgreSQL 15 to 17, WaitForWALToBecomeAvailable).
  if (replayPaused)
    return {
      why: 'replay is paused',
      measured,
      limit: 'not paused',
      next: psql(name, 'SELECT pg_wal_replay_resume()'),
    };
  if (applyDelayMs > 0 && lag > 0)
    return {
      why: `replay is delayed by ${formatMs(applyDelayMs)}`,
      measured,
      limit: 'no delay, or nothing to replay',
      next: psql(name, 'SHOW recovery_min_apply_delay'),
    };
  if (replayReader != null)
    return {
      why: `a session there is in the way of replay (${replayReader})`,
      measured,
      limit: 'no session in its way',
      next: psql(name, `SELECT pid, state, xact_start FROM pg_stat_activity WHERE backend_xmin IS NOT NULL`),
    };
  return lag <= limit
    ? undefined
    : {
        why: 'it has much to replay',
        measured,
        limit: `at most ${formatSize(limit)}, limits.replayLagBytes`,
        next: logs(name),
      };
}

/**
 * The names for the new primary: empty where fewer confirm at once than they ask for, since each commit would wait then. The guard has
 * commits wait again as soon as enough confirm. Of followers that come later none is waited for: any one confirms.
 */
export function namesFor(topology: ClusterTopology, followers: number, confirming: number): string {
  const names = followers === 0 ? '' : synchronousNamesFor(topology, followers);
  return standbysNeeded(names) > confirming ? '' : names;
}

/**
 * K5: who follows the candidate. A standby that has more than the candidate, or that is on another timeline, can't without a rewind:
 * it would stream from beyond the point at which the new timeline begins, and is rejoined instead.
 */
export function checkFollowers(
  list: Checklist,
  cluster: string,
  candidate: Standing,
  rest: readonly Standing[],
  present: readonly CandidateState[],
): string[] {
  const says = `every other standby can follow ${candidate.state.name}`;
  const others = present.filter((state) => state !== candidate.state);
  if (others.length === 0) {
    list.skip('K5', says, 'there is no other standby');
    return [];
  }
  const follows = rest.filter(
    ({ position }) =>
      position.timeline === candidate.position.timeline && lsnDistance(position.lsn, candidate.position.lsn) <= 0,
  );
  const names = follows.map(({ state }) => state.name);
  const left = others.filter(({ name }) => !names.includes(name));
  const where = ({ name, answered }: CandidateState) => {
    const found = rest.find(({ state }) => state.name === name);
    return found === undefined
      ? `${name} ${answered ? 'has no known position' : 'gives no answer'}`
      : `${name} is at ${positionWords(found.position)}`;
  };
  list.advise('K5', left.length === 0, {
    says,
    refusal: `${left.map(({ name }) => name).join(' and ')} can't follow ${candidate.state.name}, and has to be rejoined`,
    measured: left.length === 0 ? names.join(', ') : left.map(where).join(', '),
    limit: `an answer, and not beyond ${positionWords(candidate.position)}`,
    next: rejoinCommand(cluster, left[0]?.name ?? candidate.state.name),
  });
  return names;
}

/**
 * K5: whose replay is held up takes the new primary as its upstream only once it has replayed what it has, and confirms nothing until
 * then (activities/held-up.ts). It follows like the others, and nobody waits for it.
 * @returns the names of those among the followers
 */
export function tellHeldUp(
  list: Checklist,
  topology: ClusterTopology,
  candidate: Standing,
  rest: readonly Standing[],
  others: readonly string[],
): string[] {
  const held = rest
    .filter(({ state }) => others.includes(state.name))
    .flatMap((standing) => {
      const found = heldUpBy(topology, standing);
      return found === undefined ? [] : [{ name: standing.state.name, ...found }];
    });
  for (const { name, why, measured, limit, next } of held)
    list.advise('K5', false, {
      says: `${name} follows ${candidate.state.name} at once`,
      refusal: `${name} follows ${candidate.state.name} only once it replays, and confirms nothing until then: ${why}`,
      measured,
      limit,
      next,
    });
  return held.map(({ name }) => name);
}

/** H4: with names that nobody answers to, the first commit on the new primary would wait for ever. */
export function tellNames(
  list: Checklist,
  candidate: Standing,
  others: readonly string[],
  heldUp: readonly string[],
  names: string,
): void {
  const confirming = others.filter((name) => !heldUp.includes(name));
  const why =
    confirming.length === 0
      ? 'nobody follows it at once'
      : `${confirming.join(' and ')} follow${confirming.length === 1 ? 's' : ''}${names === '' ? ', and the topology asks for more' : ''}`;
  list.require('H4', true, {
    says: `the synchronous names of ${candidate.state.name} are decided before the promotion`,
    refusal: '',
    measured: `'${names}', because ${why}${names === '' ? ': the ledger says degraded' : ''}`,
    limit: 'names that somebody answers to',
    next: '',
  });
}
