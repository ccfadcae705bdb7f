import { CancellationScope, patched, setWorkflowOptions } from '@temporalio/workflow';
import { chooseRejoin } from '../cluster/rejoin/choose';
import { conductStandbyRun, type StandbyRunbook } from './rejoin-conduct';
import { rejoinSteps } from './rejoin-steps';
import { requestOf } from './runbook/begin';
import { Run } from './runbook/run';
import type { Report } from './run-state';
import { parseRejoinInput, type RejoinInput, type RejoinRequest } from './standby-input';

const START = 'veloz-ha postgres rejoin';

const how = { none: 'with its data as it was', rewind: 'after a rewind', copy: 'after a full copy' } as const;

/**
 * Makes a node that was the primary, or fell behind for good, a standby of the primary: nothing, a rewind or a full copy, as its
 * history says. What only it had is kept on its volume. Started with nothing it plans for the only node that does not follow.
 *
 * Ends with a {@link Report} as its result, or fails with the report in the failure's details and the outcome as its type.
 */
export async function rejoin(input: RejoinInput = {}): Promise<Report> {
  const request = requestOf(parseRejoinInput(input), START);
  const run = new Run('rejoin', request);
  // Cancellation is an abort: asked for between steps, never in the middle of one.
  return CancellationScope.nonCancellable(() => conductStandbyRun(run, request, runbookOf(run, request)));
}
setWorkflowOptions({ failureExceptionTypes: [Error] }, rejoin);

function runbookOf(run: Run, { method }: RejoinRequest): StandbyRunbook {
  return {
    start: START,
    planned: false,
    choose: (topology, observed, node) =>
      chooseRejoin(topology, observed, { node, method, copiesAnything: !patched('copies-are-whole') }),
    steps: (chosen, story) => rejoinSteps(run, { ...chosen, method }, story),
    standbysAfter: ({ node, others }) => [...others, node],
    done: ({ node, primary }, { rejoin: facts, names }) =>
      `${node} is a synchronous standby of ${primary} again, ${how[facts?.method ?? 'none']}${names === undefined ? '' : `; synchronous_standby_names is '${names}'`}`,
    stays: ({ node }) =>
      `${node} is no synchronous standby yet; where it was fenced it stays stopped, and nothing of it is lost`,
  };
}
