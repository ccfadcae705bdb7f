import { lsnDistance } from '../lsn';
import { formatSize } from '../size';
import type { Checklist } from '../switchover/checklist';
import type { Standing } from './candidates';
import { lossWords, promoteCommand, UNLIMITED_LOSS } from './commands';
import type { ProofInput } from './proof-input';
import { lacksOfItsOwn } from './source-proof';

/** A loss that nobody knows of, and that nobody can rule out either: 0 bytes are said only with a proof. */
const UNPROVEN_LOSS = 1;

/** How far the furthest of these, all on the candidate's timeline, lies beyond it; null when one is on another timeline. */
export function furthestBeyond(candidate: Standing, ahead: readonly Standing[]): number | null {
  if (ahead.some(({ position }) => position.timeline !== candidate.position.timeline)) return null;
  return Math.max(0, ...ahead.map(({ position }) => lsnDistance(position.lsn, candidate.position.lsn)));
}

/** The bytes that may be lost where nothing proves that none are: never 0; null when nobody can tell. */
export function estimateOf(input: ProofInput, ahead: readonly Standing[], sameTimeline: boolean): number | null {
  const { candidate, lastKnownPrimaryLsn, oldPrimary } = input;
  const beyond = furthestBeyond(candidate, ahead);
  if (beyond === null) return null;
  const lacking = lacksOfItsOwn(input);
  // How far its WAL goes that can't be read nobody knows; it had this much at least, and a moment before its end.
  if (lacking !== undefined) {
    if (lacking.timeline !== candidate.position.timeline) return null;
    const known = [lacking.lsn, ...(lastKnownPrimaryLsn === undefined ? [] : [lastKnownPrimaryLsn])];
    return Math.max(beyond, UNPROVEN_LOSS, ...known.map((lsn) => lsnDistance(lsn, candidate.position.lsn)));
  }
  // Its own data tell more than what was last seen of it.
  if (oldPrimary?.timeline === candidate.position.timeline)
    return Math.max(beyond, lsnDistance(oldPrimary.lsn, candidate.position.lsn), UNPROVEN_LOSS);
  if (lastKnownPrimaryLsn === undefined || !sameTimeline) return null;
  return Math.max(beyond, lsnDistance(lastKnownPrimaryLsn, candidate.position.lsn), UNPROVEN_LOSS);
}

/** E8: a loss needs a bound, a reason and a name. */
export function checkConsent(
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
