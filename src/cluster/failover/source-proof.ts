import { comparePositions, positionWords } from './candidates';
import type { ProofInput } from './proof-input';

/** Everything that the failed primary ever wrote is on the candidate, and nobody was promoted in its place. */
export function hasAllOf({ candidate, oldPrimary, rest, all }: ProofInput): boolean {
  if (oldPrimary === undefined || oldPrimary.timeline !== candidate.position.timeline) return false;
  const heard = [candidate, ...rest].map(({ state }) => state.name);
  const nobodyElse =
    all.every(({ name, missing }) => missing === true || heard.includes(name)) &&
    rest.every(({ position }) => position.timeline <= oldPrimary.timeline);
  return nobodyElse && comparePositions(candidate.position, oldPrimary) >= 0;
}

/** What the failed primary's own data prove, where they do. */
export const sourceWords = ({ failedPrimary, oldPrimary, candidate }: ProofInput): string =>
  `the WAL of ${failedPrimary} itself ends at ${oldPrimary === undefined ? 'an unknown position' : positionWords(oldPrimary)}, and ${candidate.state.name} has WAL up to ${candidate.position.lsn}`;

/** What the failed primary's own data say where they prove nothing, to be appended to what was measured. */
export function ownWords({ failedPrimary, oldPrimary, oldPrimaryProblem, candidate }: ProofInput): string {
  if (oldPrimary !== undefined)
    return `; the WAL of ${failedPrimary} itself goes to ${positionWords(oldPrimary)}, and that of ${candidate.state.name} to ${positionWords(candidate.position)}`;
  return oldPrimaryProblem === undefined
    ? ''
    : `; the WAL of ${failedPrimary} itself could not be read: ${oldPrimaryProblem}`;
}
