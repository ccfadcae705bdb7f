import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { topologyPath } from '../../src/systems/topology-file';
import type { FailoverInput } from '../../src/workflows/failover-input';
import type { Report } from '../../src/workflows/run-state';
import type { RepairInput } from '../../src/workflows/standby-input';
import { frontDoorWriters, Rig, startedUntil } from './support/rig';
import { docker, fingerprint, look, POOLER, psql, recovered, roles, waitUntil, whole } from './support/stack';
import { sampled } from './support/sample';

/** Somebody accepts whatever is lost: without a guard there is no ledger, and a failover would be refused. */
const anyLoss = { maxBytes: Number.MAX_SAFE_INTEGER, reason: 'the scenario', by: 'e2e' };

/** A run ends in its middle with its only worker: nobody goes on, and nothing is undone. Then somebody repairs. */
describe('a run is terminated in its middle, and the cluster is repaired', () => {
  let rig: Rig;
  const folder = mkdtempSync(join(tmpdir(), 'veloz-ha-repair-'));
  // The dead-man switches of what is terminated act soon.
  const env = holding('2s');
  let counter = 0;
  beforeAll(async () => {
    rig = await Rig.start();
    await whole();
  });
  afterAll(async () => {
    await rig.close();
    rmSync(folder, { recursive: true, force: true });
  });

  afterEach(() => recovered());

  /** For a worker: a topology in which clients are held for so long at most. */
  function holding(limit: string): { VELOZ_HA_TOPOLOGY: string } {
    const file = join(folder, `${limit}.yaml`);
    const topology = parse(readFileSync(topologyPath(), 'utf8')) as { clusters: { veloz: object } };
    Object.assign(topology.clusters.veloz, { soak: '0s', limits: { hold: limit } });
    writeFileSync(file, stringify(topology));
    return { VELOZ_HA_TOPOLOGY: file };
  }

  const start = (type: string, input: object) =>
    rig.client.workflow.start(type, {
      taskQueue: rig.stand.taskQueue,
      workflowId: `${type}/e2e/${++counter}`,
      args: [{ approval: 'given', soak: '0s', startedBy: 'e2e', ...input }],
    });

  /** Starts a run whose only worker dies at that point, and terminates it there. */
  async function dies(at: string, type: string, input: object = {}, topology = env): Promise<void> {
    const worker = await rig.worker({ ...topology, ...rig.dying(at) });
    const dead = () => worker.process.signalCode === 'SIGKILL';
    const handle = await startedUntil(`the worker dying at ${at}`, dead, () => start(type, input));
    await handle.terminate('ended in its middle by the test');
  }

  async function failOver(at: string): Promise<void> {
    const { primary } = await roles();
    docker('kill', primary);
    const input: FailoverInput = { expectedPrimary: primary, allowDataLoss: anyLoss };
    await dies(at, 'failover', input);
  }

  /** Repairs with a worker of its own, and proves that a second repair has nothing to do. */
  async function repair(input: RepairInput = {}): Promise<Report> {
    const worker = await rig.worker(env);
    try {
      const report = (await (await start('repair', input)).result()) as Report;
      const again = (await (await start('repair', {})).result()) as Report;
      expect({ outcome: again.outcome, steps: again.steps }).toEqual({ outcome: 'completed', steps: [] });
      expect(again.says).toContain('Nothing was changed');
      return report;
    } finally {
      await worker.kill();
    }
  }

  /** Clients write while `body` ends a run and repairs; whatever they were told is written stays. */
  async function underLoad(body: () => Promise<Report>): Promise<Report> {
    const writers = frontDoorWriters(4, 25);
    try {
      await writers.start();
      writers.beginWindow();
      const report = await body();
      const soFar = writers.acknowledgedSoFar();
      await waitUntil('clients writing again', () => writers.acknowledgedSoFar() > soFar + 20, 30_000);
      const seen = await writers.endWindow();
      expect({ lost: seen.lost, failures: seen.lost === 0 ? [] : seen.failures }).toEqual({ lost: 0, failures: [] });
      expect(seen.acknowledged).toBeGreaterThan(20);
      expect(report.outcome).toMatch(/^completed/);
      await whole(5000);
      const { nodes, pooler } = await look();
      expect([...nodes, pooler].map(({ agent }) => agent?.claimedBy ?? null).filter((run) => run !== null)).toEqual([]);
      return report;
    } finally {
      await writers.stop();
    }
  }

  sampled.each(['hold:stop', 'hold:promote'])(
    'a switchover at %s: one primary, synchronous, clients go on, no row is lost',
    async (point) => {
      const before = await roles();
      await underLoad(async () => {
        await dies(point, 'switchover');
        return repair();
      });
      expect(await roles()).toEqual(before);
    },
  );

  sampled.each(['failover:look', 'failover:promote'])(
    'a failover at %s: one primary, synchronous, clients go on, no row is lost',
    async (point) => {
      const before = await roles();
      await underLoad(async () => {
        await failOver(point);
        return repair();
      });
      // Nobody was promoted: the old primary has everything, and is the primary again, fenced or not.
      expect(await roles()).toEqual(before);
    },
  );

  sampled.each([
    ['dead', 'kill'],
    ['frozen', 'pause'],
  ])(
    'the target is %s when the fenced source gives up: of two standbys the most advanced is promoted',
    async (_, fault) => {
      const before = await roles();
      const report = await underLoad(async () => {
        await dies('hold:promote', 'switchover', {}, holding('4s'));
        // The engine's freezer fails now and then while processes come and go in the container.
        await waitUntil('the fault', () => docker(fault, before.standby) !== '', 3000);
        await waitUntil('the source being a standby', async () =>
          (await look()).nodes.some(({ name, sql }) => name === before.primary && sql?.inRecovery === true),
        );
        return repair();
      });
      expect(report.steps.map(({ id }) => id)).toEqual(
        expect.arrayContaining([`wake ${before.standby}`, 'promote', 'verify']),
      );
    },
  );

  sampled(
    'a switchover after the promotion: the plan comes first, is asked for, and touches nothing; then it is carried out',
    async () => {
      const before = await roles();
      await underLoad(async () => {
        await dies('hold:promoted', 'switchover');
        await waitUntil('the dead-man switches having acted', async () => {
          const { nodes, pooler } = await look();
          return pooler.agent?.holdRun === null && nodes.every(({ agent }) => agent === null || agent.desired === 'up');
        });
        const was = await fingerprint();
        const worker = await rig.worker(env);
        try {
          const planned = (await (await start('repair', { mode: 'plan' })).result()) as Report;
          expect(planned).toMatchObject({ outcome: 'planned', plan: { primary: before.standby } });
          expect(planned.plan?.steps.length).toBeGreaterThan(1);
          const handle = await start('repair', { approval: 'required', approvalTimeout: '300ms' });
          await expect(handle.result()).rejects.toMatchObject({ cause: { type: 'NotApproved' } });
          expect(await fingerprint()).toEqual(was);
        } finally {
          await worker.kill();
        }
        return repair();
      });
      expect((await roles()).primary).toBe(before.standby);
    },
  );

  test('the pooler is killed: it is started, and so is the standby that was stopped; clients write', async () => {
    const before = await roles();
    await underLoad(async () => {
      docker('kill', POOLER);
      docker('stop', before.standby);
      const report = await repair();
      expect(report.steps.map(({ id }) => id)).toEqual(expect.arrayContaining(['start pooler', 'verify']));
      return report;
    });
    expect(await roles()).toEqual(before);
  });

  test('the pooler is killed and two nodes take writes: nobody is let in before a person has decided', async () => {
    const before = await roles();
    await underLoad(async () => {
      docker('kill', POOLER);
      psql(before.standby, 'SELECT pg_promote(true, 10)');
      const worker = await rig.worker(env);
      try {
        await expect((await start('repair', {})).result()).rejects.toMatchObject({
          cause: { type: 'Refused', message: expect.stringContaining(`${POOLER} stays down`) as unknown },
        });
        expect((await look()).pooler.container?.status).toBe('exited');
      } finally {
        await worker.kill();
      }
      docker('stop', before.primary);
      const report = await repair();
      expect(report.steps.map(({ id }) => id)).toEqual(expect.arrayContaining(['start pooler', 'verify']));
      return report;
    });
    expect(await roles()).toEqual({ primary: before.standby, standby: before.primary });
  });

  sampled('a failover after the promotion, and then the repair in its own middle too: it is run again', async () => {
    const before = await roles();
    await underLoad(async () => {
      await failOver('failover:promoted');
      await dies('before:startAsStandby', 'repair');
      return repair();
    });
    expect(await roles()).toEqual({ primary: before.standby, standby: before.primary });
  });
});
