import { setTimeout as sleep } from 'node:timers/promises';
import { faultsOf } from '../../src/bench/faults';
import type { Endpoint } from '../../src/cluster/topology';
import { connectPostgres, type PostgresSession } from '../../src/systems/postgres';
import { readSecret } from '../../src/systems/secrets';
import { anOrder, ask, order, OrderFlow, type Flow } from './support/orders';
import { cluster, docker, thenAlways, waitUntil, wake } from './support/stack';

const nodes = cluster.engines?.nodes ?? [];
const [one, two] = nodes;
if (one === undefined || two === undefined) throw new Error('the topology has no two engines');
const pooler = cluster.pgbouncer.nodes[0] as { name: string; address: Endpoint };
const redisNodes = cluster.redis?.nodes.map(({ name }) => name) ?? [];
const token = readSecret('VELOZ_ENGINE_ADMIN_TOKEN', process.env);
const run = Date.now().toString(36);
let counter = 0;
const aKey = () => `e2e-${run}-${(counter += 1)}`;
let sql: PostgresSession;

interface Node {
  name: string;
  address: Endpoint;
}
const addresses = [one.address, two.address];

/** What an engine says of itself. Whoever asks once has more patience than who asks again. */
async function health(node: Node, limitMs = 1000): Promise<Record<string, unknown>> {
  return (await ask(node.address, '/health', { limitMs })).body;
}
const admin = (node: Node, path: string, body: object) =>
  ask(node.address, `/admin/${path}`, { method: 'POST', headers: { authorization: `Bearer ${token}` }, body });

/** Who is active now, and who the other one is. Waits until one is ready and the other healthy. */
async function actors(): Promise<{ active: Node; standby: Node; epoch: number }> {
  let found: { active: Node; standby: Node; epoch: number } | undefined;
  await waitUntil('one engine being active and the other able to take over', async () => {
    const [a, b] = await Promise.all([health(one as Node), health(two as Node)]);
    const [active, standby, seen, other] = a.role === 'active' ? [one, two, a, b] : [two, one, b, a];
    found = { active: active as Node, standby: standby as Node, epoch: Number(seen.epoch) };
    return seen.ready === true && other.role === 'standby' && other.status === 'healthy';
  });
  return found as { active: Node; standby: Node; epoch: number };
}

const flows: OrderFlow[] = [];
/** Clients at both engines, or at those named; a test that fails does not leave them running. */
function ordersFlow(prefix: string, at: readonly Endpoint[] = addresses): OrderFlow {
  const flow = new OrderFlow(at, prefix);
  flows.push(flow);
  return flow;
}

/**
 * A scenario under orders in which each client is acknowledged at its first attempt, when the machine is not busy with other
 * things: one of three times is enough. Nothing is lost or there twice in any of them.
 */
async function failsNothing(
  scenario: () => Promise<void>,
  at: () => Promise<readonly Endpoint[]> = () => Promise.resolve(addresses),
): Promise<void> {
  let attempts: Flow['attempts'] = {};
  for (let turn = 0; turn < 3; turn += 1) {
    const prefix = aKey();
    const flow = ordersFlow(prefix, await at());
    await scenario();
    const lived = await flow.stop();
    await expectKept(lived, prefix);
    attempts = lived.attempts;
    if (Object.keys(attempts).join() === '201') return;
  }
  expect(attempts).toEqual({ '201': expect.any(Number) as number });
}

const count = async (where: string, ...values: unknown[]): Promise<number> =>
  Number(
    (await sql.query<{ n: string }>(`SELECT count(*) AS n FROM veloz_engine.orders WHERE ${where}`, values))[0]?.n,
  );

/** Each acknowledged order is there, once, with the id that the client was told; nothing else is. */
async function expectKept(flow: Flow, prefix: string): Promise<void> {
  expect(flow.acknowledged.size).toBe(flow.sent);
  const rows = await sql.query<{ id: string; idempotency_key: string }>(
    'SELECT id, idempotency_key FROM veloz_engine.orders WHERE idempotency_key LIKE $1',
    [`${prefix}-%`],
  );
  expect(new Map(rows.map((row) => [row.idempotency_key, row.id]))).toEqual(flow.acknowledged);
  expect(rows).toHaveLength(flow.sent);
}

/** Orders of every epoch were accepted by the engine that had it. */
async function expectFenced(): Promise<void> {
  const strangers = await sql.query(
    'SELECT o.id FROM veloz_engine.orders o LEFT JOIN veloz_engine.epoch_history e ON e.epoch = o.epoch AND e.node = o.node WHERE e.epoch IS NULL',
  );
  expect(strangers).toEqual([]);
}

beforeAll(async () => {
  const { client, database } = cluster.postgres;
  await waitUntil('the front door', async () => {
    sql = await connectPostgres(pooler.address, {
      user: client.user,
      password: readSecret(client.passwordFrom, process.env),
      database,
    });
    return true;
  });
  await actors();
});
afterAll(() => sql.close());

afterEach(async () => {
  await Promise.all(flows.splice(0).map((flow) => flow.abandon()));
  wake([...nodes.map(({ name }) => name), ...redisNodes]);
  await actors();
  await expectFenced();
});

describe('an order', () => {
  test.each(nodes)('is accepted once for its key, whichever engine is asked ($name)', async (node) => {
    const key = aKey();
    const first = await order(node.address, key);
    expect(first).toMatchObject({ status: 201, body: { symbol: 'BTCUSDT', status: 'accepted', idempotencyKey: key } });
    for (const { address } of nodes) {
      expect(await order(address, key)).toMatchObject({ status: 200, body: { id: first.body.id } });
      expect(await order(address, key, { ...anOrder, quantity: '2' })).toMatchObject({
        status: 409,
        body: { code: 'key_conflict', id: first.body.id },
      });
      expect(await ask(address, `/api/orders/${String(first.body.id)}`)).toEqual({ status: 200, body: first.body });
    }
    expect(await count('idempotency_key = $1', key)).toBe(1);
  });

  test('that is sent ten times at once is one order', async () => {
    const key = aKey();
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) => order(addresses[index % 2] as Endpoint, key)),
    );
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1);
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(await count('idempotency_key = $1', key)).toBe(1);
  });

  test('that makes no sense is refused with every mistake, and leaves nothing', async () => {
    const key = aKey();
    expect(await order(one.address, key, { ...anOrder, quantity: 0, side: 'hold', colour: 'red' })).toMatchObject({
      status: 422,
      body: { code: 'bad_order', mistakes: [{ field: 'side' }, { field: 'quantity' }, { field: 'colour' }] },
    });
    expect(await count('idempotency_key = $1', key)).toBe(0);
  });
});

describe('the fence in PostgreSQL', () => {
  const insert = (node: string, epoch: number) =>
    sql.query(
      `INSERT INTO veloz_engine.orders (id, idempotency_key, fingerprint, symbol, side, type, quantity, node, epoch, accepted_at)
       VALUES ($1, $1, 'x', 'BTCUSDT', 'buy', 'market', 1, $2, $3, now())`,
      [aKey(), node, epoch],
    );

  test('takes no order of another epoch or of another engine, whoever inserts it', async () => {
    const { active, standby, epoch } = await actors();
    await expect(insert(active.name, epoch - 1)).rejects.toMatchObject({ code: 'VZ001' });
    await expect(insert(active.name, epoch + 1)).rejects.toMatchObject({ code: 'VZ001' });
    await expect(insert(standby.name, epoch)).rejects.toMatchObject({ code: 'VZ001' });
  });

  test('takes none of a snapshot that may be older than the epoch', async () => {
    const { active, epoch } = await actors();
    await expect(
      sql.query(`BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO veloz_engine.orders
        (id, idempotency_key, fingerprint, symbol, side, type, quantity, node, epoch, accepted_at)
        VALUES ('x', 'x', 'x', 'X', 'buy', 'market', 1, '${active.name}', ${epoch}, now()); COMMIT`),
    ).rejects.toMatchObject({ code: 'VZ002' });
    await sql.query('ROLLBACK');
  });

  test('keeps orders as they were written, and the epoch growing', async () => {
    const key = aKey();
    await order(one.address, key);
    await expect(
      sql.query('UPDATE veloz_engine.orders SET epoch = 1 WHERE idempotency_key = $1', [key]),
    ).rejects.toMatchObject({ code: 'VZ002' });
    await expect(sql.query('DELETE FROM veloz_engine.orders WHERE idempotency_key = $1', [key])).rejects.toMatchObject({
      code: 'VZ002',
    });
    await expect(sql.query('UPDATE veloz_engine.epoch SET epoch = epoch + 2')).rejects.toMatchObject({ code: 'VZ002' });
    await expect(sql.query('UPDATE veloz_engine.epoch SET epoch = epoch - 1')).rejects.toMatchObject({ code: 'VZ002' });
  });
});

describe('a step-down', () => {
  test('under orders hands over to the named engine, fails nothing, and changes nothing when it is sent again', () =>
    failsNothing(async () => {
      const { active, standby, epoch } = await actors();
      await sleep(1000);
      const request = { run: 'e2e', to: standby.name };
      const { status, body } = await admin(active, 'step-down', request);
      expect(status).toBe(200);
      expect(body).toMatchObject({ outcome: 'handed over', epoch, active: { node: standby.name } });
      expect(await admin(active, 'step-down', request)).toMatchObject({ status: 200, body: { outcome: 'unchanged' } });
      await sleep(1000);
      expect((await actors()).active.name).toBe(standby.name);
    }));

  test('to an engine that is not there is refused, and the active one goes on', async () => {
    const { active, epoch } = await actors();
    expect(await admin(active, 'step-down', { run: 'e2e', to: 'nobody' })).toMatchObject({ status: 409 });
    expect(await actors()).toMatchObject({ active: { name: active.name }, epoch });
  });

  test('needs the token', async () => {
    expect(await ask(one.address, '/admin/step-down', { method: 'POST', body: { run: 'e2e' } })).toMatchObject({
      status: 401,
    });
  });

  test('a drained engine hands over, does not take the lock, and stays drained when it is restarted', async () => {
    const { active, standby } = await actors();
    expect(await admin(active, 'drain', { run: 'e2e' })).toMatchObject({ status: 200, body: { drained: true } });
    await thenAlways(
      async () => {
        expect((await ask(active.address, '/health')).status).toBe(503);
        docker('restart', active.name);
        await waitUntil('the drained engine being back', async () => (await health(active)).drained === true);
        expect(await admin(standby, 'step-down', { run: 'e2e', to: active.name })).toMatchObject({ status: 409 });
        expect(await health(standby, 5000)).toMatchObject({ role: 'active', ready: true });
      },
      async () => {
        await waitUntil('ready', async () => (await admin(active, 'ready', { run: 'e2e' })).status === 200);
      },
    );
    await actors();
  });
});

describe('the active engine', () => {
  test('killed under orders: the other one takes over, nothing acknowledged is lost, nothing is there twice', async () => {
    const { active, standby } = await actors();
    const prefix = aKey();
    const flow = ordersFlow(prefix);
    await sleep(1000);
    docker('kill', active.name);
    await waitUntil('the take-over', async () => (await health(standby)).ready === true);
    await sleep(1000);
    await expectKept(await flow.stop(), prefix);
  });

  test.each([
    ['docker pause', (name: string) => docker('pause', name), (name: string) => docker('unpause', name)],
    [
      'SIGSTOP',
      (name: string) => docker('kill', '-s', 'STOP', name),
      (name: string) => docker('kill', '-s', 'CONT', name),
    ],
  ])('frozen by %s under orders and woken writes nothing', async (_how, freeze, wake) => {
    const { active, standby, epoch } = await actors();
    const prefix = aKey();
    const flow = ordersFlow(prefix);
    await sleep(1000);
    freeze(active.name);
    try {
      await waitUntil('the take-over', async () => (await health(standby)).ready === true);
      const written = await count('epoch <= $1', epoch);
      // They wait in its sockets, and are the first that it reads when it wakes.
      const waiting = Array.from({ length: 20 }, (_, index) => order(active.address, `${prefix}-w${index}`));
      const settled = Promise.allSettled(waiting);
      await sleep(3000);
      wake(active.name);
      await settled;
      await sleep(1000);
      await waitUntil(
        'the woken engine being a standby',
        async () => {
          const { role, ready } = await health(active);
          return role === 'standby' && ready === false;
        },
        10_000,
      );
      expect(await count('epoch <= $1', epoch)).toBe(written);
    } catch (error) {
      wake(active.name);
      throw error;
    }
    const lived = await flow.stop();
    const rows = await count('idempotency_key LIKE $1 AND idempotency_key NOT LIKE $2', `${prefix}-%`, `${prefix}-w%`);
    expect(lived.acknowledged.size).toBe(lived.sent);
    expect(rows).toBe(lived.sent);
    expect(new Set(lived.acknowledged.values()).size).toBe(lived.sent);
  });
});

describe('the lock', () => {
  const stranger = `${one.name}-split`;
  const other = `${one.name}-split-redis`;
  const remove = () => {
    for (const name of [stranger, other]) {
      try {
        docker('rm', '-f', '-v', name);
      } catch {
        // Is not there.
      }
    }
  };

  test('existing twice: two engines believe that they hold it, and each order is accepted by one of them', async () => {
    const { epoch } = await actors();
    remove();
    const network = docker(
      'inspect',
      '-f',
      '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}',
      one.name,
    ).trim();
    const image = docker('inspect', '-f', '{{.Config.Image}}', one.name).trim();
    const redisImage = docker('inspect', '-f', '{{.Config.Image}}', redisNodes[0] as string).trim();
    const prefix = aKey();
    const flow = ordersFlow(prefix);
    try {
      docker(
        'run',
        '-d',
        '--name',
        other,
        '--network',
        network,
        '--entrypoint',
        'redis-server',
        redisImage,
        '--requirepass',
        readSecret('VELOZ_REDIS_PASSWORD', process.env),
        '--save',
        '',
      );
      docker(
        'run',
        '-d',
        '--name',
        stranger,
        '--network',
        network,
        '-p',
        '127.0.0.1::8080',
        '-e',
        `VELOZ_NODE=${stranger}`,
        '-e',
        `VELOZ_PG_HOST=${pooler.name}`,
        '-e',
        `VELOZ_REDIS_ADDRESS=${other}:6379`,
        '-e',
        `VELOZ_PG_PASSWORD=${readSecret(cluster.postgres.client.passwordFrom, process.env)}`,
        '-e',
        `VELOZ_REDIS_PASSWORD=${readSecret('VELOZ_REDIS_PASSWORD', process.env)}`,
        image,
      );
      const port = Number(docker('port', stranger, '8080').trim().split(':').at(-1));
      const third: Node = { name: stranger, address: { host: '127.0.0.1', port } };
      // It may be active for a moment only: the others find out, and the one that was waiting for the lock takes over from it.
      await waitUntil('the third engine having been active', async () => {
        const [row] = await sql.query<{ had: string }>(
          'SELECT count(*) AS had FROM veloz_engine.epoch_history WHERE epoch > $1 AND node = $2',
          [epoch, stranger],
        );
        return Number(row?.had) > 0;
      });
      // It has the lock of its Redis, and one of the two may still have that of theirs: whoever is asked, one epoch counts.
      for (let round = 0; round < 20; round += 1) {
        const key = `${prefix}-t${round}`;
        // Where the lock is just being handed over, all of them may refuse.
        await waitUntil('one of them accepting it', async () => {
          await Promise.all([third, one, two].map(({ address }) => order(address, key).catch(() => undefined)));
          return (await count('idempotency_key = $1', key)) > 0;
        });
        expect(await count('idempotency_key = $1', key)).toBe(1);
        await sleep(25);
      }
      const history = await sql.query<{ epoch: string }>(
        'SELECT epoch FROM veloz_engine.epoch_history WHERE epoch > $1',
        [epoch],
      );
      // They do not take it from each other for ever.
      expect(history.length).toBeLessThan(5);
    } finally {
      remove();
    }
    await actors();
    const lived = await flow.stop();
    expect(lived.acknowledged.size).toBe(lived.sent);
    expect(new Set(lived.acknowledged.values()).size).toBe(lived.sent);
  });

  test('out of reach with every Redis: the active engine goes on in its epoch', async () => {
    let now = await actors();
    const scenario = async () => {
      await thenAlways(
        async () => {
          // At once: the Sentinels shall not find one of them gone before the other.
          await Promise.all(redisNodes.map((name) => faultsOf(cluster).hang.inject(name)));
          await sleep(4000);
          expect(await health(now.active, 5000)).toMatchObject({ ready: true, epoch: now.epoch });
        },
        () => {
          wake(redisNodes);
        },
      );
    };
    // Where the lock moved all the same, the next turn is about who has it now.
    await failsNothing(scenario, async () => {
      now = await actors();
      return [now.active.address];
    });
  });
});

describe('PostgreSQL', () => {
  test('held for a moment at the front door: orders wait, and none fails', async () => {
    const console = await connectPostgres(pooler.address, {
      user: cluster.pgbouncer.admin.user,
      password: readSecret(cluster.pgbouncer.admin.passwordFrom, process.env),
      database: 'pgbouncer',
    });
    try {
      await failsNothing(async () => {
        await sleep(500);
        await console.query('PAUSE');
        await sleep(1000);
        await console.query('RESUME');
        await sleep(500);
      });
    } finally {
      console.close();
    }
  });
});
