import { frontDoorWriters, Rig, startedUntil } from './support/rig';
import { sampleOf } from './support/sample';
import { cli, docker, look, POOLER, roles, thenAlways, waitUntil, whole } from './support/stack';

/** limits.hold of the topology, the pooler's extra wait for a writable node, and what a busy machine adds. */
const BOUND_MS = 5000 + 2000 + 8000;

/** Both workers and Temporal die at a point of the hold; what the clients live through, and how the run ends afterwards. */
describe('worker, second worker and Temporal are all killed inside the hold', () => {
  let rig: Rig;
  const began = new Date().toISOString();
  beforeAll(async () => {
    rig = await Rig.start();
    await whole();
  });
  afterAll(() => rig.close());

  test.each(sampleOf(['stop', 'received', 'fence', 'promote', 'promoting', 'route', 'confirm', 'release'], 4))(
    'killed before "%s": clients are let go in bounded time, and after their return the run ends right',
    async (part) => {
      const before = await roles();
      const env = rig.dying(`hold:${part}`);
      const workers = await Promise.all([rig.worker(env), rig.worker(env)]);
      const writers = frontDoorWriters(4, 25);
      await thenAlways(
        async () => {
          await writers.start();
          writers.beginWindow();
          const handle = await startedUntil(
            'a worker dying',
            () => workers.some((worker) => worker.process.signalCode === 'SIGKILL'),
            () => rig.start({ approval: 'given', soak: '0s' }),
          );
          await Promise.all([...workers.map((worker) => worker.kill()), rig.stand.killTemporal()]);
          await new Promise((resolve) => setTimeout(resolve, 200));

          // Nobody is left who could help. The agents let clients go.
          await waitUntil('clients being let go', async () => (await look()).pooler.console?.paused === false, 15_000);
          const soFar = writers.acknowledgedSoFar();
          await waitUntil('clients writing again', () => writers.acknowledgedSoFar() > soFar + 20, 15_000);
          await new Promise((resolve) => setTimeout(resolve, 1000));

          await rig.stand.startTemporal();
          const back = await rig.worker();
          const ended = await handle.result().then(
            (report) => (report as { outcome: string }).outcome,
            (error: { cause?: { type?: string; message?: string } }) => `${error.cause?.type}: ${error.cause?.message}`,
          );
          await back.stop();
          await whole();
          const seen = await writers.endWindow();

          // Forward where the promotion had been asked for, back where it had not.
          const after = await roles();
          const forward = ['promoting', 'route', 'confirm', 'release'].includes(part);
          if (forward) {
            expect(ended).toMatch(/^completed/);
            expect(after).toEqual({ primary: before.standby, standby: before.primary });
          } else {
            expect(ended).toMatch(/^RolledBack: /);
            expect(after).toEqual(before);
          }
          expect({ failed: seen.failed, lost: seen.lost, failures: seen.failures }).toEqual({
            failed: 0,
            lost: 0,
            failures: [],
          });
          expect(seen.gapMs).toBeLessThan(BOUND_MS);
        },
        async () => {
          await writers.stop();
          await Promise.all(workers.map((worker) => worker.kill()));
          await whole();
        },
      );
    },
  );

  test('PgBouncer itself hangs by then: its agent ends it soon after the limit, and clients connect again', async () => {
    const startedAt = () => docker('inspect', '-f', '{{.State.StartedAt}}', POOLER).trim();
    const env = rig.dying('hold:promote');
    const workers = await Promise.all([rig.worker(env), rig.worker(env)]);
    await thenAlways(
      async () => {
        const began = startedAt();
        const handle = await startedUntil(
          'a worker dying',
          () => workers.some(({ process: { signalCode } }) => signalCode === 'SIGKILL'),
          () => rig.start({ approval: 'given', soak: '0s' }),
        );
        await Promise.all([...workers.map((worker) => worker.kill()), rig.stand.killTemporal()]);
        // All but process 1, the agent.
        docker('exec', '-u', 'root', POOLER, 'sh', '-c', 'kill -s STOP -- -1');
        await waitUntil('PgBouncer started anew', () => startedAt() !== began, 40_000);
        expect(docker('logs', '--since', '2m', POOLER)).toContain('was ended: it hung');
        await rig.stand.startTemporal();
        const back = await rig.worker();
        await handle.result().catch(() => undefined);
        await back.stop();
        await waitUntil('clients going on', async () => (await look()).pooler.console?.paused === false);
      },
      async () => {
        await Promise.all(workers.map((worker) => worker.kill()));
        await whole();
      },
    );
  });

  test('the dead-man switch says what it did, in the status and in the log', async () => {
    expect(docker('logs', '--since', began, POOLER)).toMatch(/dead-man|let go/i);
    const { stdout } = await cli(['postgres', 'status', '-o', 'json']);
    expect(JSON.parse(stdout)).toMatchObject({ version: 1 });
  });
});
