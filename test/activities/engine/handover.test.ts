import { ApplicationFailure } from '@temporalio/common';
import { handOverEngine, putBackEngine } from '../../../src/activities/engine/handover';
import { drainEngine, readyEngine } from '../../../src/activities/engine/service';
import { Overtaken } from '../../../src/activities/still-mine';
import { Attempt, overtaken, standStill } from '../attempts';
import { FakeEngines, FIRST, SECOND } from './fake-engines';

const request = { cluster: 'veloz', run: 'engine-switchover/veloz/1', source: FIRST, target: SECOND, epoch: 7 };

/** What must be so after a hand-over, however it came about. */
function expectHandedOver(world: FakeEngines): void {
  expect(world.holder).toBe(SECOND);
  expect(world.epoch).toBe(8);
  expect(Object.fromEntries(world.admin)).toEqual({ [FIRST]: 'ready', [SECOND]: 'ready' });
  expect(Object.fromEntries(world.up)).toEqual({ [FIRST]: false, [SECOND]: true });
}

/** What must be so after one that was put back. */
function expectAsBefore(world: FakeEngines): void {
  expect(world.holder).toBe(FIRST);
  expect(world.epoch).toBe(7);
  expect(Object.fromEntries(world.admin)).toEqual({ [FIRST]: 'ready', [SECOND]: 'ready' });
}

describe('a hand-over of the engines', () => {
  test('holds requests first, hands the lock over, and sends requests to the target without waiting for a check', async () => {
    const world = new FakeEngines();
    world.checkEvery = 8;
    const result = await handOverEngine(world.deps(), request);
    expectHandedOver(world);
    expect(world.changes).toEqual([`${FIRST} drain`, `step-down ${FIRST}`, `${SECOND} up`, `${FIRST} ready`]);
    expect(result).toMatchObject({ epoch: 8 });
    expect(result.heldMs).not.toBeNull();
    expect(result.subSteps.map(({ id }) => id)).toEqual(['look', 'drain', 'in flight', 'hand over', 'route', 'settle']);
  });

  test('carried out twice hands over once', async () => {
    const world = new FakeEngines();
    await handOverEngine(world.deps(), request);
    const changes = world.changes.length;
    await handOverEngine(world.deps(), request);
    expectHandedOver(world);
    expect(world.changes.slice(changes)).toEqual([]);
  });

  test.each(['look', 'drain', 'in flight', 'hand over', 'route', 'settle'])(
    'goes on where a worker died before "%s"',
    async (point) => {
      const world = new FakeEngines();
      const death = new Error('the worker is dead');
      const faultPoint = (at: string) => {
        if (at === `hold:${point}`) throw death;
      };
      // A dead worker puts nothing back: what its error would start is not what is tested here.
      await handOverEngine(world.deps({ faultPoint }), request).catch(() => undefined);
      await handOverEngine(world.deps(), request);
      expectHandedOver(world);
    },
  );

  test('is put back when the engine refuses', async () => {
    const world = new FakeEngines();
    world.engines[1]!.drained = true;
    const failure = await handOverEngine(world.deps(), request).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ApplicationFailure);
    expect(failure).toMatchObject({ type: 'RolledBack', nonRetryable: true });
    expect((failure as Error).message).toContain(`${SECOND} can not take over`);
    expectAsBefore(world);
  });

  test('is put back when requests in the active engine do not end', async () => {
    const world = new FakeEngines();
    world.sessions.set(FIRST, 3);
    const failure = await handOverEngine(world.deps(), request).catch((error: unknown) => error);
    expect(failure).toMatchObject({ type: 'RolledBack' });
    expect((failure as Error).message).toMatch(/3 requests in veloz-engine-1 did not end within 500 ms/);
    expectAsBefore(world);
    expect(world.changes).not.toContain(`step-down ${FIRST}`);
  });

  test('says that requests go on as before only where HAProxy was told so', async () => {
    const world = new FakeEngines();
    const gone = { ...world.haproxy(), setState: () => Promise.reject(new Error('connect ECONNREFUSED')) };
    const engineSystems = {
      engine: (at: { port: number }) => world.engine(at),
      haproxy: () => gone,
      door: () => world.door(),
    };
    world.admin.set(FIRST, 'maint');
    const failure = (await handOverEngine(world.deps({ engineSystems }), request).catch(
      (error: unknown) => error,
    )) as Error;
    expect(failure).toMatchObject({ type: 'RolledBack' });
    expect(failure.message).toBe(
      `connect ECONNREFUSED. HAProxy could not be told to send requests to ${FIRST} again: connect ECONNREFUSED`,
    );
  });

  test('goes forward when the active engine dies in the middle of its step-down and the target takes over', async () => {
    const world = new FakeEngines();
    world.whileSteppingDown = () => {
      world.kill(FIRST);
      throw new Error('socket hang up');
    };
    const result = await handOverEngine(world.deps(), request);
    expect(result.epoch).toBe(8);
    expect(world.holder).toBe(SECOND);
    expect(world.admin.get(SECOND)).toBe('ready');
  });

  test('gives the target its share of requests and its checks, whatever somebody took from it meanwhile', async () => {
    const world = new FakeEngines();
    world.whileSteppingDown = () => {
      world.weightless.add(SECOND);
      world.unchecked.add(SECOND);
    };
    await handOverEngine(world.deps(), request);
    expect(world.changes).toEqual(expect.arrayContaining([`${SECOND} weight`, `${SECOND} checks`]));
    expect([...world.weightless, ...world.unchecked]).toEqual([]);
    expect(world.up.get(SECOND)).toBe(true);
  });

  test('ends no turn that somebody else began after it looked', async () => {
    const world = new FakeEngines();
    // Handed over and back by others, right before this attempt asks.
    const faultPoint = (at: string) => {
      if (at === 'hold:hand over') world.epoch = 9;
    };
    const failure = await handOverEngine(world.deps({ faultPoint }), request).catch((error: unknown) => error);
    expect(failure).toMatchObject({ type: 'RolledBack', message: expect.stringContaining('in epoch 9') as string });
    expect([world.holder, world.epoch]).toEqual([FIRST, 9]);
    expect(Object.fromEntries(world.admin)).toEqual({ [FIRST]: 'ready', [SECOND]: 'ready' });
  });

  test('is put back when the answer is lost and the source went on as before', async () => {
    const world = new FakeEngines();
    world.whileSteppingDown = () => {
      throw new Error('socket hang up');
    };
    const failure = await handOverEngine(world.deps(), request).catch((error: unknown) => error);
    expect(failure).toMatchObject({ type: 'RolledBack' });
    expectAsBefore(world);
  });
});

describe('a worker that stood still, so that another attempt goes on,', () => {
  test.each([
    ['drain', []],
    ['hand over', [`${FIRST} drain`]],
    ['route', [`${FIRST} drain`, `step-down ${FIRST}`]],
    ['settle', [`${FIRST} drain`, `step-down ${FIRST}`, `${SECOND} up`]],
  ])('before "%s" changes nothing any more', async (point, changes) => {
    const world = new FakeEngines();
    world.checkEvery = 8;
    let current = 1;
    const faultPoint = (at: string) => {
      if (at !== `hold:${point}`) return;
      standStill(550);
      current = 2;
    };
    const late = new Attempt(1, () => current).run(() => handOverEngine(world.deps({ faultPoint }), request));
    await expect(late).rejects.toThrow(Overtaken);
    expect(world.changes).toEqual(changes);
  });

  test('hands nothing over, puts nothing back, and takes no engine out of service or in', async () => {
    const world = new FakeEngines();
    await expect(overtaken().run(() => handOverEngine(world.deps(), request))).rejects.toThrow(Overtaken);
    world.admin.set(FIRST, 'drain');
    await expect(overtaken().run(() => putBackEngine(world.deps(), request))).rejects.toThrow(Overtaken);
    const service = { cluster: 'veloz', run: 'r', node: SECOND };
    await expect(overtaken().run(() => drainEngine(world.deps(), service))).rejects.toThrow(Overtaken);
    world.engines[1]!.drained = true;
    await expect(overtaken().run(() => readyEngine(world.deps(), service))).rejects.toThrow(Overtaken);
    expect(world.changes).toEqual([]);
  });

  test('asks once where nothing keeps it', async () => {
    const world = new FakeEngines();
    const attempt = new Attempt(1, () => 1);
    const began = performance.now();
    await attempt.run(() => handOverEngine(world.deps(), request));
    expectHandedOver(world);
    expect(attempt.asked).toBeGreaterThan(0);
    // On a machine that stalls the word may have become too old.
    expect(attempt.asked - 1).toBeLessThanOrEqual(Math.floor((performance.now() - began) / 500));
  });
});

describe('putting a hand-over back', () => {
  test('ends the drain of an engine that is still active', async () => {
    const world = new FakeEngines();
    world.admin.set(FIRST, 'drain');
    expect(await putBackEngine(world.deps(), request)).toBe(true);
    expectAsBefore(world);
  });

  test('is too late once the target is active', async () => {
    const world = new FakeEngines();
    await handOverEngine(world.deps(), request);
    expect(await putBackEngine(world.deps(), request)).toBe(false);
    expectHandedOver(world);
  });
});
