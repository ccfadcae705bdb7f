import type { Check } from '../../cluster/check';
import { failoverPlan } from '../../cluster/failover/plan';
import type { Plan } from '../../workflows/run-state';
import { keepBeating } from '../context';
import { accessCluster, type ActivityDeps } from '../deps';
import { tokenOf } from '../token';
import { whyNotOver } from './ended-source';
import type { FailoverMove } from './move';
import { decideOn, isRefused, type Look } from './look';
import { closeFailoverParts, openFailoverParts } from './parts';
import { isHeldAgainstDocker } from './why-left';

/** Who could be promoted now. Nothing was changed, and nobody was claimed. */
export interface FailoverOutlook {
  checks: Check[];
  target?: string;
  plan?: Plan;
}

/**
 * Looks at every candidate and decides as a failover would. Changes nothing. What only the failed primary's own WAL can answer, which is
 * read once it is fenced, is a warning of the plan where that will be done.
 */
export async function planFailOver(deps: ActivityDeps, request: FailoverMove): Promise<FailoverOutlook> {
  const access = accessCluster(deps, request.cluster);
  const stopBeating = keepBeating(() => 'looking at the candidates');
  const parts = await openFailoverParts(access, tokenOf(request.run, 'fail over'), request.candidates, 5000);
  try {
    // What the primary's own files say can be read only once it is fenced.
    const look = await decideOn(deps, access, { ...request, watched: true }, parts);
    const { decision } = look;
    const handover = deps.handoverCost();
    const target = decision.candidate;
    if (target === undefined) return { checks: decision.checks };
    const readsFirst = await isReadFirst(deps, request, look);
    return {
      checks: readsFirst ? decision.checks.map(asWarning) : decision.checks,
      target,
      plan: failoverPlan({
        source: request.source,
        target,
        others: decision.others,
        protection: access.topology.protection,
        holdLimitMs: request.holdLimitMs,
        handover,
        readsFirst,
      }),
    };
  } finally {
    stopBeating();
    closeFailoverParts(parts);
  }
}

/** Is a possible loss all that stands against it, and can the failed primary itself tell whether there is one? */
async function isReadFirst(deps: ActivityDeps, request: FailoverMove, look: Look): Promise<boolean> {
  // What the guard saw is as old as the question by the time of its answer.
  const { decidedAt: _seen, ...asked } = request;
  if (!look.decision.needsConsent || request.source === '' || !isRefused(look.decision)) return false;
  return isHeldAgainstDocker(asked) && (await whyNotOver(deps, request, look)) === undefined;
}

const asWarning = (check: Check): Check => (check.result === 'refuse' ? { ...check, result: 'warn' } : check);
