import type { Check } from '../check';
import { clusterStatus, logs, makeContainer, psql } from '../commands';
import { formatMs } from '../duration';
import { confirmedWithinMs as confirmedLimitMs } from '../guard/confirmation';
import type { Ledger } from '../guard/ledger';
import { lsnDistance, type Lsn } from '../lsn';
import { formatSize } from '../size';
import { Checklist } from '../switchover/checklist';
import type { ClusterTopology } from '../topology';
import { mostAdvanced, positionOf, type CandidateState, type Position, type Standing } from './candidates';
import { byMembership, chooseCandidate } from './choice';
import { checkFollowers, namesFor, tellHeldUp, tellNames } from './followers';
import { checkNobodyForeign, checkSameSystem } from './one-system';
import type { OwnSettings } from './own-settings';
import { checkLoss } from './proof';
import type { LossConsent } from './proof-input';

export type { CandidateState } from './candidates';

/** A promotion begins a new WAL segment and a checkpoint: with less free space than this, in bytes, it would fail half-way. */
const PROMOTION_NEEDS_BYTES = 32 * 1024 * 1024;

/** What a failover is decided on. */
export interface FailoverInput {
  cluster: string;
  /** Every PostgreSQL node but the failed primary, as it is now. */
  candidates: readonly CandidateState[];
  /** The ledger as it was before the failure; null when no guard watches. */
  ledger: Ledger | null;
  /** The node that was the primary, and failed. */
  failedPrimary: string;
  /** The request's own idea of it (A1). */
  expectedPrimary?: string | undefined;
  /** The node to promote. Default: the most advanced one that may be promoted. */
  target?: string | undefined;
  allowDataLoss?: LossConsent | undefined;
  /** The last position of the failed primary that anybody knows, on the ledger's timeline. */
  lastKnownPrimaryLsn?: Lsn | undefined;
  /**
   * Milliseconds since the epoch of the failure: when it was certain, or, once it is later, when the old primary was proven to take no
   * write. The ledger has to be confirmed just before (confirmation.ts).
   */
  failedAt: number;
  /** Where the failed primary's own WAL ends, read while its server does not run; absent where nobody could read it. */
  oldPrimary?: Position | undefined;
  /** Why nobody could, in half a sentence; absent where nobody has tried. */
  oldPrimaryProblem?: string | undefined;
  /** The failed primary has no container. Absent where it has one, or nobody has asked. */
  oldPrimaryMissing?: boolean | undefined;
  /** False: nobody saw the failed primary in the moments before its end. Then its own files have to say the same as the ledger. */
  watched?: boolean | undefined;
  /** What they say; absent where nobody has read them. */
  own?: OwnSettings | undefined;
  /** A possible loss is told with what starts the failed primary again, which loses nothing, before what accepts the loss. */
  repairFirst?: boolean | undefined;
  /** The database system of the failed primary, where it is known. */
  systemIdentifier?: string | undefined;
}

/** What the checks come to. */
export interface FailoverDecision {
  checks: Check[];
  /** The node to promote; absent when none qualifies. */
  candidate?: string;
  /** The end of the WAL that it has. */
  candidateLsn?: Lsn;
  /** Standbys that can follow it as they are. */
  others: string[];
  /** `synchronous_standby_names` for it, set before the promotion (H4): empty when nobody will follow. */
  names: string;
  /** Bytes that may hold acknowledged commits and are not on the candidate: 0 only with a proof; null: nobody can tell. */
  lossBound: number | null;
  /** What proves that nothing is lost, in half a sentence; absent where the bound is not 0. */
  proof?: string;
  /** All that stands against it is a possible loss that a person may accept (E8). */
  needsConsent: boolean;
  /** All that the ledger lacks as a proof is what the failed primary's own files say: they can be read once it is fenced. */
  unread?: true;
  /** The named target is the only writable node already: nothing to do. */
  alreadyDone: boolean;
}

/**
 * Chooses the standby to promote after a failure, and holds it against the safety checklist. Pure. It is asked twice: before the
 * fence, so that nothing is fenced for a failover that would be refused, and again when no WAL can arrive any more.
 */
export function decideFailover(topology: ClusterTopology, input: FailoverInput): FailoverDecision {
  const list = new Checklist();
  const decision: FailoverDecision = {
    checks: list.checks,
    others: [],
    names: '',
    lossBound: null,
    needsConsent: false,
    alreadyDone: false,
  };
  const present = input.candidates.filter(({ name, missing }) => missing !== true && name !== input.failedPrimary);
  if (isDone(input, present)) {
    decision.alreadyDone = true;
    decision.candidate = input.target;
    return decision;
  }
  if (!checkNobodyForeign(list, input, present)) return decision;
  if (!checkNobodyWritable(list, input, present)) return decision;
  if (!checkExpected(list, input)) return decision;
  const standing = present.flatMap((state) => {
    const position = state.inRecovery === true ? positionOf(state) : undefined;
    return position === undefined ? [] : [{ state, position }];
  });
  if (!checkSameSystem(list, input, standing)) return decision;
  const candidate = chooseCandidate(list, input, present, mostAdvanced(byMembership(standing, input.ledger)));
  if (candidate === undefined) return decision;
  decision.candidate = candidate.state.name;
  decision.candidateLsn = candidate.position.lsn;

  const rest = standing.filter((each) => each !== candidate);
  const { cluster, ledger, failedPrimary, failedAt, lastKnownPrimaryLsn, allowDataLoss: consent } = input;
  const confirmedWithinMs = confirmedLimitMs(topology.guard);
  const all = input.candidates;
  const curableFrom = list.checks.length;
  const loss = checkLoss(list, {
    cluster,
    ledger,
    failedPrimary,
    candidate,
    rest,
    all,
    lastKnownPrimaryLsn,
    consent,
    failedAt,
    confirmedWithinMs,
    oldPrimary: input.oldPrimary,
    oldPrimaryProblem: input.oldPrimaryProblem,
    watched: input.watched,
    own: input.own,
    makeAgain: makeAgain(topology, input),
    repairFirst: input.repairFirst,
  });
  if (loss.unread === true) decision.unread = true;
  const curableTo = list.checks.length;
  decision.lossBound = loss.bound;
  if (loss.proof !== undefined) decision.proof = loss.proof;

  checkReplay(list, topology, candidate);
  checkDisk(list, topology, candidate.state);
  decision.others = checkFollowers(list, cluster, candidate, rest, present);
  const heldUp = tellHeldUp(list, topology, candidate, rest, decision.others);
  decision.names = namesFor(topology, decision.others.length, decision.others.length - heldUp.length);
  tellNames(list, candidate, decision.others, heldUp, decision.names);
  const refused = (from: number, to?: number) => list.checks.slice(from, to).some(({ result }) => result === 'refuse');
  decision.needsConsent = loss.needsConsent && !refused(0, curableFrom) && !refused(curableTo);
  return decision;
}

/** What makes the containers again that are not there. */
function makeAgain(
  topology: ClusterTopology,
  { candidates, failedPrimary, oldPrimaryMissing }: FailoverInput,
): Record<string, string> {
  const missing = candidates.filter((state) => state.missing === true).map(({ name }) => name);
  if (oldPrimaryMissing === true) missing.push(failedPrimary);
  return Object.fromEntries(missing.map((name) => [name, makeContainer(topology, name)]));
}

/** The one that the request names was promoted already, and nobody else. */
function isDone({ target }: FailoverInput, present: readonly CandidateState[]): boolean {
  const writable = present.filter(({ answered, inRecovery }) => answered && inRecovery === false);
  return target !== undefined && writable.length === 1 && writable[0]?.name === target;
}

/** I8: no primary is left. A failover beside one would make a second. */
function checkNobodyWritable(list: Checklist, input: FailoverInput, present: readonly CandidateState[]): boolean {
  const writable = present.filter(({ answered, inRecovery }) => answered && inRecovery === false);
  const silent = present.filter(({ answered }) => !answered).map(({ name }) => name);
  const names = writable.map(({ name }) => name).join(' and ');
  return list.require('I8', writable.length === 0, {
    says: 'no other node is writable',
    refusal: `${names} ${writable.length === 1 ? 'takes' : 'take'} writes already`,
    measured:
      writable.length === 0
        ? `${present.length - silent.length} of ${present.length} answer, all as standbys${silent.length === 0 ? '' : `; no answer from ${silent.join(' and ')}`}`
        : writable.map(({ name, timeline }) => `${name} is writable on timeline ${timeline}`).join(', '),
    limit: 'no reachable primary',
    next: clusterStatus(input.cluster),
  });
}

/** A1: the node that failed is the one that the request means. */
function checkExpected(list: Checklist, { cluster, expectedPrimary, failedPrimary }: FailoverInput): boolean {
  return list.require('A1', expectedPrimary === undefined || expectedPrimary === failedPrimary, {
    says: 'the failed primary is the one that the request expects',
    refusal: 'the request expects another primary',
    measured: `${failedPrimary} is the one that failed`,
    limit: expectedPrimary === undefined ? 'any' : `expectedPrimary ${expectedPrimary}`,
    next: clusterStatus(cluster),
  });
}

/**
 * B7 and B6: a promotion ends a pause of the replay and an apply delay by itself (PostgreSQL 17, "Recovery Control Functions"; the
 * startup process looks for the promotion in both waits), and then replays all that was received. So neither refuses: it costs the
 * time of that replay.
 */
function checkReplay(list: Checklist, topology: ClusterTopology, { state, position }: Standing): void {
  const { name, replayPaused = false, applyDelayMs = 0, replayedLsn } = state;
  const paused = replayPaused ? 'paused' : undefined;
  const delayed = applyDelayMs > 0 ? `delayed by ${formatMs(applyDelayMs)}` : undefined;
  const held = [paused, delayed].filter((each) => each !== undefined).join(' and ');
  const lag = replayedLsn == null ? undefined : Math.max(0, lsnDistance(position.lsn, replayedLsn));
  const backlog = lag === undefined ? 'an unknown amount' : formatSize(lag);
  list.advise('B7', held === '', {
    says: `replay on ${name} is neither paused nor delayed`,
    refusal: `replay on ${name} is ${held}: the promotion ends that, and first replays what was held up`,
    measured: held === '' ? 'replaying at once' : `${backlog} to replay`,
    limit: 'not paused, no delay',
    next: replayPaused ? psql(name, 'SELECT pg_wal_replay_resume()') : psql(name, 'SHOW recovery_min_apply_delay'),
  });
  const limit = topology.limits.replayLagBytes;
  list.advise('B6', lag !== undefined && lag <= limit, {
    says: `${name} has replayed nearly all that it received`,
    refusal: `the promotion of ${name} takes longer: it first replays what it received`,
    measured: `${backlog} not replayed`,
    limit: `at most ${formatSize(limit)}, limits.replayLagBytes`,
    next: logs(name),
  });
}

/** C9: room for the promotion, and for the writes that come. */
function checkDisk(list: Checklist, topology: ClusterTopology, { name, freeDiskBytes }: CandidateState): void {
  const says = `${name} has disk space`;
  if (freeDiskBytes === undefined) return list.skip('C9', says, 'it was not asked');
  const limit = topology.limits.freeDiskBytes;
  const words = {
    says,
    refusal: `the disk of ${name} is nearly full`,
    measured: `${formatSize(freeDiskBytes)} free`,
    next: `docker exec ${name} df -h /var/lib/postgresql`,
  };
  if (freeDiskBytes < PROMOTION_NEEDS_BYTES)
    list.require('C9', false, {
      ...words,
      limit: `at least ${formatSize(PROMOTION_NEEDS_BYTES)} for the promotion itself`,
    });
  else
    list.advise('C9', freeDiskBytes >= limit, {
      ...words,
      limit: `at least ${formatSize(limit)}, limits.freeDiskBytes`,
    });
}
