import { askFrom, HeldAgent } from '../../../src/activities/guard/held-agents';
import { openPostgresAgent, type PostgresAgent } from '../../../src/systems/agent';
import { FakeEngine, pause, Refusal, silence, STANDBY } from './support/fake-engine';

describe('a held session with an agent', () => {
  let engine: FakeEngine;
  let held: HeldAgent<PostgresAgent>;
  beforeEach(() => {
    engine = new FakeEngine();
    held = new HeldAgent(STANDBY, () => openPostgresAgent(engine.deps.docker, STANDBY));
  });
  const observe = (limitMs = 1000) => held.use(limitMs, (agent) => agent.call('observe', {}, limitMs - 10));

  test('is opened once, ahead of its use, also by several at a time', async () => {
    engine.openMs = 20;
    await Promise.all([held.warm(500), held.warm(500), observe()]);
    await observe();
    expect(engine.opened).toBe(1);
  });

  test('can’t be warmed where there is nobody, which is no error before it is used', async () => {
    engine.status[STANDBY] = 'exited';
    await held.warm(500);
    await expect(observe()).rejects.toMatchObject({ type: 'Unreachable' });
    engine.status[STANDBY] = 'running';
    await expect(observe()).resolves.toMatchObject({ desired: 'up' });
  });

  test('that takes too long to be opened ahead keeps nobody waiting, and is there later', async () => {
    engine.openMs = 200;
    const began = performance.now();
    await held.warm(20);
    expect(performance.now() - began).toBeLessThan(150);
    await observe();
    expect(engine.opened).toBe(1);
  });

  test('that broke is replaced once', async () => {
    await held.warm(500);
    const { agent } = engine;
    let broken = true;
    engine.agent = (...args) => {
      if (!broken) return agent(...args);
      broken = false;
      return new Error('broken');
    };
    await expect(observe()).resolves.toMatchObject({ desired: 'up' });
    expect(engine.opened).toBe(2);
    engine.agent = () => new Error('broken');
    await expect(observe()).rejects.toMatchObject({ type: 'Unreachable' });
    expect(engine.opened).toBe(3);
  });

  test('hands a refusal on without asking again', async () => {
    await held.warm(500);
    engine.agent = () => new Refusal('Superseded', 'run 8 holds it');
    await expect(observe()).rejects.toMatchObject({ type: 'Superseded' });
    expect(engine.asked).toEqual([`${STANDBY} observe`]);
  });

  test('keeps nobody waiting for longer than the limit', async () => {
    await held.warm(500);
    engine.agent = () => silence;
    await expect(held.use(30, (agent) => agent.call('observe', {}, 5000))).rejects.toThrow('no answer within 30 ms');
    await pause(5);
    expect(engine.open).toBe(0);
  });

  test('closed, it leaves nothing open, also nothing that was being opened', async () => {
    engine.openMs = 20;
    const used = observe();
    held.close();
    await expect(used).rejects.toThrow('asked no more');
    await pause(5);
    expect({ opened: engine.opened, open: engine.open }).toEqual({ opened: 1, open: 0 });
  });

  describe('asked whether a server can be reached', () => {
    const address = { host: 'p', port: 5432 };
    const answering = (answer: Record<string, unknown>) => {
      engine.agent = () => ({
        answers: [{ writable: false, standby: false, speaks: false, problem: null, ...answer }],
      });
    };

    test.each([
      ['a primary', { writable: true }, { answered: true, sees: true }],
      ['a standby', { standby: true }, { answered: true, sees: true }],
      [
        'a server that only says that it starts',
        { speaks: true, problem: 'the database system is starting up' },
        { answered: true, sees: false, problem: 'the database system is starting up' },
      ],
      ['nobody', { problem: 'connection refused' }, { answered: true, sees: false, problem: 'connection refused' }],
    ])('says so of %s', async (_what, answer, expected) => {
      answering(answer);
      expect(await askFrom(held, address, 100)).toMatchObject({ node: STANDBY, ...expected });
      expect(engine.args.at(-1)).toEqual({ addresses: [address], limitMs: 100 });
    });

    test('an agent that is silent itself says nothing about the server', async () => {
      engine.agent = () => silence;
      expect(await askFrom(held, address, 20)).toMatchObject({ node: STANDBY, answered: false, sees: false });
    });
  });
});
