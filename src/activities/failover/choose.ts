import { refusalSentence } from '../../cluster/check';
import { switchoverCommand } from '../../cluster/commands';
import type { NodeAnswer } from '../../cluster/guard/signals';
import { finalFailure } from '../context';
import type { ActivityDeps, ClusterAccess } from '../deps';
import type { FailoverJournal } from './journal';
import { decideOn, isRefused, type Look } from './look';
import { queryLimitOf, type FailoverMove } from './move';
import { PATIENT_LIMIT_MS, reachSilent, type Candidate, type FailoverParts } from './parts';
import { answersThough, requireStillUnreachable, requireStillUnwritable } from './still-lost';
import { whyLeft } from './why-left';

/** What was decided on whom to promote. */
export interface Choice {
  target: Candidate;
  others: string[];
  names: string;
  /** Nothing proves yet that nothing is lost: the failed primary's own data have to, once it is fenced. */
  unproven?: true;
  /** There is no other standby, heard or not: nobody else can confirm a commit of the old primary. */
  alone?: true;
}

/**
 * Decides on the target from what every candidate says now.
 * @throws ApplicationFailure `Refused`
 */
export async function choose(
  deps: ActivityDeps,
  access: ClusterAccess,
  request: FailoverMove,
  parts: FailoverParts,
  journal: FailoverJournal,
  { asked, beforeFence = false }: { asked?: Promise<NodeAnswer>; beforeFence?: boolean } = {},
): Promise<Choice> {
  const fencedAt = journal.marks.fencedAt;
  const [first, source] = await Promise.all([
    decideOn(deps, access, request, parts, { fencedAt, own: journal.own }),
    asked,
  ]);
  if (source?.answered === true && source.inRecovery === false && !answersThough(request.kind)) {
    throw finalFailure(
      'Refused',
      `I8: ${request.source} is a primary that takes writes: it answered within ${source.ms} ms (limit: no reachable primary). Nothing was changed. Next: ${switchoverCommand(request.cluster)}`,
    );
  }
  // Once it is fenced there is no way back to what it was.
  const disk =
    fencedAt === null && request.kind === 'unwritable'
      ? await requireStillUnwritable(access, request.source)
      : undefined;
  if (fencedAt === null && request.kind === 'unreachable') await requireStillUnreachable(access, parts, request.source);
  const found = await secondLook(deps, access, request, parts, first, journal);
  const curable = beforeFence && request.source !== '' && isRefused(found.decision) && found.decision.needsConsent;
  // Also in an attempt that finds the fence of one before it: that one may have died before it read anything.
  const begun = fencedAt !== null || journal.began === 'fence';
  const left =
    curable && !begun && found.decision.unread !== true
      ? await whyLeft(deps, access, request, found, disk, () => decideOn(deps, access, request, parts))
      : undefined;
  const unproven = curable && left === undefined;
  const { states } = found;
  const decision = left ?? found.decision;
  journal.checks = decision.checks;
  journal.lossBound = decision.lossBound;
  if (decision.proof === undefined) delete journal.proof;
  else journal.proof = decision.proof;
  const refusal = refusalSentence(decision.checks, 'Nothing was promoted');
  if (refusal !== undefined && !unproven) throw finalFailure('Refused', refusal, { checks: decision.checks });
  const target = parts.candidates.find(({ name }) => name === decision.candidate);
  if (target === undefined) throw new Error('the checks named neither a candidate nor a refusal');
  const state = states.find(({ name }) => name === target.name);
  if (decision.candidateLsn !== undefined) journal.receivedByTarget = decision.candidateLsn;
  if (state?.inRecovery === true && state.timeline !== undefined) journal.timelineBefore = state.timeline;
  journal.names = decision.names;
  const alone = states.every(({ name, missing }) => name === target.name || missing === true);
  return {
    target,
    others: decision.others,
    names: decision.names,
    ...(unproven ? { unproven } : {}),
    ...(alone ? { alone } : {}),
  };
}

/**
 * Somebody who is silent gets more time before that is believed: it may be the reason of a refusal; or the one with the most, whom a
 * person's consent to a loss would pass over.
 */
async function secondLook(
  deps: ActivityDeps,
  access: ClusterAccess,
  request: FailoverMove,
  parts: FailoverParts,
  first: Look,
  { own, marks }: FailoverJournal,
): Promise<Look> {
  const refused = isRefused(first.decision);
  const silent = first.states.some(({ answered, missing }) => !answered && missing !== true);
  if (!silent || (!refused && request.allowDataLoss === undefined)) return first;
  await reachSilent(deps, access, parts, queryLimitOf(request));
  return decideOn(deps, access, request, parts, { limitMs: PATIENT_LIMIT_MS, fencedAt: marks.fencedAt, own });
}
