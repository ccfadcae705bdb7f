import { setTimeout as sleep } from 'node:timers/promises';
import { Guarded } from './support/guarded';
import { frontDoorWriters } from './support/rig';
import { sampleOf } from './support/sample';
import { deps, docker, recovered, roles, waitUntil, whole } from './support/stack';

/**
 * After every activity of a failover with its rejoin, whose next one has not begun then, and the moments of its critical section. A
 * rewind and a copy, which a killed primary seldom needs, have theirs in rejoin.test.ts.
 */
const points = [
  ...[
    'describeCluster',
    'failOver',
    'recordPromotion',
    'lookAtRejoin',
    'startAsStandby',
    'settleRejoin',
    'verifyMove',
    'releaseNodes',
  ].map((activity) => `after:${activity}`),
  'before:failOver',
  ...[
    'hold',
    'look',
    'fence',
    'choose',
    'promote',
    'promoting',
    'promoted',
    'route',
    'release',
    'released',
    'confirm',
  ].map((part) => `failover:${part}`),
];

describe('the primary is killed, and whoever should help dies too', () => {
  let guarded: Guarded;
  beforeAll(async () => {
    guarded = await Guarded.start();
    await whole();
  });
  afterAll(() => guarded.close());
  afterEach(async () => {
    await guarded.rest();
    await recovered();
  }, 240_000);

  async function underLoad(body: () => Promise<void>): Promise<void> {
    const writers = frontDoorWriters(4, 25);
    try {
      await writers.start();
      writers.beginWindow();
      await body();
      const before = writers.acknowledgedSoFar();
      await waitUntil('clients writing again', () => writers.acknowledgedSoFar() > before + 20, 60_000);
      const seen = await writers.endWindow();
      expect({ lost: seen.lost, failures: seen.lost === 0 ? [] : seen.failures }).toEqual({ lost: 0, failures: [] });
      expect(seen.acknowledged).toBeGreaterThan(20);
    } finally {
      await writers.stop();
    }
  }

  test.each(sampleOf(points, 6))(
    'a worker is killed at %s, and a second one goes on: the failover completes',
    async (point) => {
      const before = await roles();
      const workers = await guarded.work(2, guarded.rig.dying(point));
      await guarded.guard();
      await underLoad(async () => {
        docker('kill', before.primary);
        await guarded.protectedBy(before.standby);
      });
      expect(workers.filter(({ process }) => process.signalCode === 'SIGKILL')).toHaveLength(1);
      expect((await guarded.report()).outcome).toMatch(/^completed/);
      expect(await roles()).toEqual({ primary: before.standby, standby: before.primary });
    },
  );

  test('the only worker and the primary at the same moment: the next worker finds it out, and fails over', async () => {
    const before = await roles();
    const [only] = await guarded.work(1);
    await guarded.guard();
    await underLoad(async () => {
      // No command line between the two: a ledger that was confirmed more than a second before the end proves nothing.
      await Promise.all([deps.docker.kill(before.primary), only?.kill()]);
      await sleep(2000);
      await guarded.work(1);
      await guarded.protectedBy(before.standby);
    });
    expect(await roles()).toEqual({ primary: before.standby, standby: before.primary });
  });

  test('Temporal is down during the fault: nothing happens until it is back, then the failover does', async () => {
    const before = await roles();
    await guarded.work(1);
    await guarded.guard();
    await underLoad(async () => {
      await guarded.rig.stand.killTemporal();
      docker('kill', before.primary);
      await sleep(3000);
      expect(docker('inspect', '-f', '{{.State.Running}}', before.primary).trim()).toBe('false');
      await guarded.rig.stand.startTemporal();
      await guarded.protectedBy(before.standby, 120_000);
    });
    expect(await roles()).toEqual({ primary: before.standby, standby: before.primary });
  }, 300_000);

  test('a switchover is under way when the primary dies: it ends, and there is one primary with every row', async () => {
    const before = await roles();
    await guarded.work(2);
    await guarded.guard();
    await underLoad(async () => {
      const handle = await guarded.rig.start({ approval: 'given', soak: '0s', target: before.standby });
      await sleep(150);
      docker('kill', before.primary);
      await handle.result().catch(() => undefined);
      await guarded.until(
        'a protected primary',
        ({ ledger, acting, mending }) =>
          acting === undefined &&
          mending?.acting === undefined &&
          ledger.state === 'protected' &&
          ledger.synchronous.length === 1,
        150_000,
      );
    });
    await whole(120_000);
  }, 400_000);
});
