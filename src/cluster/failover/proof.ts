import { formatMs } from '../duration';
import { ageWords, isFresh } from '../guard/confirmation';
import type { Ledger } from '../guard/ledger';
import { lsnDistance, type Lsn } from '../lsn';
import { formatSize } from '../size';
import type { Checklist, CheckWords } from '../switchover/checklist';
import { clusterStatus } from '../commands';
import {
  comparePositions,
  positionWords,
  unheardWords,
  type CandidateState,
  type Position,
  type Standing,
} from './candidates';
import { lossWords, promoteCommand, UNLIMITED_LOSS } from './commands';
import { disagreement, type OwnSettings } from './own-settings';

/** Consent to lose acknowledged commits (E8). */
export interface LossConsent {
  maxBytes: number;
  reason: string;
  by: string;
}

/** What the proof rests on. */
export interface ProofInput {
  cluster: string;
  ledger: Ledger | null;
  failedPrimary: string;
  candidate: Standing;
  /** Every other standby that answers, with its position. */
  rest: readonly Standing[];
  /** Every node but the failed primary, answering or not. */
  all: readonly CandidateState[];
  lastKnownPrimaryLsn?: Lsn | undefined;
  consent?: LossConsent | undefined;
  /** Milliseconds since the epoch of the failure: when it was certain, or when the old primary could certainly write no more. */
  failedAt: number;
  /** How long before that the ledger must have been confirmed, in milliseconds. */
  confirmedWithinMs: number;
  /** Where the failed primary's own WAL ends, read while its server does not run; absent where nobody could read it. */
  oldPrimary?: Position | undefined;
  /** Why nobody could, in half a sentence; absent where nobody has tried. */
  oldPrimaryProblem?: string | undefined;
  /** False: nobody saw the primary in the moments before its end, so that somebody may have changed whom its commits waited for. */
  watched?: boolean | undefined;
  /** What its own files say of that; absent where nobody has read them. */
  own?: OwnSettings | undefined;
}

/** A loss that nobody knows of, and that nobody can rule out either: 0 bytes are said only with a proof. */
const UNPROVEN_LOSS = 1;

/** What may be lost. */
export interface Loss {
  /** Bytes of WAL that may hold acknowledged commits and are not on the candidate: 0 is a proof, null means that nobody can tell. */
  bound: number | null;
  /** A person has to consent: something may be lost, and no given consent covers it. */
  needsConsent: boolean;
  /** What proves that nothing is lost, in a sentence; absent where the bound is not 0. */
  proof?: string;
  /** All that the ledger lacks is what the primary's own files say. */
  unread?: true;
}

/** A node that did not answer, and why. */
function silentWords(node: string, all: readonly CandidateState[]): string {
  const state = all.find(({ name }) => name === node);
  return state === undefined ? `${node} is not in the topology` : unheardWords(state);
}

/**
 * B3, I7, I6, A6, I9 and E8: is everything that was acknowledged on the candidate?
 *
 * It is when the ledger says that the failed primary was protected and was confirmed just before the failure, the candidate is on the timeline of which it says so, ALL
 * standbys that it names answer, and the candidate has as much as each of them: every acknowledged commit is on one of them, and only
 * hearing all tells that nobody has more (why all, and not some, stands in ledger-rules.ts). A newer timeline than the ledger's is no
 * proof: somebody was promoted whom the ledger does not know, and where the two timelines parted, acknowledged commits may lie beyond.
 *
 * Where the ledger proves nothing, the failed primary's own data may: nothing is acknowledged that its WAL does not hold. It is the proof
 * where its WAL ends no further than the candidate's, on one timeline, and every other node answers, so that none was promoted meanwhile.
 *
 * Without the proof it is refused, unless a person consents to a bound that covers the estimate: how far the last known position of
 * the primary, and of any standby that is further, lies beyond the candidate. What the primary wrote after it was last asked is not
 * in it.
 */
export function checkLoss(list: Checklist, input: ProofInput): Loss {
  const { ledger, candidate, rest, consent, watched } = input;
  // While nobody looked, somebody may have joined and confirmed.
  const members = rest.filter(({ state }) => watched === false || ledger?.synchronous.includes(state.name) === true);
  const ahead = rest.filter(({ position }) => comparePositions(position, candidate.position) > 0);
  const recorded = whyNotProtected(input);
  const missing = missingMembers(input);
  const sameTimeline = ledger !== null && candidate.position.timeline === ledger.timeline;
  const byLedger = recorded === undefined && missing.length === 0 && sameTimeline;
  const bySource = !byLedger && hasAllOf(input);
  const proven = byLedger || bySource;

  const memberAhead = ahead.filter((each) => members.includes(each));
  const bound = bySource
    ? 0
    : byLedger
      ? furthestBeyond(candidate, memberAhead)
      : estimateOf(input, ahead, sameTimeline);
  const lossless = proven && bound === 0;
  const covered =
    consent !== undefined && (bound === null ? consent.maxBytes >= UNLIMITED_LOSS : bound <= consent.maxBytes);
  // With a consent, what it answers to is told as a warning, and E8 says whether it suffices.
  const curable = (id: string, good: boolean, words: CheckWords) =>
    consent === undefined ? list.require(id, good, words) : list.advise(id, good, words);
  const accept = promoteCommand(input.cluster, { to: candidate.state.name, maxLoss: bound ?? UNLIMITED_LOSS });

  if (bySource) tellSource(list, input);
  else checkRecord(list, curable, input, recorded, missing, accept);
  curable('A6', bySource || sameTimeline || ledger === null, {
    says: `${candidate.state.name} is on the timeline of the failed primary`,
    refusal: `${candidate.state.name} is on another timeline than the ledger`,
    measured: `timeline ${candidate.position.timeline}${bySource ? `, as ${input.failedPrimary} itself` : ledger === null ? ', and there is no ledger' : `, the ledger speaks of ${ledger.timeline}`}`,
    limit: 'the same timeline',
    next: accept,
  });
  checkMostAdvanced(list, curable, input, ahead, lossless, accept);
  checkConsent(list, input, bound, lossless, covered);
  return {
    bound,
    needsConsent: !lossless && !covered,
    ...(lossless ? { proof: bySource ? sourceWords(input) : ledgerProof(input) } : {}),
    ...(recorded?.unread === true ? { unread: true } : {}),
  };
}

/** Everything that the failed primary ever wrote is on the candidate, and nobody was promoted in its place. */
function hasAllOf({ candidate, oldPrimary, rest, all }: ProofInput): boolean {
  if (oldPrimary === undefined || oldPrimary.timeline !== candidate.position.timeline) return false;
  const heard = [candidate, ...rest].map(({ state }) => state.name);
  const nobodyElse =
    all.every(({ name, missing }) => missing === true || heard.includes(name)) &&
    rest.every(({ position }) => position.timeline <= oldPrimary.timeline);
  return nobodyElse && comparePositions(candidate.position, oldPrimary) >= 0;
}

const sourceWords = ({ failedPrimary, oldPrimary, candidate }: ProofInput): string =>
  `the WAL of ${failedPrimary} itself ends at ${oldPrimary === undefined ? 'an unknown position' : positionWords(oldPrimary)}, and ${candidate.state.name} has WAL up to ${candidate.position.lsn}`;

/** What the failed primary's own data say where they prove nothing, to be appended to what was measured. */
function ownWords({ failedPrimary, oldPrimary, oldPrimaryProblem, candidate }: ProofInput): string {
  if (oldPrimary !== undefined)
    return `; the WAL of ${failedPrimary} itself goes to ${positionWords(oldPrimary)}, and that of ${candidate.state.name} to ${positionWords(candidate.position)}`;
  return oldPrimaryProblem === undefined
    ? ''
    : `; the WAL of ${failedPrimary} itself could not be read: ${oldPrimaryProblem}`;
}

/** B3, I7 and I6 where the failed primary's own data answer what the ledger does not. */
function tellSource(list: Checklist, input: ProofInput): void {
  list.skip('B3', recordWords.B3, 'the failed primary itself could be read');
  list.require('I7', true, {
    says: recordWords.I7,
    refusal: 'nobody knows whether a standby has every acknowledged commit',
    measured: sourceWords(input),
    limit: 'all that the failed primary has',
    next: clusterStatus(input.cluster),
  });
  list.skip('I6', recordWords.I6, 'the failed primary itself could be read');
}

/** What the checks of the record ask. */
const recordWords = {
  B3: 'what a standby had was recorded outside the primary before it failed',
  I7: 'it is known that every acknowledged commit is on a standby',
  I6: 'every standby that may have the last commits answers',
};

/** What the ledger proves, with what was heard. */
function ledgerProof({ ledger, failedAt, failedPrimary, own }: ProofInput): string {
  const names = ledger?.synchronous ?? [];
  const age = Math.max(0, failedAt - (ledger?.confirmedAt ?? failedAt));
  return `the ledger, confirmed ${formatMs(age)} before the failure, names ${listed(names)}; ${names.length === 1 ? 'it was' : 'all were'} heard, and none has more${own?.names === undefined ? '' : `; the files of ${failedPrimary} say the same`}`;
}

const listed = (names: readonly string[]): string => names.join(' and ');

type Curable = (id: string, good: boolean, words: CheckWords) => boolean;

/** Why the ledger does not promise anything about this failure; undefined when it does. */
function whyNotProtected({
  ledger,
  failedPrimary,
  failedAt,
  confirmedWithinMs,
  watched,
  own,
}: ProofInput): { id: 'B3' | 'I7'; measured: string; limit?: string; unread?: true } | undefined {
  if (ledger === null) return { id: 'B3', measured: 'there is no ledger: no guard watches this cluster' };
  if (ledger.primary !== failedPrimary)
    return {
      id: 'B3',
      measured: `the ledger knows ${ledger.primary ?? 'no node'} as primary, and ${failedPrimary} failed`,
    };
  if (ledger.state !== 'protected') return { id: 'I7', measured: `the ledger says ${ledger.state}: ${ledger.why}` };
  if (ledger.synchronous.length === 0) return { id: 'I7', measured: 'the ledger says protected, and names no standby' };
  const { confirmedAt } = ledger;
  if (!isFresh({ confirmedAt, at: failedAt, limitMs: confirmedWithinMs }))
    return {
      id: 'I7',
      measured: `the ledger says protected, and ${ageWords({ confirmedAt, at: failedAt })} the failure`,
      limit: `confirmed at most ${formatMs(confirmedWithinMs)} before it`,
    };
  const limit = 'somebody watched until its end, or its own files say the same as the ledger';
  const other = own === undefined ? undefined : disagreement(own, ledger.names);
  if (other !== undefined)
    return { id: 'I7', measured: `the ledger says protected of ${failedPrimary}, but ${other}`, limit };
  if (watched !== false || own?.names !== undefined) return undefined;
  const unwatched = `the ledger says protected, but nobody saw ${failedPrimary} in the moments before its end`;
  return own === undefined
    ? { id: 'I7', measured: `${unwatched}, and its files are not read yet`, limit, unread: true }
    : { id: 'I7', measured: `${unwatched}, and its files tell nothing: ${own.problem ?? 'no reason given'}`, limit };
}

/** Standbys that may have confirmed the last commits and can't be heard. */
function missingMembers({ ledger, candidate, rest, all, watched }: ProofInput): string[] {
  const heard = [candidate, ...rest].map(({ state }) => state.name);
  const others = watched === false ? all.filter(({ missing }) => missing !== true).map(({ name }) => name) : [];
  return [...new Set([...(ledger?.synchronous ?? []), ...others])].filter((node) => !heard.includes(node));
}

function checkRecord(
  list: Checklist,
  curable: Curable,
  input: ProofInput,
  recorded: ReturnType<typeof whyNotProtected>,
  missing: readonly string[],
  accept: string,
): void {
  const { ledger, failedPrimary, all } = input;
  const words = recordWords;
  const own = ownWords(input);
  const unknown = {
    refusal: 'nobody knows whether a standby has every acknowledged commit',
    limit: `a ledger that says protected of ${failedPrimary}`,
    next: accept,
  };
  curable('B3', recorded?.id !== 'B3', {
    ...unknown,
    says: words.B3,
    measured:
      recorded?.id === 'B3' ? `${recorded.measured}${own}` : `the ledger of ${failedPrimary}, epoch ${ledger?.epoch}`,
  });
  if (recorded?.id === 'B3') {
    list.skip('I7', words.I7, 'nothing was recorded');
    list.skip('I6', words.I6, 'nothing was recorded');
    return;
  }
  curable('I7', recorded === undefined, {
    ...unknown,
    ...(recorded?.limit === undefined ? {} : { limit: recorded.limit }),
    says: words.I7,
    measured: recorded === undefined ? `the ledger says protected: ${ledger?.why}` : `${recorded.measured}${own}`,
  });
  if (recorded !== undefined) {
    list.skip('I6', words.I6, 'none is known to have them');
    return;
  }
  curable('I6', missing.length === 0, {
    says: words.I6,
    refusal: `${missing.join(' and ')} may have acknowledged commits that nobody else has`,
    measured:
      missing.length === 0
        ? `${ledger?.synchronous.join(' and ')}`
        : `${missing.map((node) => silentWords(node, all)).join('; ')}${own}`,
    limit: `all of ${ledger?.synchronous.join(', ')} answer`,
    // To bring the node back loses nothing: that comes first.
    next: missing[0] === undefined ? accept : `docker start ${missing[0]}`,
  });
}

/** I9: nobody has more than the candidate. */
function checkMostAdvanced(
  list: Checklist,
  curable: Curable,
  { cluster, candidate, rest }: ProofInput,
  ahead: readonly Standing[],
  lossless: boolean,
  accept: string,
): void {
  const [first] = ahead;
  const words: CheckWords = {
    says: `${candidate.state.name} is the most advanced`,
    refusal: `${ahead.map(({ state }) => state.name).join(' and ')} ${ahead.length === 1 ? 'has' : 'have'} WAL that ${candidate.state.name} has not, and that would be lost`,
    measured: [candidate, ...rest]
      .map(({ state, position }) => `${state.name} at ${positionWords(position)}`)
      .join(', '),
    limit: 'no standby is further',
    next: first?.state.promotable === true ? promoteCommand(cluster, { to: first.state.name }) : accept,
  };
  // Behind a complete proof a node that never confirmed anything can only have more of what nobody was told.
  if (lossless) list.advise('I9', first === undefined, words);
  else curable('I9', first === undefined, words);
}

/** E8: a loss needs a bound, a reason and a name. */
function checkConsent(
  list: Checklist,
  { cluster, candidate, consent }: ProofInput,
  bound: number | null,
  lossless: boolean,
  covered: boolean,
): void {
  const says = 'a loss of acknowledged commits is accepted with a bound, a reason and a name';
  if (lossless) return list.skip('E8', says, 'nothing that was acknowledged is lost');
  if (consent === undefined) return list.skip('E8', says, 'no loss was accepted');
  const unlimited = consent.maxBytes >= UNLIMITED_LOSS;
  list.require('E8', covered, {
    says,
    refusal: 'more may be lost than was accepted',
    measured: `${lossSentence(bound)}; ${consent.by} accepts it, because ${consent.reason}`,
    limit: unlimited
      ? 'any loss'
      : `at most ${formatSize(consent.maxBytes)} (--allow-data-loss ${lossWords(consent.maxBytes)})`,
    next: promoteCommand(cluster, { to: candidate.state.name, maxLoss: bound ?? UNLIMITED_LOSS }),
  });
}

function lossSentence(bound: number | null): string {
  if (bound === null) return 'the loss can not be estimated';
  return bound === UNPROVEN_LOSS ? 'no loss is known, and none is ruled out' : `${bound} bytes may be lost`;
}

/** How far the furthest of these, all on the candidate's timeline, lies beyond it; null when one is on another timeline. */
function furthestBeyond(candidate: Standing, ahead: readonly Standing[]): number | null {
  if (ahead.some(({ position }) => position.timeline !== candidate.position.timeline)) return null;
  return Math.max(0, ...ahead.map(({ position }) => lsnDistance(position.lsn, candidate.position.lsn)));
}

function estimateOf(
  { candidate, lastKnownPrimaryLsn, oldPrimary }: ProofInput,
  ahead: readonly Standing[],
  sameTimeline: boolean,
): number | null {
  const beyond = furthestBeyond(candidate, ahead);
  if (beyond === null) return null;
  // Its own data tell more than what was last seen of it.
  if (oldPrimary?.timeline === candidate.position.timeline)
    return Math.max(beyond, lsnDistance(oldPrimary.lsn, candidate.position.lsn), UNPROVEN_LOSS);
  if (lastKnownPrimaryLsn === undefined || !sameTimeline) return null;
  return Math.max(beyond, lsnDistance(lastKnownPrimaryLsn, candidate.position.lsn), UNPROVEN_LOSS);
}
