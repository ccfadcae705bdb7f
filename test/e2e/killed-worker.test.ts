import type { Report } from '../../src/workflows/run-state';
import { frontDoorWriters, Rig, startedUntil } from './support/rig';
import { sampleOf } from './support/sample';
import { roles, thenAlways, whole } from './support/stack';

/** After every activity of the runbook, whose next one has not begun then, and in every sub-step of the hold. */
const points = [
  ...[
    'describeCluster',
    'observe',
    'prepareMove',
    'checkpointNodes',
    'movePrimary',
    'settleMove',
    'verifyMove',
    'releaseNodes',
  ].map((activity) => `after:${activity}`),
  'before:movePrimary',
  ...[
    'open',
    'flush',
    'hold',
    'stop',
    'received',
    'fence',
    'promote',
    'promoting',
    'promoted',
    'route',
    'restart',
    'confirm',
    'release',
    'released',
  ].map((part) => `hold:${part}`),
];
/**
 * Half a second until the death is noticed, and the rest of the move: a second or two (docs/benchmarks.md). Only a hold that ended
 * by its dead-man switch would be longer than this, however busy the machine is.
 */
const HELD_LIMIT_MS = 5000;

describe('a worker is killed in the middle of a switchover, and a second one is running', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await Rig.start();
    await whole();
  });
  afterAll(() => rig.close());

  test.each(sampleOf(points, 6))(
    'killed at %s: the run completes, roles are right, no transaction fails, no row is lost',
    async (point) => {
      const before = await roles();
      const env = rig.dying(point);
      const workers = await Promise.all([rig.worker(env), rig.worker(env)]);
      const writers = frontDoorWriters(4, 25);
      await thenAlways(
        async () => {
          await writers.start();
          writers.beginWindow();
          const handle = await startedUntil(
            'a worker dying',
            () => workers.some((worker) => worker.process.signalCode === 'SIGKILL'),
            () => rig.start({ approval: 'given', soak: '0s', startedBy: 'e2e' }),
          );
          const report = (await handle.result()) as Report;
          await new Promise((resolve) => setTimeout(resolve, 200));
          const seen = await writers.endWindow();

          expect(workers.filter((worker) => worker.process.signalCode === 'SIGKILL')).toHaveLength(1);
          expect(report.outcome).toMatch(/^completed/);
          expect(await roles()).toEqual({ primary: before.standby, standby: before.primary });
          expect({ failed: seen.failed, lost: seen.lost, failures: seen.failures }).toEqual({
            failed: 0,
            lost: 0,
            failures: [],
          });
          expect(seen.acknowledged).toBeGreaterThan(50);
          expect(seen.gapMs).toBeLessThan(HELD_LIMIT_MS);
        },
        async () => {
          await writers.stop();
          await Promise.all(workers.map((worker) => worker.kill()));
          await whole();
        },
      );
    },
  );
});
