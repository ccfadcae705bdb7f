import type { Checklist, CheckWords } from '../switchover/checklist';
import { comparePositions, positionWords, type Standing } from './candidates';
import { repairCommand } from '../commands';
import { promoteCommand, UNLIMITED_LOSS } from './commands';
import { checkRecord, cured, ledgerProof, missingMembers, tellSource, whyNotProtected } from './ledger-proof';
import { checkConsent, estimateOf, furthestBeyond } from './loss-bound';
import type { Curable, Cure, ProofInput } from './proof-input';
import { hasAllOf, sourceWords } from './source-proof';

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
  const cure: Cure =
    input.repairFirst === true ? { next: repairCommand(input.cluster), instead: accept } : { next: accept };

  if (bySource) tellSource(list, input);
  else checkRecord(list, curable, input, recorded, missing, cure);
  curable('A6', bySource || sameTimeline || ledger === null, {
    says: `${candidate.state.name} is on the timeline of the failed primary`,
    refusal: `${candidate.state.name} is on another timeline than the ledger`,
    measured: `timeline ${candidate.position.timeline}${bySource ? `, as ${input.failedPrimary} itself` : ledger === null ? ', and there is no ledger' : `, the ledger speaks of ${ledger.timeline}`}`,
    limit: 'the same timeline',
    ...cured(input.makeAgain[input.failedPrimary], cure),
  });
  checkMostAdvanced(list, curable, input, ahead, lossless, cure);
  checkConsent(list, input, bound, lossless, covered);
  return {
    bound,
    needsConsent: !lossless && !covered,
    ...(lossless ? { proof: bySource ? sourceWords(input) : ledgerProof(input) } : {}),
    ...(recorded?.unread === true ? { unread: true } : {}),
  };
}

/** I9: nobody has more than the candidate. */
function checkMostAdvanced(
  list: Checklist,
  curable: Curable,
  { cluster, candidate, rest }: ProofInput,
  ahead: readonly Standing[],
  lossless: boolean,
  cure: Cure,
): void {
  const [first] = ahead;
  const words: CheckWords = {
    says: `${candidate.state.name} is the most advanced`,
    refusal: `${ahead.map(({ state }) => state.name).join(' and ')} ${ahead.length === 1 ? 'has' : 'have'} WAL that ${candidate.state.name} has not, and that would be lost`,
    measured: [candidate, ...rest]
      .map(({ state, position }) => `${state.name} at ${positionWords(position)}`)
      .join(', '),
    limit: 'no standby is further',
    ...(first?.state.promotable === true ? { next: promoteCommand(cluster, { to: first.state.name }) } : cure),
  };
  // Behind a complete proof a node that never confirmed anything can only have more of what nobody was told.
  if (lossless) list.advise('I9', first === undefined, words);
  else curable('I9', first === undefined, words);
}
