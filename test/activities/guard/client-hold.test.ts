import { ClientHold } from '../../../src/activities/guard/client-hold';
import { HeldAgent } from '../../../src/activities/guard/held-agents';
import { openPoolerAgent } from '../../../src/systems/agent';
import { FakeEngine, FakeServers, POOLER, PRIMARY, Refusal, STANDBY } from './support/fake-engine';

describe('clients are held', () => {
  let engine: FakeEngine;
  const holding = (mayHold = true) => {
    const pooler = new HeldAgent(POOLER, () => openPoolerAgent(engine.deps.docker, POOLER));
    return new ClientHold(engine.deps, new FakeServers().access(), pooler, {
      cluster: 'veloz',
      mayHold,
      incidentRun: 'run 7',
    });
  };
  const asked = () => engine.asked.map((each) => each.replace(`${POOLER} `, ''));
  beforeEach(() => {
    engine = new FakeEngine();
  });

  test('once, under the run of the failover that follows, without waiting for open transactions; and let go', async () => {
    const hold = holding();
    await Promise.all([hold.begin(), hold.begin()]);
    await hold.begin();
    expect(asked()).toEqual(['claim', 'hold']);
    expect(engine.args[1]).toMatchObject({
      token: { run: 'run 7' },
      wait: false,
      limitMs: 5000,
      candidates: [
        { host: PRIMARY, port: 5432 },
        { host: STANDBY, port: 5432 },
      ],
    });
    expect(hold.since).toBeLessThanOrEqual(Date.now());
    await hold.end();
    await hold.end();
    expect(asked()).toEqual(['claim', 'hold', 'release', 'forget']);
    expect(hold.since).toBeUndefined();
  });

  test('not where the guard would not fail over by itself', async () => {
    const hold = holding(false);
    await hold.begin();
    await hold.end();
    expect(asked()).toEqual([]);
  });

  test('not while a run holds the lock: its pooler is not taken from it', async () => {
    engine.holder = 'switchover/x';
    const hold = holding();
    await hold.begin();
    expect(hold.since).toBeUndefined();
    expect(asked()).toEqual([]);
    engine.holder = undefined;
    await hold.begin();
    expect(asked()).toEqual(['claim', 'hold']);
  });

  test('not again once the dead-man switch has let them go', async () => {
    engine.agent = (_node, command) => (command === 'hold' ? new Refusal('Expired', 'it let go') : {});
    const hold = holding();
    await hold.begin();
    await hold.begin();
    expect(asked()).toEqual(['claim', 'hold']);
    expect(hold.since).toBeUndefined();
  });

  test('at the next sign where the first attempt failed; nobody hears of the failure', async () => {
    const { agent } = engine;
    engine.agent = () => new Refusal('Busy');
    const hold = holding();
    await hold.begin();
    expect(hold.since).toBeUndefined();
    engine.agent = agent;
    await hold.begin();
    expect(hold.since).toBeDefined();
    engine.agent = () => new Refusal('Superseded');
    await hold.end();
  });

  test('by the attempt before this one: its hold is taken over, and let go by this one', async () => {
    const { agent } = engine;
    engine.agent = (node, command, args) =>
      command === 'observe'
        ? { hold: { sinceMs: 5, token: { run: 'run 7', attempt: 1 } } }
        : agent(node, command, args);
    const hold = holding();
    await hold.goOn();
    expect(hold.since).toBe(5);
    await hold.end();
    expect(asked()).toEqual(['observe', 'claim', 'release', 'forget']);
  });

  test.each([
    ['by another run', { hold: { sinceMs: 5, token: { run: 'run 8', attempt: 1 } } }],
    ['by nobody', { hold: null }],
  ])('%s: nothing is taken over', async (_what, observed) => {
    engine.agent = () => observed;
    const hold = holding();
    await hold.goOn();
    expect(hold.since).toBeUndefined();
    expect(asked()).toEqual(['observe']);
  });

  test('and a hold that is being taken is let go when it is there', async () => {
    const hold = holding();
    const taken = hold.begin();
    await hold.end();
    await taken;
    expect(asked()).toEqual(['claim', 'hold', 'release', 'forget']);
  });

  test('and the watch goes on while Temporal does not say who holds the lock; a hold that nobody wants any more is not begun', async () => {
    let says: (holder: string | undefined) => void = () => undefined;
    engine.deps.lockHolder = () => new Promise((resolve) => (says = resolve));
    const hold = holding();
    const beginning = hold.begin();
    await hold.end();
    says(undefined);
    await beginning;
    expect(asked()).toEqual([]);
    expect(hold.since).toBeUndefined();
  });

  test('but it is begun where a new sign came meanwhile', async () => {
    let says: (holder: string | undefined) => void = () => undefined;
    engine.deps.lockHolder = () => new Promise((resolve) => (says = resolve));
    const hold = holding();
    const beginning = hold.begin();
    await hold.end();
    void hold.begin();
    says(undefined);
    await beginning;
    expect(asked()).toEqual(['claim', 'hold']);
    await hold.end();
    expect(asked()).toEqual(['claim', 'hold', 'release', 'forget']);
  });
});
