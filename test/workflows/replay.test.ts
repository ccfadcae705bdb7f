import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DeterminismViolationError } from '@temporalio/workflow';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils';
import {
  bundleWorkflowCode,
  DefaultLogger,
  Runtime,
  Worker,
  type WorkflowBundleWithSourceMap,
} from '@temporalio/worker';

const folder = join(__dirname, '..', 'histories');
const names = readdirSync(folder)
  .filter((file) => file.endsWith('.json'))
  .map((file) => file.replace(/\.json$/, ''));

interface RecordedEvent {
  activityTaskScheduledEventAttributes?: { activityType: { name: string } };
}

/** A run that was recorded on a real server must go the same way through today's workflow: a worker may be replaced at any time. */
describe('recorded histories', () => {
  let workflowBundle: WorkflowBundleWithSourceMap;
  beforeAll(async () => {
    // The test that provokes a violation would print it.
    Runtime.install({
      logger: new DefaultLogger('ERROR'),
      telemetryOptions: { logging: { forward: {}, filter: 'OFF' } },
    });
    workflowBundle = await bundleWorkflowCode({
      workflowsPath: join(__dirname, '..', '..', 'src', 'workflows', 'index.ts'),
      logger: new DefaultLogger('ERROR'),
    });
  });

  const load = (name: string) =>
    JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')) as { events: RecordedEvent[] };

  test('there is one of each way in which a switchover can end without a fault', () => {
    expect(names).toEqual(
      expect.arrayContaining([
        'bad-input',
        'busy',
        'completed',
        'not-approved-in-time',
        'planned',
        'refused',
        'rejected',
      ]),
    );
  });

  test.each(names)('%s is replayed by the workflow of today', async (name) => {
    await Worker.runReplayHistory({ workflowBundle }, historyFromJSON(load(name)), `recorded/${name}`);
  });

  test('a workflow that would go another way is caught', async () => {
    const history = load('completed');
    const scheduled = history.events
      .map((event) => event.activityTaskScheduledEventAttributes)
      .find((attributes) => attributes?.activityType.name === 'prepareMove');
    if (scheduled === undefined) throw new Error('the recorded run has no prepareMove');
    scheduled.activityType.name = 'somethingElse';
    await expect(
      Worker.runReplayHistory({ workflowBundle }, historyFromJSON(history), 'recorded/completed'),
    ).rejects.toThrow(DeterminismViolationError);
  });
});
