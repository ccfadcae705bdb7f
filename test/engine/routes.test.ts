/* eslint-disable @typescript-eslint/require-await -- what a test answers at once is asked for as a promise */
import type { Desk, Outcome } from '../../src/engine/desk';
import type { EngineRequest } from '../../src/engine/http';
import type { Leader } from '../../src/engine/leader';
import type { Lock } from '../../src/engine/lock';
import { createMetrics } from '../../src/engine/metrics';
import { createRoutes } from '../../src/engine/routes';
import { StepDownRefused } from '../../src/engine/step-down';
import { StoreUnavailable, type Store } from '../../src/engine/store';

const order = { id: '1-1', symbol: 'BTCUSDT' };
/** Routes before parts that a test sets. */
function routes(set: { leader?: object; store?: object; lock?: object; outcome?: Outcome } = {}) {
  const place = jest.fn(async () => set.outcome ?? { kind: 'accepted', order, again: false });
  const stepDown = jest.fn(async () => ({ outcome: 'handed over' }));
  const handle = createRoutes({
    node: 'engine-1',
    adminToken: 'secret',
    leader: {
      role: 'active',
      ready: true,
      drained: false,
      epoch: 3,
      why: 'w',
      inFlightOrders: 0,
      stepDown,
      ...set.leader,
    } as unknown as Leader,
    lock: { answeredAt: performance.now(), state: async () => ({}), ...set.lock } as unknown as Lock,
    store: {
      answeredAt: performance.now(),
      find: async (id: string) => (id === '1-1' ? order : undefined),
      summary: async () => ({ orders: 1, last: order, symbols: [] }),
      ...set.store,
    } as unknown as Store,
    desk: { place } as unknown as Desk,
    metrics: createMetrics('engine-1', () => undefined),
  });
  const ask = (method: string, path: string, body: unknown = '', headers: Record<string, string> = {}) =>
    handle({
      method,
      path,
      body: typeof body === 'string' ? body : JSON.stringify(body),
      header: (name) => headers[name],
    } satisfies EngineRequest);
  return { ask, place, stepDown };
}
const good = { symbol: 'BTCUSDT', side: 'buy', quantity: 1 };
const key = { 'idempotency-key': 'k' };
const admin = { authorization: 'Bearer secret' };

describe('an order', () => {
  test.each<[Outcome, number, object]>([
    [{ kind: 'accepted', order: order as never, again: false }, 201, { id: '1-1' }],
    [{ kind: 'accepted', order: order as never, again: true }, 200, { id: '1-1' }],
    [{ kind: 'passed on', status: 201, body: '{"id":"2-1"}' }, 201, { id: '2-1' }],
    [{ kind: 'conflict', order: order as never }, 409, { code: 'key_conflict', id: '1-1' }],
    [{ kind: 'unavailable', why: 'x' }, 503, { code: 'not_accepted' }],
    [{ kind: 'unknown', why: 'x' }, 504, { code: 'unknown_outcome' }],
  ])('%j is answered %i', async (outcome, status, body) => {
    const answer = await routes({ outcome }).ask('POST', '/api/orders', good, key);
    expect(answer).toMatchObject({ status, body });
    expect(answer.headers?.['retry-after'] !== undefined).toBe(status >= 500);
  });

  test.each<[string, unknown, Record<string, string>]>([
    ['without a key', good, {}],
    ['that is no JSON', 'nonsense', key],
    ['without a body', '', key],
    ['of no quantity', { ...good, quantity: 0 }, key],
    ['of a number that loses digits', '{"symbol":"BTCUSDT","side":"buy","quantity":9007199254740993}', key],
    ['of two quantities', '{"symbol":"BTCUSDT","side":"buy","quantity":1,"quantity":2}', key],
  ])('%s is refused before anything is done', async (_, body, headers) => {
    const { ask, place } = routes();
    await expect(ask('POST', '/api/orders', body, headers)).resolves.toMatchObject({
      status: 422,
      body: { code: 'bad_order' },
    });
    expect(place).not.toHaveBeenCalled();
  });

  test('is found by its id', async () => {
    const { ask } = routes();
    await expect(ask('GET', '/api/orders/1-1')).resolves.toMatchObject({ status: 200, body: order });
    await expect(ask('GET', '/api/orders/9-9')).resolves.toMatchObject({ status: 404 });
  });

  test.each(['%', '%00', 'a%00b', '%ff', '%ED%A0%80', ''])('has no id like "%s"', async (id) => {
    await expect(routes().ask('GET', `/api/orders/${id}`)).resolves.toMatchObject({
      status: 404,
      body: { code: 'unknown_order' },
    });
  });

  test('is not looked for in vain where PostgreSQL is away', async () => {
    const find = () => Promise.reject(new StoreUnavailable('away', false));
    await expect(routes({ store: { find } }).ask('GET', '/api/orders/1-1')).resolves.toMatchObject({
      status: 503,
      headers: { 'retry-after': '1' },
    });
  });

  test('what all orders come to is told while Redis is away, too', async () => {
    const lock = { state: () => Promise.reject(new Error('away')) };
    await expect(routes({ lock }).ask('GET', '/api/orders_state')).resolves.toMatchObject({
      status: 200,
      body: { orders: 1, live: null, epoch: 3 },
    });
  });
});

describe('health', () => {
  const away = { answeredAt: -Infinity };
  test.each<[string, Parameters<typeof routes>[0], number, string, number]>([
    ['active', {}, 200, 'healthy', 200],
    ['active without Redis', { lock: away }, 200, 'degraded', 200],
    ['active without PostgreSQL', { store: away }, 503, 'unhealthy', 503],
    ['active without proof', { leader: { ready: false } }, 503, 'unhealthy', 503],
    ['standby', { leader: { role: 'standby', ready: false } }, 200, 'healthy', 503],
    ['standby without Redis', { leader: { role: 'standby', ready: false }, lock: away }, 503, 'unhealthy', 503],
    ['drained', { leader: { role: 'standby', ready: false, drained: true } }, 503, 'drained', 503],
  ])('%s', async (_, set, status, word, ready) => {
    const { ask } = routes(set);
    await expect(ask('GET', '/health')).resolves.toMatchObject({ status, body: { status: word, node: 'engine-1' } });
    await expect(ask('GET', '/health/ready')).resolves.toMatchObject({ status: ready });
    await expect(ask('GET', '/health/live')).resolves.toMatchObject({ status: 200 });
  });

  test('health says which store is silent', async () => {
    const silent = { answeredAt: performance.now() - 60_000 };
    expect((await routes().ask('GET', '/health')).body).toMatchObject({ why: 'w' });
    expect((await routes({ lock: silent, store: silent }).ask('GET', '/health')).body).toMatchObject({
      status: 'unhealthy',
      why: 'PostgreSQL and Redis did not answer lately; w',
    });
  });

  test('metrics are told', async () => {
    const { ask } = routes();
    await ask('POST', '/api/orders', good, key);
    const { body } = await ask('GET', '/metrics');
    expect(body).toContain('veloz_engine_health');
    expect(body).toMatch(/veloz_engine_orders_total\{outcome="accepted",node="engine-1"\} 1/);
  });
});

describe('the admin routes', () => {
  test.each(['/admin/step-down', '/admin/drain', '/admin/ready'])('%s asks for the token', async (path) => {
    const { ask, stepDown } = routes();
    for (const authorization of [undefined, 'Bearer', 'Bearer other', 'secret'])
      await expect(
        ask('POST', path, { run: 'r' }, authorization === undefined ? {} : { authorization }),
      ).resolves.toMatchObject({ status: 401 });
    expect(stepDown).not.toHaveBeenCalled();
  });

  test('a step-down is passed to the leader', async () => {
    const { ask, stepDown } = routes();
    const asked = { run: 'r', to: 'engine-2' };
    await expect(ask('POST', '/admin/step-down', asked, admin)).resolves.toMatchObject({ status: 200 });
    expect(stepDown).toHaveBeenCalledWith(asked);
  });

  test('a step-down may name the epoch that is to end', async () => {
    const { ask, stepDown } = routes();
    await expect(ask('POST', '/admin/step-down', { run: 'r' }, { ...admin, 'if-match': '"7"' })).resolves.toMatchObject(
      {
        status: 200,
      },
    );
    expect(stepDown).toHaveBeenCalledWith({ run: 'r', epoch: 7 });
    for (const tag of ['7', '*', '"x"', ''])
      await expect(ask('POST', '/admin/step-down', { run: 'r' }, { ...admin, 'if-match': tag })).resolves.toMatchObject(
        { status: 422 },
      );
    expect(stepDown).toHaveBeenCalledTimes(1);
  });

  test.each([{}, { run: '' }, { run: 'r', too: 'engine-2' }, 'nonsense', '{"run":"r","run":"s"}'])(
    '%j is refused',
    async (body) => {
      await expect(routes().ask('POST', '/admin/step-down', body, admin)).resolves.toMatchObject({ status: 422 });
    },
  );

  test('a refusal has its status and its reason; a silent Redis is a 503', async () => {
    const refused = routes({ leader: { stepDown: () => Promise.reject(new StepDownRefused(409, 'nobody')) } });
    await expect(refused.ask('POST', '/admin/step-down', { run: 'r' }, admin)).resolves.toMatchObject({
      status: 409,
      body: { error: 'nobody' },
    });
    const silent = routes({ leader: { drain: () => Promise.reject(new Error('timed out')) } });
    await expect(silent.ask('POST', '/admin/drain', { run: 'r' }, admin)).resolves.toMatchObject({ status: 503 });
  });
});

test('what is not there is a 404', async () => {
  await expect(routes().ask('DELETE', '/api/orders')).resolves.toMatchObject({ status: 404 });
});
