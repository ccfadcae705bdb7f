import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { OrderLoad, type LoadResult } from '../../src/bench/order-load';
import { packageRoot } from '../../src/cli/paths';
import { createHaproxyClient } from '../../src/systems/haproxy';
import { createEngineClient, type EngineHealthAnswer } from '../../src/systems/engine';
import { readSecret } from '../../src/systems/secrets';
import type { Report } from '../../src/workflows/run-state';
import { failureOf, Rig } from './support/rig';
import { sampled as test } from './support/sample';
import { cli, cluster, docker, thenAlways, waitUntil, wake } from './support/stack';

const engines = present(cluster.engines);
const haproxy = present(cluster.haproxy);
const names = engines.nodes.map(({ name }) => name);
const proxy = createHaproxyClient(haproxy.runtime);
const token = () => readSecret('VELOZ_ENGINE_ADMIN_TOKEN', process.env);
const pooler = cluster.pgbouncer.nodes[0]!.address;
const login = {
  user: cluster.postgres.client.user,
  password: readSecret(cluster.postgres.client.passwordFrom, process.env),
  database: cluster.postgres.database,
};
/** A container's address, in a template of `docker inspect`. */
const ADDRESS = '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}';
let rig: Rig;
let counter = 0;

/** @throws Error when the topology lacks it */
function present<T>(section: T | undefined): T {
  if (section === undefined) throw new Error('the topology has no engines behind a HAProxy');
  return section;
}

const healths = () =>
  Promise.all(
    engines.nodes.map(({ address }) =>
      createEngineClient(address, token)
        .health()
        .catch(() => undefined),
    ),
  );

/** Waits until one engine is active and the other one could take over, and HAProxy has both in service. */
async function actors(): Promise<{ active: EngineHealthAnswer; standby: EngineHealthAnswer }> {
  let found: { active: EngineHealthAnswer; standby: EngineHealthAnswer } | undefined;
  await waitUntil('one engine being active, the other able to take over, and both in service', async () => {
    const seen = (await healths()).filter((health) => health !== undefined);
    const active = seen.find(({ role }) => role === 'active');
    const standby = seen.find(({ role, httpStatus }) => role === 'standby' && httpStatus === 200);
    if (active === undefined || standby === undefined) return false;
    found = { active, standby };
    const servers = await proxy.servers(haproxy.backend);
    return (
      servers.every(({ admin }) => admin === 'ready') && servers.find(({ name }) => name === active.node)?.up === true
    );
  });
  return found!;
}

/** Orders through HAProxy while something happens. The client sends each of them once. */
async function underOrders(body: () => Promise<void>, rate = 200): Promise<LoadResult> {
  const load = new OrderLoad(haproxy.address, `e2e-${process.pid}-${Date.now()}-${++counter}`, rate);
  load.start();
  try {
    await waitUntil('the first orders', () => load.soFar().acknowledged > 50);
    await body();
    await sleep(500);
  } finally {
    await load.stop();
  }
  return load.result(pooler, login);
}

const nothingLost = { failed: 0, failures: {}, lost: 0, duplicates: 0, unacknowledged: 0 };

function start(workflow: string, input: object = {}) {
  return rig.client.workflow.start(workflow, {
    taskQueue: rig.stand.taskQueue,
    workflowId: `${workflow}/e2e-${process.pid}-${++counter}`,
    args: [{ approval: 'given', soak: '0s', startedBy: 'e2e', ...input }],
  });
}
const run = async (workflow: string, input?: object) => (await (await start(workflow, input)).result()) as Report;

beforeAll(async () => {
  rig = await Rig.start();
  await actors();
});
afterAll(() => rig.close());
afterEach(async () => {
  wake(names);
  for (const { address, name } of engines.nodes) {
    await createEngineClient(address, token)
      .undrain('e2e')
      .catch(() => undefined);
    await proxy.setState(haproxy.backend, name, 'ready');
    await proxy.restoreWeight(haproxy.backend, name);
    await proxy.enableChecks(haproxy.backend, name);
  }
  await actors();
});

describe('a planned switchover of the engines', () => {
  test('fails no order and loses none; the old engine is hot standby afterwards', async () => {
    const worker = await rig.worker();
    const { active, standby } = await actors();
    let report: Report | undefined;
    const orders = await underOrders(async () => {
      report = await run('engineSwitchover');
    });
    await worker.stop();
    expect(orders).toMatchObject(nothingLost);
    expect(Object.keys(orders.byEngine).sort()).toEqual([...names].sort());
    expect(report).toMatchObject({
      outcome: 'completed',
      primaryBefore: active.node,
      primaryAfter: standby.node,
      epochBefore: active.epoch,
      epochAfter: active.epoch + 1,
      heldMs: expect.any(Number) as number,
    });
    expect((await actors()).active.node).toBe(standby.node);
  });

  // Each of the points is shown without a stack; here those at which most is left half done.
  test.each(['hold:drain', 'hold:hand over', 'after:handOverEngine'])(
    'a worker that dies at %s costs no order: the other one goes on',
    async (point) => {
      const dying = rig.dying(point);
      const workers = await Promise.all([rig.worker(dying), rig.worker(dying)]);
      const { active, standby } = await actors();
      let report: Report | undefined;
      const orders = await underOrders(async () => {
        report = await run('engineSwitchover');
      });
      expect(
        workers.filter(({ process: { exitCode, signalCode } }) => exitCode !== null || signalCode !== null),
      ).toHaveLength(1);
      await Promise.all(workers.map((worker) => worker.kill()));
      expect(orders).toMatchObject(nothingLost);
      expect(report).toMatchObject({ primaryAfter: standby.node, epochAfter: active.epoch + 1 });
      await actors();
    },
  );

  test('every worker dying with requests held costs no order: HAProxy lets go, and the run ends when a worker is back', async () => {
    const worker = await rig.worker(rig.dying('hold:hand over'));
    const { active, standby } = await actors();
    const handle = await start('engineSwitchover');
    const orders = await underOrders(async () => {
      await waitUntil('the worker being dead', () => worker.process.signalCode !== null);
      await waitUntil('HAProxy ending the drain by itself', async () =>
        (await proxy.servers(haproxy.backend)).every(({ admin }) => admin === 'ready'),
      );
      expect((await actors()).active.node).toBe(active.node);
    });
    expect(orders).toMatchObject(nothingLost);
    const another = await rig.worker();
    expect((await handle.result()) as Report).toMatchObject({ primaryAfter: standby.node });
    await another.stop();
  });

  test('the active engine dying in the middle costs no order', async () => {
    const worker = await rig.worker();
    const { active, standby } = await actors();
    const orders = await underOrders(async () => {
      const handle = await start('engineSwitchover');
      await waitUntil('the drain', async () => {
        const servers = await proxy.servers(haproxy.backend);
        return (
          servers.some(({ admin }) => admin === 'drain') ||
          (await healths()).some((one) => one?.node === standby.node && one.role === 'active')
        );
      });
      docker('kill', active.node);
      await handle.result().catch(() => undefined);
      await waitUntil('the other engine being active', async () =>
        (await healths()).some((health) => health?.node === standby.node && health.role === 'active'),
      );
    });
    await worker.stop();
    expect(orders).toMatchObject(nothingLost);
  });

  test('is refused when nobody could take over, and changes nothing', async () => {
    const worker = await rig.worker();
    const { active, standby } = await actors();
    docker('stop', standby.node);
    const failure = await failureOf(run('engineSwitchover'));
    await worker.stop();
    expect(failure).toMatchObject({ type: 'Refused' });
    expect(failure.message).toMatch(
      new RegExp(`^E4: ${standby.node} does not answer: .*Next: docker start ${standby.node}$`),
    );
    let goesOn: string | undefined;
    await waitUntil('an active engine', async () => {
      goesOn = (await healths()).find((health) => health?.role === 'active')?.node;
      return goesOn !== undefined;
    });
    expect(goesOn).toBe(active.node);
  });
});

describe('what nobody planned', () => {
  test('the death of the active engine fails no order', async () => {
    const { active } = await actors();
    const orders = await underOrders(async () => {
      docker('kill', active.node);
      await waitUntil('the other engine being active', async () =>
        (await healths()).some((health) => health?.role === 'active' && health.node !== active.node),
      );
    });
    expect(orders).toMatchObject(nothingLost);
  });

  test.each(['set server SERVER weight 0', 'disable health SERVER'])(
    'with "%s" on the other one it fails none either: HAProxy takes it back',
    async (command) => {
      const { active, standby } = await actors();
      const server = `${haproxy.backend}/${standby.node}`;
      docker('exec', haproxy.name, 'haproxy-runtime', command.replace('SERVER', server));
      const orders = await underOrders(async () => {
        docker('kill', active.node);
        await waitUntil('HAProxy having the other engine in service', async () => {
          const found = (await proxy.servers(haproxy.backend)).find(({ name }) => name === standby.node);
          return found?.up === true && found.weight !== 0 && found.checked === true;
        });
      });
      expect(orders).toMatchObject(nothingLost);
    },
  );

  test('an engine that freezes and wakes up fails no order and writes none', async () => {
    const { active } = await actors();
    const orders = await underOrders(async () => {
      docker('pause', active.node);
      await waitUntil('the other engine being active', async () =>
        (await healths()).some((health) => health?.role === 'active' && health.node !== active.node),
      );
      docker('unpause', active.node);
      await waitUntil('the woken engine being standby', async () =>
        (await healths()).some((health) => health?.node === active.node && health.role === 'standby'),
      );
    });
    expect(orders).toMatchObject(nothingLost);
  });
});

test('an engine that comes back with another address is found, and takes the orders', async () => {
  const { standby } = await actors();
  const { address } = await addresses(standby.node);
  const format = '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}';
  const network = docker('inspect', '-f', format, standby.node).trim();
  const image = docker('inspect', '-f', '{{.Config.Image}}', standby.node).trim();
  docker('stop', '-t', '5', standby.node);
  // Somebody else gets the address meanwhile.
  const squatters: string[] = [];
  await thenAlways(
    async () => {
      while (squatters.length < 5) {
        const id = docker('run', '-d', '--rm', '--network', network, '--entrypoint', 'sleep', image, '600').trim();
        squatters.push(id);
        if (docker('inspect', '-f', ADDRESS, id).trim() === address) break;
      }
      docker('start', standby.node);
      expect((await addresses(standby.node)).address).not.toBe(address);
      await waitUntil('HAProxy having the new address', async () => {
        const now = await addresses(standby.node);
        return now.atProxy === now.address;
      });
      const worker = await rig.worker();
      await actors();
      const orders = await underOrders(async () => void (await run('engineSwitchover')));
      await worker.stop();
      expect(orders).toMatchObject(nothingLost);
      expect((await actors()).active.node).toBe(standby.node);
    },
    () => {
      for (const id of squatters) docker('rm', '-f', id);
    },
  );
});

/** Where an engine is, and where HAProxy looks for it. */
async function addresses(engine: string): Promise<{ address: string; atProxy: string | undefined }> {
  const servers = await proxy.servers(haproxy.backend);
  return {
    address: docker('inspect', '-f', ADDRESS, engine).trim(),
    atProxy: servers.find(({ name }) => name === engine)?.address.split(':')[0],
  };
}

describe('the commands', () => {
  test.each([
    ['set server SERVER weight 0', 'no requests, whatever its checks say'],
    ['disable health SERVER', 'would not see it take over'],
  ])('"%s" is told, refuses a switchover, and ready takes it back', async (command, says) => {
    const worker = await rig.worker();
    const { standby } = await actors();
    docker('exec', haproxy.name, 'haproxy-runtime', command.replace('SERVER', `${haproxy.backend}/${standby.node}`));
    expect((await cli(['engine', 'status'])).stdout).toContain(says);
    const failure = await failureOf(run('engineSwitchover'));
    expect(failure.message).toMatch(/^L5: .*Next: docker exec .* haproxy-runtime /);
    const ready = await cli(['engine', 'ready', standby.node, '--yes', '--soak', '0s', '-q'], rig.env);
    expect(ready).toMatchObject({ code: 0 });
    expect((await cli(['engine', 'status', '-q'])).stdout.trim()).toBe('healthy');
    await worker.stop();
  });

  test('drain hands over first and keeps the engine out; ready puts it back; status says so', async () => {
    const worker = await rig.worker();
    const { active, standby } = await actors();
    expect((await cli(['engine', 'status', '-q'])).stdout.trim()).toBe('healthy');
    const drain = await cli(['engine', 'drain', active.node, '--yes', '--soak', '0s', '-q'], rig.env);
    expect(drain).toMatchObject({ code: 0 });
    expect(drain.stdout).toContain(`${active.node} is out of service`);
    const status = await cli(['engine', 'status', '-o', 'json']);
    expect(status.code).toBe(0);
    expect(JSON.parse(status.stdout)).toMatchObject({
      version: 1,
      healthy: true,
      engines: {
        members: expect.arrayContaining([
          expect.objectContaining({ name: active.node, role: 'drained', traffic: 'DRAIN' }),
          expect.objectContaining({ name: standby.node, role: 'active' }),
        ]) as unknown,
      },
    });
    const refused = await cli(['engine', 'switchover', '--yes', '-q'], rig.env);
    expect(refused.code).toBe(3);
    // A drained engine stays out, also when its container is restarted.
    docker('restart', '-t', '5', active.node);
    await waitUntil('the drained engine answering', async () =>
      (await healths()).some((health) => health?.node === active.node && health.drained),
    );
    const ready = await cli(['engine', 'ready', active.node, '--yes', '--soak', '0s', '-q'], rig.env);
    expect(ready).toMatchObject({ code: 0 });
    await worker.stop();
    expect((await actors()).active.node).toBe(standby.node);
  });

  test("the guide's words lead to them", async () => {
    const script = (...args: string[]) =>
      new Promise<{ code: number; output: string }>((resolve) =>
        execFile(join(packageRoot, 'scripts', 'failover.sh'), args, (error, stdout, stderr) =>
          resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr }),
        ),
      );
    const status = await script('engine', 'status');
    expect(status).toMatchObject({ code: 0, output: expect.stringContaining('clients reach') as string });
    expect(await script('engine', 'switchover')).toMatchObject({
      code: 2,
      output: expect.stringContaining('Next: veloz-ha engine switchover --yes') as string,
    });
    expect(await script('engine', 'begin')).toMatchObject({ code: 2 });
    expect((await script()).code).toBe(2);
    expect((await script('--help')).code).toBe(0);
  });
});
