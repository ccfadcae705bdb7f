import type { Check } from '../../cluster/check';
import { failoverPlan } from '../../cluster/failover/plan';
import type { Plan } from '../../workflows/run-state';
import { keepBeating } from '../context';
import { accessCluster, type ActivityDeps } from '../deps';
import { tokenOf } from '../token';
import type { FailoverMove } from './move';
import { decideOn } from './look';
import { closeFailoverParts, openFailoverParts } from './parts';

/** Who could be promoted now. Nothing was changed, and nobody was claimed. */
export interface FailoverOutlook {
  checks: Check[];
  target?: string;
  plan?: Plan;
}

/** Looks at every candidate and decides as a failover would. Changes nothing. */
export async function planFailOver(deps: ActivityDeps, request: FailoverMove): Promise<FailoverOutlook> {
  const access = accessCluster(deps, request.cluster);
  const stopBeating = keepBeating(() => 'looking at the candidates');
  const parts = await openFailoverParts(access, tokenOf(request.run, 'fail over'), request.candidates, 5000);
  try {
    // What the primary's own files say can be read only once it is fenced.
    const { decision } = await decideOn(deps, access, { ...request, watched: true }, parts);
    const handover = deps.handoverCost();
    const target = decision.candidate;
    if (target === undefined) return { checks: decision.checks };
    return {
      checks: decision.checks,
      target,
      plan: failoverPlan({
        source: request.source,
        target,
        others: decision.others,
        protection: access.topology.protection,
        holdLimitMs: request.holdLimitMs,
        handover,
      }),
    };
  } finally {
    stopBeating();
    closeFailoverParts(parts);
  }
}
