/** A sub-step that was completed, as the journal of a move keeps it. */
interface Done {
  id: string;
  detail?: string | undefined;
}

/**
 * What proves that a planned move lost no acknowledged write: this run compared the two nodes after the source took no more writes, and
 * then promoted the target itself. Without both the source may have been a master in between, and somebody else may have promoted the
 * target, whoever is alive. Pure.
 * @param subSteps what the run completed, over all of its attempts
 * @returns what was measured, in half a sentence; undefined where nothing is proven
 */
export function moveProof(subSteps: readonly Done[]): string | undefined {
  const compared = subSteps.findLastIndex(({ id }) => id === 'compare');
  const promoted = subSteps.findLastIndex(({ id }) => id === 'promote');
  if (compared === -1 || promoted < compared) return undefined;
  return `both were at ${subSteps[compared]?.detail ?? 'the same offset'} when it was promoted`;
}
