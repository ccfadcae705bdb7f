import { clusterStatus } from '../commands';
import { formatMs } from '../duration';
import { ageWords, isFresh } from '../guard/confirmation';
import { isInVain } from '../guard/heard';
import { CLOCK_SKEW_MS } from '../guard/rounds';
import { lsnBytes, type Lsn } from '../lsn';
import type { Checklist } from '../switchover/checklist';
import { mostAdvanced, unheardWords, type CandidateState } from './candidates';
import { disagreement, type OwnSettings } from './own-settings';
import { wakeCommand } from './commands';
import type { Curable, Cure, ProofInput } from './proof-input';
import { ownWords, sourceWords } from './source-proof';

/** Why the ledger does not promise anything about this failure; undefined when it does. */
export function whyNotProtected(
  input: ProofInput,
): { id: 'B3' | 'I7'; measured: string; limit?: string; unread?: true } | undefined {
  const { ledger, failedPrimary, failedAt, confirmedWithinMs, watched, own } = input;
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
  const lacking = lackingWords(input);
  if (lacking !== undefined) return { id: 'I7', ...lacking };
  const limit = 'somebody watched until its end, or its own files say the same as the ledger';
  const other = own === undefined ? undefined : disagreement(own, ledger.names);
  if (other !== undefined)
    return { id: 'I7', measured: `the ledger says protected of ${failedPrimary}, but ${other}`, limit };
  const written = watched === false ? writtenSince(own, confirmedAt) : undefined;
  if (written !== undefined)
    return { id: 'I7', measured: `the ledger says protected of ${failedPrimary}, but ${written}`, limit };
  if (watched !== false || own?.names !== undefined) return undefined;
  const unwatched = `the ledger says protected, but nobody saw ${failedPrimary} in the moments before its end`;
  return own === undefined
    ? { id: 'I7', measured: `${unwatched}, and its files are not read yet`, limit, unread: true }
    : { id: 'I7', measured: `${unwatched}, and its files tell nothing: ${own.problem ?? 'no reason given'}`, limit };
}

/** By how much a date of a file lies before when it was written: a tar archive tells full seconds. In milliseconds. */
const DATES_ROUND_MS = 1000;

/**
 * While nobody watched, somebody may have emptied the names and put them back, and the files say what they said before. In half a sentence;
 * undefined where nobody has written to them since the primary was last seen protected.
 */
function writtenSince(own: OwnSettings | undefined, confirmedAt: number | undefined): string | undefined {
  if (own?.writtenAt === undefined || confirmedAt === undefined) return undefined;
  const lateMs = own.writtenAt + DATES_ROUND_MS + CLOCK_SKEW_MS - confirmedAt;
  return lateMs <= 0
    ? undefined
    : 'its postgresql.auto.conf was written when the ledger had last been confirmed, or later: somebody may have changed the names and put them back';
}

/**
 * What the most advanced standby lacks of what may have been acknowledged, by the last word of the failed primary: more was confirmed
 * over a standby's slot than any standby has, or commits waited for nobody, and waits may have been cancelled (guard/heard.ts).
 */
function lackingWords({
  ledger,
  failedPrimary,
  candidate,
  rest,
}: ProofInput): { measured: string; limit: string } | undefined {
  const { confirmed, waiting } = ledger?.heard ?? {};
  const [furthest] = mostAdvanced(
    [candidate, ...rest].filter(({ position }) => position.timeline === ledger?.timeline),
  );
  if (furthest === undefined) return undefined;
  const { state, position } = furthest;
  const lacks = (mark: Lsn | undefined): mark is Lsn => mark !== undefined && lsnBytes(position.lsn) < lsnBytes(mark);
  if (lacks(confirmed))
    return {
      measured: `the ledger says protected, but ${failedPrimary} heard that a standby has WAL up to ${confirmed}, and the most advanced, ${state.name}, has it up to ${position.lsn}: somebody else confirmed over its slot, or it has lost some`,
      limit: `a standby that has all that was confirmed, ${confirmed}`,
    };
  if (waiting === undefined || !isInVain(waiting) || !lacks(waiting.upTo)) return undefined;
  return {
    measured: `the ledger says protected, but no standby had confirmed for ${formatMs(waiting.until - waiting.since)} when ${failedPrimary} was last heard, and a commit whose wait is cancelled is acknowledged all the same: it had WAL up to ${waiting.upTo}, and the most advanced, ${state.name}, has it up to ${position.lsn}`,
    limit: `a standby that has all that ${failedPrimary} had then, ${waiting.upTo}`,
  };
}

/** Standbys that may have confirmed the last commits and can't be heard. */
export function missingMembers({ ledger, candidate, rest, all, watched }: ProofInput): string[] {
  const heard = [candidate, ...rest].map(({ state }) => state.name);
  const others = watched === false ? all.filter(({ missing }) => missing !== true).map(({ name }) => name) : [];
  return [...new Set([...(ledger?.synchronous ?? []), ...others])].filter((node) => !heard.includes(node));
}

/**
 * What the ledger does not prove: a commit that begins to wait, and whose wait is cancelled, between two answers of the primary is
 * acknowledged by the primary alone, and shows in none of them (guard/heard.ts). One round is not enough to tell it from load.
 */
const NOT_COVERED =
  'not covered is a commit whose wait for a standby was cancelled (a WARNING to its client) in the last two rounds of the watch, or since';

/** What the ledger proves, with what was heard, and what it does not. */
export function ledgerProof({ ledger, failedAt, failedPrimary, own }: ProofInput): string {
  const names = ledger?.synchronous ?? [];
  const age = Math.max(0, failedAt - (ledger?.confirmedAt ?? failedAt));
  return `the ledger, confirmed ${formatMs(age)} before the failure, names ${listed(names)}; ${names.length === 1 ? 'it was' : 'all were'} heard, and none has more${own?.names === undefined ? '' : `; the files of ${failedPrimary} say the same`}; ${NOT_COVERED}`;
}

const listed = (names: readonly string[]): string => names.join(' and ');

/** What the checks of the record ask. */
const recordWords = {
  B3: 'what a standby had was recorded outside the primary before it failed',
  I7: 'it is known that every acknowledged commit is on a standby',
  I6: 'every standby that may have the last commits answers',
};

/** The command that brings a node back loses nothing, and comes before what accepts a loss; undefined where there is none. */
export const cured = (bringsBack: string | undefined, cure: Cure): Cure =>
  bringsBack === undefined ? cure : { next: bringsBack, instead: cure.instead ?? cure.next };

/** B3, I7 and I6 by the ledger. */
export function checkRecord(
  list: Checklist,
  curable: Curable,
  input: ProofInput,
  recorded: ReturnType<typeof whyNotProtected>,
  missing: readonly string[],
  cure: Cure,
): void {
  const { ledger, failedPrimary, all, makeAgain } = input;
  const words = recordWords;
  const own = ownWords(input);
  // To bring a node back loses nothing: that comes first. The failed primary's own data tell what the ledger does not.
  const unknown = {
    refusal: 'nobody knows whether a standby has every acknowledged commit',
    limit: `a ledger that says protected of ${failedPrimary}`,
    ...cured(makeAgain[ledger?.primary ?? ''] ?? makeAgain[failedPrimary], cure),
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
  const [first] = missing;
  const container = all.find(({ name }) => name === first)?.container;
  curable('I6', missing.length === 0, {
    says: words.I6,
    refusal: `${missing.join(' and ')} may have acknowledged commits that nobody else has`,
    measured:
      missing.length === 0
        ? `${ledger?.synchronous.join(' and ')}`
        : `${missing.map((node) => silentWords(node, all)).join('; ')}${own}`,
    limit: `all of ${ledger?.synchronous.join(', ')} answer`,
    // To bring the node back loses nothing: that comes first.
    ...(first === undefined ? cure : { next: makeAgain[first] ?? wakeCommand(input.cluster, first, container) }),
  });
}

/** B3, I7 and I6 where the failed primary's own data answer what the ledger does not. */
export function tellSource(list: Checklist, input: ProofInput): void {
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

/** A node that did not answer, and why. */
function silentWords(node: string, all: readonly CandidateState[]): string {
  const state = all.find(({ name }) => name === node);
  return state === undefined ? `${node} is not in the topology` : unheardWords(state);
}
