import { CancellationScope, patched, setWorkflowOptions } from '@temporalio/workflow';
import { chooseAddition } from '../cluster/standbys/add';
import { conductStandbyRun, type StandbyRunbook } from './rejoin-conduct';
import { rejoinSteps } from './rejoin-steps';
import { requestOf } from './runbook/begin';
import { Run } from './runbook/run';
import type { Report } from './run-state';
import { parseAddStandbyInput, type StandbyInput } from './standby-input';

const START = 'veloz-ha postgres add-standby';

/**
 * Makes a node of the topology that is not there yet a standby, and one of those who confirm commits. Its container must exist; its
 * data directory may be empty, or hold whatever an earlier life left.
 *
 * Ends with a {@link Report} as its result, or fails with the report in the failure's details and the outcome as its type.
 */
export async function addStandby(input: StandbyInput = {}): Promise<Report> {
  const request = requestOf(parseAddStandbyInput(input), START);
  const run = new Run('add-standby', request);
  return CancellationScope.nonCancellable(() => conductStandbyRun(run, request, runbookOf(run)));
}
setWorkflowOptions({ failureExceptionTypes: [Error] }, addStandby);

function runbookOf(run: Run): StandbyRunbook {
  return {
    start: START,
    planned: true,
    choose: (topology, observed, node) =>
      chooseAddition(topology, observed, { node, copiesAnything: !patched('copies-are-whole') }),
    steps: (chosen, story) => rejoinSteps(run, { ...chosen, method: 'auto' }, story),
    standbysAfter: ({ node, others }) => [...others, node],
    done: ({ node, primary, others }, { names }) =>
      `${node} is a standby of ${primary}${others.length === 0 ? '' : ` beside ${others.join(', ')}`}; synchronous_standby_names is '${names ?? ''}'`,
    stays: ({ node, others }) =>
      `${node} is no standby yet${others.length === 0 ? '' : `; ${others.join(', ')} ${others.length === 1 ? 'is' : 'are'} untouched`}`,
  };
}
