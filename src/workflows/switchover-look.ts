import { ApplicationFailure, sleep } from '@temporalio/workflow';
import type { ClusterDescription } from '../activities';
import { commandsOf, problemSentence, refusalSentence, type Check } from '../cluster/check';
import { durationMs } from '../cluster/duration';
import { membersOf } from '../cluster/members';
import type { ObservedCluster } from '../cluster/observed';
import { decideSwitchover, type SwitchoverDecision } from '../cluster/switchover/decide';
import { AGES_KNOWN } from '../cluster/switchover/stopping';
import { act, reading } from './runbook/activity-options';
import { warnOf } from './runbook/ask';
import type { Run } from './runbook/run';
import type { Report } from './run-state';
import type { SwitchoverRequest } from './switchover-input';

/** Checks that a moment's stall of a disk or a network fails: what they see is a refusal only when it stays. */
const passing = new Set(['B5', 'B6', 'B8']);
const isPassing = ({ id, says }: Check): boolean => passing.has(id) || says === AGES_KNOWN;
/** How often the cluster is looked at before such a check refuses, and how long apart. */
const LOOKS = 3;
const LOOK_AGAIN_AFTER = '1s';

/** The limits of a run: the request's where it names them, else the cluster's. */
export const limitsOf = (described: ClusterDescription, request: SwitchoverRequest) => ({
  holdLimitMs: request.holdLimit === undefined ? described.topology.limits.hold : durationMs(request.holdLimit),
  pauseLimitMs: request.pauseLimit === undefined ? described.topology.limits.pause : durationMs(request.pauseLimit),
});

/** Observes and decides. Ends the run when it is refused, or when there is nothing to do. */
export async function look(
  run: Run,
  described: ClusterDescription,
  request: SwitchoverRequest,
): Promise<
  { report: Report } | { decision: SwitchoverDecision & { source: string; target: string }; observed: ObservedCluster }
> {
  const { state } = run;
  const { decision, observed } = await lookAgainWhilePassing(run, described, request);
  const { source, target } = decision;
  const refusal = refusalSentence(decision.checks, 'Nothing was changed');
  if (refusal !== undefined) {
    return {
      report: run.end('refused', refusal, {
        primaryBefore: source,
        membersBefore: state.members,
        next: commandsOf(decision.checks),
      }),
    };
  }
  if (source === undefined || target === undefined)
    throw ApplicationFailure.nonRetryable('the checks named neither a primary nor a refusal', 'Failed');
  if (decision.alreadyDone) {
    return {
      report: run.end('completed', `${target} is the primary already. Nothing was changed`, {
        primaryBefore: source,
        primaryAfter: target,
        membersBefore: state.members,
        membersAfter: state.members,
      }),
    };
  }
  warnOf(run, decision.checks);
  return { decision: { ...decision, source, target }, observed };
}

/** Observes and decides; where nothing but passing checks refuse, once more a little later. */
async function lookAgainWhilePassing(
  run: Run,
  described: ClusterDescription,
  request: SwitchoverRequest,
): Promise<{ decision: SwitchoverDecision; observed: ObservedCluster }> {
  const { state } = run;
  let earliest: ObservedCluster | undefined;
  for (let looks = 1; ; looks++) {
    const observed = await act(reading, 'Look at every system of the cluster').observe(state.cluster);
    state.members = membersOf(observed);
    const limits = limitsOf(described, request);
    const decision = decideSwitchover(described.topology, observed, { ...request, ...limits }, earliest);
    earliest ??= observed;
    state.checks = decision.checks;
    const refused = decision.checks.filter((check) => check.result === 'refuse');
    const [first] = refused;
    if (first === undefined || looks === LOOKS || !refused.every(isPassing)) return { decision, observed };
    run.changed(`Looking again in ${LOOK_AGAIN_AFTER}: ${problemSentence(first)}`);
    await sleep(LOOK_AGAIN_AFTER, { summary: `Looking again: ${first.id}` });
  }
}
