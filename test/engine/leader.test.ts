import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { StepDownRefused } from '../../src/engine/step-down';
import { until, World } from './support/fakes';

let world: World;
let running: { stop: () => Promise<void> }[];
beforeEach(() => {
  world = new World();
  running = [];
});
afterEach(() => Promise.all(running.map((one) => one.stop())));

function engine(node: string) {
  const started = world.leader(node);
  running.push(started);
  return started.leader;
}
async function pair() {
  const one = engine('engine-1');
  await until('engine-1 being active', () => one.role === 'active');
  const two = engine('engine-2');
  await until('engine-2 knowing it', () => two.activeElsewhere?.node === 'engine-1');
  return { one, two };
}
const refusal = (status: number) => expect.objectContaining({ name: StepDownRefused.name, status }) as Error;

describe('becoming active', () => {
  test('the first engine has the next epoch, and takes orders in it', async () => {
    world.allowed = { epoch: 41, node: 'engine-9', url: '' };
    const one = engine('engine-1');
    await until('it being active', () => one.role === 'active');
    expect(one).toMatchObject({ epoch: 42, ready: true });
    expect(one.begin()?.epoch).toBe(42);
    expect(world.holder).toMatchObject({ node: 'engine-1', epoch: 42 });
  });

  test('the second one waits, and takes no orders', async () => {
    const { two } = await pair();
    expect(two).toMatchObject({ role: 'standby', ready: false, epoch: 1 });
    expect(two.begin()).toBeUndefined();
  });

  test('the lock alone is not enough: without PostgreSQL it is let go again', async () => {
    world.postgresAnswers = false;
    const one = engine('engine-1');
    await until('an attempt', () => one.why.startsWith('PostgreSQL gave no epoch'));
    expect(one.begin()).toBeUndefined();
    await until('the lock being free', () => world.holder === undefined);
    world.postgresAnswers = true;
    await until('it being active', () => one.role === 'active');
  });
});

describe('being active', () => {
  test('a lock that Redis forgot is taken again in the same epoch', async () => {
    const { one } = await pair();
    running
      .splice(1)[0]
      ?.stop()
      .catch(() => undefined);
    world.candidates.delete('engine-2');
    world.heir = { to: 'engine-1' };
    world.holder = undefined;
    await until('the lock being back', () => world.holder?.node === 'engine-1');
    expect(one).toMatchObject({ role: 'active', epoch: 1 });
  });

  test('whoever finds the lock in other hands takes no more orders', async () => {
    const { one } = await pair();
    world.allowed = { epoch: 2, node: 'engine-3', url: '' };
    world.holder = { node: 'engine-3', epoch: 2, url: '', instance: 'process of engine-3' };
    await until('it being a standby', () => one.role === 'standby');
    expect(one.begin()).toBeUndefined();
    expect(one.activeElsewhere).toMatchObject({ node: 'engine-3', epoch: 2 });
  });

  test('PostgreSQL’s word ends it, whatever the lock says', async () => {
    const { one } = await pair();
    world.allowed = { epoch: 2, node: 'engine-3', url: '' };
    one.superseded(1, world.allowed);
    expect(one.role).toBe('standby');
    expect(one.begin()).toBeUndefined();
  });

  test('PostgreSQL’s word about an earlier epoch changes nothing', async () => {
    const { one } = await pair();
    one.superseded(0, { epoch: 1, node: 'engine-1', url: '' });
    expect(one.role).toBe('active');
  });

  test('while Redis does not answer, the epoch is enough to go on', async () => {
    const { one, two } = await pair();
    world.redisAnswers = false;
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(one).toMatchObject({ role: 'active', ready: true, epoch: 1 });
    expect(two.role).toBe('standby');
    world.allowed = { epoch: 2, node: 'engine-3', url: '' };
    await until('it hearing of the later epoch', () => one.role === 'standby');
  });
});

test('a standby whose Redis is silent goes on asking PostgreSQL', async () => {
  const { two } = await pair();
  world.redisAnswers = false;
  const before = world.asked.get('engine-2') ?? 0;
  await until('it asking again', () => (world.asked.get('engine-2') ?? 0) > before + 1);
  expect(two.role).toBe('standby');
});

test('a standby that leaves the lock to whoever is active elsewhere goes on asking PostgreSQL who that is', async () => {
  const rival = createServer((_request, response) =>
    response.end(JSON.stringify({ node: 'engine-3', ready: true, epoch: 2 })),
  ).listen(0, '127.0.0.1');
  try {
    const one = engine('engine-1');
    await until('it being active', () => one.role === 'active');
    const url = `http://127.0.0.1:${(rival.address() as AddressInfo).port}`;
    world.allowed = { epoch: 2, node: 'engine-3', url };
    await until('it leaving the lock', () => one.why.includes('though this Redis knows no lock of it'));
    world.allowed = { epoch: 3, node: 'engine-4', url: '' };
    await until('it hearing of the next one', () => one.activeElsewhere?.node === 'engine-4');
    expect(one.role).toBe('standby');
  } finally {
    rival.close();
  }
});

describe('a step-down', () => {
  test('hands over to the named engine, which has the next epoch; the second call changes nothing', async () => {
    const { one, two } = await pair();
    await expect(one.stepDown({ run: 'r', to: 'engine-2' })).resolves.toMatchObject({
      outcome: 'handed over',
      run: 'r',
      node: 'engine-1',
      active: { node: 'engine-2', epoch: 2 },
      epoch: 1,
    });
    expect([one.role, two.role, two.epoch]).toEqual(['standby', 'active', 2]);
    await expect(one.stepDown({ run: 'r', to: 'engine-2' })).resolves.toMatchObject({
      outcome: 'unchanged',
      active: { node: 'engine-2', epoch: 2 },
    });
  });

  test('does not come back to the engine that stepped down where nobody is named', async () => {
    const { one } = await pair();
    await expect(one.stepDown({ run: 'r' })).resolves.toMatchObject({ active: { node: 'engine-2' } });
  });

  test('waits for the orders in flight, and takes up no new ones meanwhile', async () => {
    const { one, two } = await pair();
    const turn = one.begin();
    const result = one.stepDown({ run: 'r', to: 'engine-2' });
    await until('it leaving', () => one.role === 'leaving');
    expect(one.begin()).toBeUndefined();
    expect(two.role).toBe('standby');
    turn?.end();
    await expect(result).resolves.toMatchObject({ outcome: 'handed over' });
  });

  test('is given up where an order in flight does not end', async () => {
    const { one } = await pair();
    const turn = one.begin();
    await expect(one.stepDown({ run: 'r', to: 'engine-2' })).rejects.toEqual(refusal(503));
    expect(one).toMatchObject({ role: 'active', epoch: 1 });
    turn?.end();
  });

  test('is refused where another epoch was to end: who asks late ends nothing that somebody else began', async () => {
    const { one, two } = await pair();
    await one.stepDown({ run: 'r', to: 'engine-2', epoch: 1 });
    await two.stepDown({ run: 's', to: 'engine-1', epoch: 2 });
    await expect(one.stepDown({ run: 'r', to: 'engine-2', epoch: 1 })).rejects.toEqual(refusal(412));
    expect(one).toMatchObject({ role: 'active', epoch: 3 });
  });

  test('is refused, and nothing changes, where nobody could take over', async () => {
    const { one } = await pair();
    await expect(one.stepDown({ run: 'r', to: 'engine-1' })).rejects.toEqual(refusal(422));
    await expect(one.stepDown({ run: 'r', to: 'engine-7' })).rejects.toEqual(refusal(409));
    world.candidates.delete('engine-2');
    await expect(one.stepDown({ run: 'r' })).rejects.toEqual(refusal(409));
    world.redisAnswers = false;
    await expect(one.stepDown({ run: 'r' })).rejects.toEqual(refusal(503));
    expect(one).toMatchObject({ role: 'active', epoch: 1 });
  });
});

describe('an engine that is drained', () => {
  test('hands over, does not take the lock, and competes again when it is told to', async () => {
    const { one, two } = await pair();
    await expect(one.drain('r')).resolves.toMatchObject({ outcome: 'handed over' });
    expect(one).toMatchObject({ role: 'standby', drained: true, ready: false });
    expect([...world.candidates]).toEqual(['engine-2']);
    await expect(two.stepDown({ run: 's', to: 'engine-1' })).rejects.toEqual(refusal(409));
    await one.undrain();
    await expect(two.stepDown({ run: 's', to: 'engine-1' })).resolves.toMatchObject({ outcome: 'handed over' });
  });

  test('is not drained where nobody could take over from it', async () => {
    const one = engine('engine-1');
    await until('it being active', () => one.role === 'active');
    await expect(one.drain('r')).rejects.toEqual(refusal(409));
    expect(one).toMatchObject({ role: 'active', drained: false });
    expect(world.drained.size).toBe(0);
  });

  test('stays drained when its process is another one', async () => {
    world.drained.add('engine-1');
    const one = engine('engine-1');
    await until('it having looked', () => one.drained);
    expect(one.role).toBe('standby');
  });
});
