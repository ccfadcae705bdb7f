import type { WorkflowHandle } from '@temporalio/client';
import { activeNodes } from '../../src/bench/active';
import { OrderLoad, type LoadResult } from '../../src/bench/order-load';
import type { Started } from '../../src/bench/stand';
import { loadTarget } from '../../src/bench/target';
import type { Tier } from '../../src/cluster/maintenance/sides';
import type { MaintenanceInput } from '../../src/workflows/maintenance-input';
import { moveBackUpdate } from '../../src/workflows/maintenance-messages';
import { statusQuery } from '../../src/workflows/messages';
import type { Report, RunState } from '../../src/workflows/run-state';
import { Rig } from './support/rig';
import { recoveredRedis } from './support/redis';
import { cli, cluster, waitUntil, whole } from './support/stack';

const target = loadTarget();
const haproxy = present(cluster.haproxy);
const tiers: readonly Tier[] = ['engine', 'redis', 'postgres'];
let rig: Rig;
let counter = 0;
let open: WorkflowHandle | undefined;
/** Of the test that runs: a worker that a failed test left would do the next one's work. */
const workers: Started[] = [];
const work = async (env?: NodeJS.ProcessEnv): Promise<void> => void workers.push(await rig.worker(env));

/** @throws Error when the topology lacks it */
function present<T>(section: T | undefined): T {
  if (section === undefined) throw new Error('the topology has no engines behind a HAProxy');
  return section;
}

/** Who is active in every tier, once each has exactly one and the others could take over. */
async function settled(): Promise<Record<Tier, string>> {
  await whole();
  await recoveredRedis();
  let active: Partial<Record<Tier, string>> = {};
  await waitUntil('one node being active in every tier', async () => {
    active = await activeNodes(target);
    return tiers.every((tier) => active[tier] !== undefined);
  });
  return active as Record<Tier, string>;
}

/** Orders through HAProxy while something happens. The client sends each of them once. */
async function underOrders(body: () => Promise<void>): Promise<LoadResult> {
  const load = new OrderLoad(haproxy.address, `e2e-${process.pid}-${Date.now()}-${++counter}`, 100);
  load.start();
  try {
    await waitUntil('the first orders', () => load.soFar().acknowledged > 50);
    await body();
  } finally {
    await load.stop();
  }
  return load.result(target.door, target.login);
}

const nothingLost = { failed: 0, failures: {}, lost: 0, duplicates: 0, unacknowledged: 0 };

async function start(input: MaintenanceInput): Promise<WorkflowHandle> {
  open = await rig.client.workflow.start('maintenance', {
    taskQueue: rig.stand.taskQueue,
    workflowId: `maintenance/e2e-${process.pid}-${++counter}`,
    args: [{ approval: 'given', soak: '0s', startedBy: 'e2e', ...input } satisfies MaintenanceInput],
  });
  return open;
}

async function held(handle: WorkflowHandle): Promise<RunState> {
  let state: RunState | undefined;
  await waitUntil('everything being moved away', async () => {
    state = await handle.query<RunState>(statusQuery.name);
    return state.phase === 'held' || state.phase === 'ended';
  });
  return state as RunState;
}

beforeAll(async () => {
  rig = await Rig.start();
});
afterAll(() => rig.close());
afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.kill()));
  // One that a failed test left under way would make the next one busy. Its lock goes with it.
  await open?.terminate('the test is over').catch(() => undefined);
  open = undefined;
});

test('moves engine, Redis and PostgreSQL away under orders, holds, and moves them back: no order fails or is lost', async () => {
  await work();
  const before = await settled();
  let away: RunState | undefined;
  let report: Report | undefined;
  const orders = await underOrders(async () => {
    const handle = await start({ nodes: Object.values(before) });
    away = await held(handle);
    const now = await settled();
    for (const tier of tiers) expect([tier, now[tier] === before[tier]]).toEqual([tier, false]);
    await handle.executeUpdate(moveBackUpdate.name);
    report = (await handle.result()) as Report;
  });
  expect(orders).toMatchObject(nothingLost);
  expect(away?.maintenance?.trouble).toBeUndefined();
  expect(report).toMatchObject({ outcome: 'completed', maintenance: { away: [] } });
  expect(report?.maintenance?.moves.map(({ tier, back }) => [tier, back])).toEqual([
    ...tiers.map((tier) => [tier, false]),
    ...[...tiers].reverse().map((tier) => [tier, true]),
  ]);
  for (const { heldMs } of report?.maintenance?.moves ?? []) expect(heldMs).toEqual(expect.any(Number));
  expect(await settled()).toEqual(before);
});

test('a worker that dies in the middle of a move costs no order: another one goes on, and nothing is moved twice', async () => {
  const before = await settled();
  const dying = rig.dying('hold:demote');
  await Promise.all([work(dying), work(dying)]);
  let report: Report | undefined;
  const orders = await underOrders(async () => {
    const handle = await start({ nodes: Object.values(before), back: 'never' });
    report = (await handle.result()) as Report;
  });
  expect(workers.filter(({ process: { signalCode } }) => signalCode !== null)).toHaveLength(1);
  expect(orders).toMatchObject(nothingLost);
  expect(report).toMatchObject({ outcome: expect.stringContaining('completed') as string });
  expect(report?.maintenance?.moves.map(({ tier }) => tier)).toEqual(tiers);
  const now = await settled();
  // Engines decide themselves: where the machine stands still for longer than the lock in Redis lives (2 s), the other one takes over, and
  // that the run moved the engine once stands in its report.
  expect([now.redis === before.redis, now.postgres === before.postgres]).toEqual([false, false]);
});

test('on the command line: started, held, shown, refused a second time, and finished', async () => {
  await work();
  const { engine } = await settled();
  const started = await cli(['maintenance', 'start', '--node', engine, '--yes', '--soak', '0s'], rig.env);
  expect(started).toMatchObject({ code: 0, stdout: expect.stringContaining('held') as string });
  const shown = await cli(['maintenance', 'status', '-o', 'json'], rig.env);
  expect(JSON.parse(shown.stdout)).toMatchObject({
    maintenance: { phase: 'held', maintenance: { away: [{ tier: 'engine', from: engine }] } },
  });
  const second = await cli(['maintenance', 'start', '--side', '1', '--yes'], rig.env);
  expect(second).toMatchObject({ code: 4, stdout: expect.stringContaining('E1') as string });
  const finished = await cli(['maintenance', 'finish', '--reason', 'it stays'], rig.env);
  expect(finished).toMatchObject({ code: 0, stdout: expect.stringContaining('nothing was moved back') as string });
  expect((await settled()).engine).not.toBe(engine);
});
