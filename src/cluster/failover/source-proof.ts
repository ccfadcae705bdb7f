import { hadAtLeast } from '../guard/heard';
import { isNamed, newerPrimary } from '../guard/named-nodes';
import { lsnBytes } from '../lsn';
import { comparePositions, positionWords, type CandidateState, type Position } from './candidates';
import type { ProofInput } from './proof-input';

/**
 * Everything that the failed primary ever wrote is on the candidate, and nobody was promoted in its place: neither one that the ledger names
 * and that is not heard, with a container or without, nor one on a newer timeline. Where no ledger says that it was the primary, nobody may
 * have more than the candidate either: that one may have been it.
 */
export function hasAllOf(input: ProofInput): boolean {
  const { candidate, failedPrimary, ledger, oldPrimary, rest, all } = input;
  if (oldPrimary === undefined || oldPrimary.timeline !== candidate.position.timeline) return false;
  // Of another history than its standbys, whatever the positions are.
  if (ledger?.heard?.wentBack !== undefined) return false;
  if (lacksOfItsOwn(input) !== undefined || newerPrimary(ledger, oldPrimary.timeline) !== undefined) return false;
  // A standby replays nothing that its primary did not have: what was read is not all.
  if ([candidate, ...rest].some(({ state, position }) => hasReplayedMore(state, position, oldPrimary))) return false;
  const heard = [candidate, ...rest].map(({ state }) => state.name);
  const nobodyElse =
    all.every(({ name, missing }) => heard.includes(name) || (missing === true && !isNamed(ledger, name))) &&
    rest.every(({ position }) => position.timeline <= oldPrimary.timeline);
  const known = ledger?.primary === failedPrimary;
  if (!known && rest.some(({ position }) => comparePositions(position, candidate.position) > 0)) return false;
  return nobodyElse && comparePositions(candidate.position, oldPrimary) >= 0;
}

const hasReplayedMore = ({ replayedLsn }: CandidateState, { timeline }: Position, primary: Position): boolean =>
  timeline === primary.timeline && replayedLsn != null && lsnBytes(replayedLsn) > lsnBytes(primary.lsn);

/**
 * What the failed primary was heard to have on its disk, where its WAL ends before that: whoever reads takes a damaged record for the end,
 * and what ends too early proves nothing. Undefined where it has all that is known.
 */
export function lacksOfItsOwn({ ledger, oldPrimary }: Pick<ProofInput, 'ledger' | 'oldPrimary'>): Position | undefined {
  if (ledger === null || oldPrimary === undefined || ledger.timeline < oldPrimary.timeline) return undefined;
  const lsn = hadAtLeast(ledger);
  if (lsn === undefined) return undefined;
  const had = { timeline: ledger.timeline, lsn };
  return comparePositions(had, oldPrimary) > 0 ? had : undefined;
}

/** What the failed primary's own data prove, where they do. */
export const sourceWords = ({ failedPrimary, oldPrimary, candidate }: ProofInput): string =>
  `the WAL of ${failedPrimary} itself ends at ${oldPrimary === undefined ? 'an unknown position' : positionWords(oldPrimary)}, and ${candidate.state.name} has WAL up to ${candidate.position.lsn}`;

/** What the failed primary's own data say where they prove nothing, to be appended to what was measured. */
export function ownWords(input: ProofInput): string {
  const { failedPrimary, oldPrimary, oldPrimaryProblem, candidate } = input;
  const had = lacksOfItsOwn(input);
  if (oldPrimary !== undefined && had !== undefined)
    return `; the WAL of ${failedPrimary} itself can be read only up to ${positionWords(oldPrimary)}, and the guard heard of ${positionWords(had)} on the disk of ${input.ledger?.primary ?? failedPrimary}: what lies between can't be read`;
  if (oldPrimary !== undefined)
    return `; the WAL of ${failedPrimary} itself goes to ${positionWords(oldPrimary)}, and that of ${candidate.state.name} to ${positionWords(candidate.position)}${historyWords(input)}`;
  return oldPrimaryProblem === undefined
    ? ''
    : `; the WAL of ${failedPrimary} itself could not be read: ${oldPrimaryProblem}`;
}

/** Why equal positions prove nothing, where the guard heard that the failed primary had lost WAL which a standby had. */
function historyWords({ ledger }: ProofInput): string {
  const wentBack = ledger?.heard?.wentBack;
  return wentBack === undefined
    ? ''
    : `, which proves nothing: the WAL of ${ledger?.primary ?? 'the primary'} went back to ${wentBack.to} before, and standbys that were not copied since are of another history`;
}
