import { CancellationScope, setWorkflowOptions } from '@temporalio/workflow';
import { chooseRemoval } from '../cluster/standbys/remove';
import { conductStandbyRun, type Chosen, type StandbyRunbook } from './rejoin-conduct';
import { act, changing } from './runbook/activity-options';
import { requestOf } from './runbook/begin';
import { Run } from './runbook/run';
import type { Step } from './runbook/runner';
import type { Report } from './run-state';
import { parseRemoveStandbyInput, type StandbyInput } from './standby-input';

const START = 'veloz-ha postgres remove-standby';

/**
 * Takes a standby out of the cluster: the primary waits for the others before it goes, it is stopped for good, and nothing is kept
 * for it any more. Its container and its volume stay: the report says how to delete them.
 *
 * Ends with a {@link Report} as its result, or fails with the report in the failure's details and the outcome as its type.
 */
export async function removeStandby(input: StandbyInput = {}): Promise<Report> {
  const request = requestOf(parseRemoveStandbyInput(input), START);
  const run = new Run('remove-standby', request);
  return CancellationScope.nonCancellable(() => conductStandbyRun(run, request, runbook));
}
setWorkflowOptions({ failureExceptionTypes: [Error] }, removeStandby);

const runbook: StandbyRunbook = {
  start: START,
  planned: true,
  choose: (topology, observed, node) => chooseRemoval(topology, observed, { node }),
  steps: (chosen, story) => removalSteps(chosen, (at) => (story.protectedAt = at)),
  standbysAfter: ({ others }) => others,
  done: ({ node, primary, others }) =>
    `${node} is no standby of ${primary} any more: it is stopped for good, and nothing is kept for it. ${others.join(', ')} ${others.length === 1 ? 'confirms' : 'confirm'} commits`,
  stays: ({ node }) => `${node} may still be a standby`,
  next: ({ cluster, node }) => [
    { command: `docker rm --force ${node}`, why: 'deletes its container; until then the status shows it as fenced' },
    {
      command: `docker volume rm ${node}`,
      why: 'deletes its data, where its volume has its name, as in the shipped stack',
    },
    { command: `veloz-ha postgres add-standby --cluster ${cluster} ${node}`, why: 'makes it a standby again' },
  ],
};

function removalSteps({ cluster, run, node, primary, others }: Chosen, onProtected: (at: number) => void): Step[] {
  const request = (turn: number) => ({ cluster, run, node, primary, turn });
  return [
    {
      id: 'release',
      says: `Have commits wait for ${others.join(', ')}, so that nobody needs ${node}`,
      expectedMs: 300,
      run: async () => ({
        detail: await act(changing, `Have commits wait for others than ${node}`).releaseStandby(request(0)),
      }),
      undo: {
        says: `Have commits wait for any one of those who stream again`,
        run: () => act(changing, 'Put synchronous_standby_names back').keepStandby(request(1)),
      },
    },
    {
      id: 'retire',
      says: `Stop ${node} for good, and drop its slot`,
      expectedMs: 500,
      run: async () => {
        const detail = await act(changing, `Stop ${node} for good`).retireStandby(request(2));
        onProtected(Date.now());
        return { detail };
      },
    },
  ];
}
