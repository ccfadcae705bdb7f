import { comparePositions, positionOf, type Position } from '../../cluster/failover/candidates';
import type { FailoverDecision } from '../../cluster/failover/decide';
import { formatMs } from '../../cluster/duration';
import { FAIR_CHANCE_MS, hadItsChance, isOver } from '../../cluster/guard/fair-chance';
import { steadyMs } from '../clock';
import { sleep } from '../context';
import type { ActivityDeps, ClusterAccess } from '../deps';
import { whyNotOver } from './ended-source';
import type { Look } from './look';
import type { FailoverMove } from './move';
import { heldAtLeast } from './source-data';
import type { DiskTrouble } from './still-lost';

/*
 * Where nothing that was recorded proves that nothing is lost, the failed primary's own WAL may. To be read it has to be fenced, which
 * ends its server; and where a standby lacks some of it, that server is started again in its place. Of a primary that is over this takes
 * nothing away. One that hangs, or is cut off, may come back by itself, and may serve whoever still reaches it. That it is over the guard
 * knows for a moment; a person's word is held against Docker's.
 */

/** How long a standby that streams may take to get what the primary has, in milliseconds: clients wait. */
const CATCH_UP_MS = 1000;

/**
 * Why a primary is left where it is, as the decision that refuses; undefined where it is to be fenced and read: it is over, or it had
 * its time to come back, its disk can be read, and it is not known that the candidate lacks some of its WAL.
 * @param disk what is wrong with its disk, of a primary that can't write
 * @param again looks at the candidates once more
 */
export async function whyLeft(
  deps: ActivityDeps,
  access: ClusterAccess,
  request: FailoverMove,
  found: Look,
  disk: DiskTrouble | undefined,
  again: () => Promise<Look>,
): Promise<FailoverDecision | undefined> {
  const { kind, since, source } = request;
  if (isHeldAgainstDocker(request)) {
    const left = await whyNotOver(deps, request, found);
    if (left === undefined) return undefined;
    return left.problem === undefined ? found.decision : found.given({ problem: left.problem });
  }
  if (isOver(kind)) return undefined;
  const now = Date.now();
  if (kind === undefined || since === undefined) return found.decision;
  if (!hadItsChance(kind, since, now))
    return found.given({
      problem: `it failed ${formatMs(now - since)} ago and may come back by itself (limit: ${formatMs(FAIR_CHANCE_MS)})`,
    });
  // A fence has to be written, and what hangs in the kernel ends at no kill: it would be cut off, and still not be read.
  if (disk === 'hangs' || disk === 'silent')
    return found.given({
      problem: disk === 'hangs' ? 'its disk takes no writes, and so no fence' : 'its agent gives no answer',
    });
  const position = positionIn(found);
  if (position === undefined) return found.decision;
  const end = await heldAtLeast(access, source, position);
  if (end === undefined) return undefined;
  const until = steadyMs() + CATCH_UP_MS;
  for (let look = found; ; look = await again()) {
    const has = positionIn(look);
    if (has !== undefined && comparePositions(has, end) >= 0) return undefined;
    if (steadyMs() >= until) return look.given({ end });
    await sleep(100);
  }
}

/** Nobody watched it end, or a person has thought about it since. */
export const isHeldAgainstDocker = ({ kind, decidedAt, byHand }: FailoverMove): boolean =>
  kind === undefined ? byHand === true : kind === 'dead' && decidedAt === undefined;

/** Where the WAL of the node that would be promoted ends. */
function positionIn({ states, decision }: Look): Position | undefined {
  const state = states.find(({ name }) => name === decision.candidate);
  return state === undefined ? undefined : positionOf(state);
}
