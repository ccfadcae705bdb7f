import { ParentClosePolicy, startChild } from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import type { ClusterDescription } from '../activities';
import { commandsOf, refusalSentence } from '../cluster/check';
import { wholeStatus } from '../cluster/commands';
import { maintenanceCommand, maintenanceStart } from '../cluster/maintenance/commands';
import { decideAway, moveSays, type TierMove } from '../cluster/maintenance/decide';
import type { TierRoles } from '../cluster/maintenance/roles';
import { planQuestion } from '../report/runbooks';
import { clusterLock } from './cluster-lock';
import type { Children } from './maintenance-children';
import type { MaintenanceRequest } from './maintenance-input';
import { lookAtTiers, planMoves, planOf, refusedBy } from './maintenance-look';
import { maintenanceLockId } from './maintenance-messages';
import { blindSays, restOf, stepSays } from './maintenance-words';
import { approvedOrEnd } from './runbook/ask';
import type { Run } from './runbook/run';
import type { MaintenanceState, Report } from './run-state';

/** What a maintenance is prepared with. */
export interface Preparing {
  run: Run;
  request: MaintenanceRequest;
  described: ClusterDescription;
  held: MaintenanceState;
  children: Children;
}

/** Keeps a second maintenance away for as long as this workflow is open. @returns `false` where there is one already */
export async function keepOthersAway({ state }: Run): Promise<boolean> {
  const { cluster, runbook, workflowId, runId } = state;
  try {
    await startChild(clusterLock, {
      workflowId: maintenanceLockId(cluster),
      parentClosePolicy: ParentClosePolicy.TERMINATE,
      staticSummary: `One maintenance of cluster ${cluster} at a time: ${workflowId}`,
      args: [{ cluster, runbook, holder: workflowId, holderRunId: runId }],
    });
    return true;
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return false;
    throw error;
  }
}

/** Looks, decides, and has every tier's runbook plan its move. Ends the run where something refuses, or nothing is to be moved. */
export async function prepare({
  run,
  request,
  described,
  held,
  children,
}: Preparing): Promise<{ report: Report } | { moves: TierMove[] }> {
  const { state } = run;
  let roles: TierRoles[];
  try {
    roles = await lookAtTiers(run, described.topology);
  } catch (error) {
    const next = wholeStatus(state.cluster);
    return {
      report: run.end('refused', `E4: ${blindSays(error)}. Nothing was changed. Next: ${next}`, {
        next: [{ command: next, why: 'shows what answers, and what does not' }],
      }),
    };
  }
  const { checks, moves } = decideAway(described.topology, state.cluster, roles, request);
  state.checks = checks;
  const refusal = refusalSentence(checks, 'Nothing was changed');
  if (refusal !== undefined) {
    return { report: run.end('refused', refusal, { ...restOf(held, state), next: commandsOf(checks) }) };
  }
  if (moves.length === 0)
    return {
      report: run.end(
        'completed',
        `Nothing that is active lives on ${held.scope}. Nothing was changed, and nothing is held`,
        restOf(held, state),
      ),
    };
  run.changed('Asking the runbook of each tier for its plan');
  const planned = await planMoves(children, moves);
  if ('refused' in planned) {
    const { says, rest } = refusedBy(planned.refused);
    const outcome = planned.refused.end.report?.outcome === 'busy' ? 'busy' : 'refused';
    const [what, next] = says.split('. Next: ');
    return {
      report: run.end(outcome, `${what}. Nothing was changed${next === undefined ? '' : `. Next: ${next}`}`, {
        ...restOf(held, state),
        ...rest,
      }),
    };
  }
  const undo = request.back === 'never' ? undefined : maintenanceCommand('back', state.cluster);
  state.plan = planOf(held.scope, moves, planned.plans, stepSays, described.topology.protection, undo);
  return { moves };
}

/** Asks a person, and looks once more. @returns the report of a run that ends here; undefined where it goes on with these moves */
export async function askFirst(preparing: Preparing, moves: readonly TierMove[]): Promise<Report | undefined> {
  const { run, request, described, held } = preparing;
  const { state } = run;
  const start = maintenanceStart(state.cluster, request);
  const ended = await approvedOrEnd(run, {
    asks: planQuestion('maintenance', state.plan),
    approvalTimeout: request.approvalTimeout,
    usualMs: described.topology.approvalTimeout,
    again: start,
  });
  if (ended !== undefined) return ended;
  run.enter('checking', 'Approved; looking once more');
  // Minutes may have passed. What was approved is what is done, or nothing.
  const again = await prepare(preparing);
  if ('report' in again) return again.report;
  const [was, is] = [moves, again.moves].map((all) => all.map(moveSays).join(', '));
  if (was !== is)
    return run.end(
      'refused',
      `What was approved is no more what had to be done: approved ${was}, now ${is}. Nothing was changed. Next: ${start}`,
      { ...restOf(held, state), next: [{ command: start, why: 'plans it anew' }] },
    );
  return undefined;
}
