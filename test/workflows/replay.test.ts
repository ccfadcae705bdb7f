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
import { redisTopology } from '../cluster/redis/picture';

const folder = join(__dirname, '..', 'histories');
const names = readdirSync(folder)
  .filter((file) => file.endsWith('.json'))
  .map((file) => file.replace(/\.json$/, ''));

interface RecordedEvent {
  workflowExecutionStartedEventAttributes?: { workflowId: string };
  activityTaskScheduledEventAttributes?: { activityType: { name: string } };
  activityTaskCompletedEventAttributes?: { result?: { payloads?: { data: string }[] } };
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

  const replay = (history: { events: RecordedEvent[] }) => {
    const id = history.events[0]?.workflowExecutionStartedEventAttributes?.workflowId;
    return Worker.runReplayHistory({ workflowBundle }, historyFromJSON(history), id);
  };

  test('there is one of each way in which a run can go without a fault in what carries it out', () => {
    const switchovers = ['bad-input', 'busy', 'completed', 'not-approved-in-time', 'planned', 'refused', 'rejected'];
    const failovers = ['failover-by-guard', 'failover-approved', 'failover-rejected', 'failover-refused'];
    const rejoins = ['rejoin-nothing-to-do', 'rejoin-copied', 'rejoin-refused'];
    const engines = ['planned', 'completed', 'rejected', 'refused', 'drained', 'readied', 'back'].map(
      (name) => `engine-${name}`,
    );
    const redis = ['planned', 'completed', 'rejected', 'refused', 'nothing-to-do', 'forced', 'repaired', 'there'].map(
      (name) => `redis-${name}`,
    );
    const repairs = ['nothing-to-do', 'planned', 'rejected', 'completed', 'primary', 'refused'].map(
      (name) => `repair-${name}`,
    );
    const maintenances = ['planned', 'rejected', 'completed', 'finished'].map((name) => `maintenance-${name}`);
    expect(names).toEqual(
      expect.arrayContaining([
        ...[...switchovers, 'guard', ...failovers, ...rejoins, ...engines, ...redis],
        ...[...repairs, ...maintenances],
      ]),
    );
  });

  test.each(names)('%s is replayed by the workflow of today', async (name) => {
    await replay(load(name));
  });

  test('a guard that was started before Redis was watched goes on as it began', async () => {
    const history = load('guard');
    const result = history.events
      .map((event) => event.activityTaskCompletedEventAttributes?.result?.payloads?.[0])
      .find((payload) => payload !== undefined);
    if (result === undefined) throw new Error('the recorded guard read no topology');
    const described = JSON.parse(Buffer.from(result.data, 'base64').toString()) as { topology: object };
    Object.assign(described.topology, { redis: { ...redisTopology(), limits: {} } });
    result.data = Buffer.from(JSON.stringify(described)).toString('base64');
    await replay(history);
  });

  test.each([
    ['completed', 'prepareMove'],
    ['guard', 'watchCluster'],
    ['failover-by-guard', 'recordPromotion'],
    ['rejoin-copied', 'rewindOrCopy'],
  ])('a workflow that would go another way than %s is caught', async (name, activity) => {
    const history = load(name);
    const scheduled = history.events
      .map((event) => event.activityTaskScheduledEventAttributes)
      .find((attributes) => attributes?.activityType.name === activity);
    if (scheduled === undefined) throw new Error(`the recorded run has no ${activity}`);
    scheduled.activityType.name = 'somethingElse';
    await expect(replay(history)).rejects.toThrow(DeterminismViolationError);
  });
});
