import { main } from '../../src/cli/main';
import { maintenanceInput } from '../../src/cli/actions/maintenance';
import { TASK_QUEUE } from '../../src/workflows/messages';
import type { Report, RunState } from '../../src/workflows/run-state';
import { ENGINES, REDIS } from '../cluster/maintenance/tiers';
import { PRIMARY, STANDBY } from '../cluster/support/picture';
import { ended, MaintainedCluster } from '../workflows/support/maintained-cluster';
import { WorkflowServer } from '../workflows/support/server';
import { fakeCli, fakeIo } from './fake-io';

describe('what is typed', () => {
  const cli = fakeCli({}, fakeIo({ env: { SUDO_USER: 'ops' } }));
  const ops = expect.stringMatching(/^ops@/) as string;

  test('every option reaches the input, and what was not given is left to the run', () => {
    expect(
      maintenanceInput(cli, {
        node: [PRIMARY, ENGINES[0]],
        back: 'on-request',
        hold: '2h',
        cluster: 'veloz',
        soak: '0s',
        approvalTimeout: '5m',
        yes: true,
        reason: 'kernel',
        ticket: 'OPS-1',
      }),
    ).toEqual({
      nodes: [PRIMARY, ENGINES[0]],
      back: 'on request',
      hold: '2h',
      cluster: 'veloz',
      mode: 'run',
      approval: 'given',
      approvalTimeout: '5m',
      soak: '0s',
      startedBy: ops,
      reason: 'kernel',
      ticket: 'OPS-1',
    });
    expect(Object.keys(maintenanceInput(cli, { side: 2 }))).toEqual(['mode', 'approval', 'startedBy', 'side']);
  });

  test.each([
    [{}, 'nothing says what is to be cleared'],
    [{ side: 1 as const, node: ['a'] }, 'both side and nodes are given'],
    [{ side: 1 as const, back: 'never' as const, hold: '1h' }, 'hold is given, but back is never'],
  ])('not %j', (options, says) => {
    expect(() => maintenanceInput(cli, options)).toThrow(says);
  });
});

/** The commands against a real server, with a worker whose tiers are stand-ins. */
describe('the commands', () => {
  let server: WorkflowServer;
  let cluster: MaintainedCluster;
  beforeAll(async () => {
    server = await WorkflowServer.start(require.resolve('../workflows/support/maintenance-workflows'));
  });
  afterAll(() => server.close());
  beforeEach(() => {
    cluster = new MaintainedCluster(server);
  });

  async function run(line: string) {
    const io = fakeIo({
      env: {
        TEMPORAL_ADDRESS: server.address,
        TEMPORAL_DISABLE_CONFIG_FILE: '1',
        VELOZ_HA_TOPOLOGY: '/none',
        SUDO_USER: 'ada',
      },
    });
    const code = await main(`maintenance ${line} --cluster ${cluster.name}`.split(' '), io);
    return { code, out: io.out(), err: io.err() };
  }
  const withWorker = (body: () => Promise<void>) => server.withWorker(cluster.activities(), body, TASK_QUEUE);

  test('start ends its waiting when everything is held, status tells, back brings all home', () =>
    withWorker(async () => {
      expect(await run('status')).toMatchObject({
        code: 0,
        out: expect.stringContaining('No maintenance of') as string,
      });
      expect(await run('back')).toMatchObject({
        code: 3,
        err: expect.stringContaining(
          `Next: veloz-ha maintenance start --side 1 --cluster ${cluster.name} [Refused]`,
        ) as string,
      });

      const started = await run('start --side 1 --yes --reason kernel');
      expect([started.code, started.err]).toEqual([0, '']);
      expect(started.out).toContain(`Move PostgreSQL from ${PRIMARY} to ${STANDBY}`);
      expect(started.out).toContain(`veloz-ha maintenance back --cluster ${cluster.name}`);

      const status = await run('status');
      expect(status.code).toBe(0);
      expect(status.out).toMatch(/side 1, held/);
      expect(status.out).toContain(`active engine ${ENGINES[0]} → ${ENGINES[1]}`);
      expect(status.out).toMatch(/Reason\s+kernel/);
      expect(status.out).toMatch(/By\s+ada@/);
      const document = JSON.parse((await run('status -o json')).out) as { version: number; maintenance: RunState };
      expect(document).toMatchObject({ version: 1, maintenance: { phase: 'held', maintenance: { scope: 'side 1' } } });

      const second = await run('start --side 2 --yes');
      expect([second.code, second.out]).toEqual([4, expect.stringContaining('another maintenance of cluster')]);

      const back = await run('back --reason done');
      expect([back.code, back.err]).toEqual([0, '']);
      expect(back.out).toContain('moving back, one tier after the other: PostgreSQL, then Redis, then the engine');
      expect(back.out).toContain(`Move the engine back from ${ENGINES[1]} to ${ENGINES[0]}`);
      expect(back.out).toMatch(/Still away\s+nothing/);
      expect(cluster.active).toEqual({ engine: ENGINES[0], redis: REDIS[0], postgres: PRIMARY });
    }));

  test('start that stopped on its way, and back that could not, exit 5; finish ends it', () =>
    withWorker(async () => {
      cluster.fails.set('run postgres', () => ended('Refused', 'refused', 'B5: it is behind. Next: see there'));
      const started = await run('start --side 1 --yes -o json');
      expect(started.code).toBe(5);
      const { maintenance } = JSON.parse(started.out) as { maintenance: RunState };
      expect(maintenance.maintenance?.trouble).toContain('not moved: PostgreSQL');

      cluster.fails.set('plan redis', () => ended('Refused', 'refused', 'L1: no replica. Next: see here'));
      const back = await run('back -q');
      expect([back.code, back.out]).toEqual([5, expect.stringContaining('L1: no replica')]);

      const finished = await run('finish -o json');
      expect(finished.code).toBe(5);
      expect(JSON.parse(finished.out) as Report).toMatchObject({
        outcome: 'incomplete',
        maintenance: { away: [{ tier: 'engine' }, { tier: 'redis' }] },
      });
      expect((await run('status -o json')).out).toContain('"maintenance": null');
    }));

  test('a plan exits 0 and moves nothing; without a terminal --yes is needed', () =>
    withWorker(async () => {
      const plan = await run('start --side 1 --plan');
      expect([plan.code, plan.out]).toEqual([0, expect.stringContaining('PLANNED')]);
      expect(plan.out).toContain('move everything that is active away from side 1');
      const asked = await run('start --side 1');
      expect([asked.code, asked.err]).toEqual([
        2,
        expect.stringContaining(`veloz-ha maintenance start --side 1 --cluster ${cluster.name} --yes`),
      ]);
      expect(cluster.moved).toEqual([]);
    }));
});
