import { StoppedAgents } from '../../../src/activities/guard/stopped-agents';
import { FakeEngine, FakeServers, pause, POOLER, PRIMARY, Refusal, STANDBY } from './support/fake-engine';

describe('agents that somebody stopped by a signal, while their containers run', () => {
  let engine: FakeEngine;
  let agents: StoppedAgents;
  const begin = (mayWake = true) => {
    agents = new StoppedAgents(engine.deps, new FakeServers().access(), mayWake);
  };
  const asked = (node: string) => engine.asked.filter((each) => each === `${node} ask`).length;

  beforeEach(() => {
    engine = new FakeEngine();
    begin();
  });
  afterEach(async () => {
    agents.close();
    await pause(20);
    expect(engine.open).toBe(0);
  });

  /** Looks for as long as that is not so, as the watch does. */
  const until = async (holds: () => boolean, limitMs = 15_000) => {
    const end = performance.now() + limitMs;
    while (!holds() && performance.now() < end) {
      agents.look();
      await pause(100);
    }
    return holds();
  };

  test.each([POOLER, STANDBY, PRIMARY])(
    'that of %s is woken, and it is told once',
    async (node) => {
      expect(await until(() => asked(node) > 0)).toBe(true);
      engine.stopped.add(node);
      const told: string[] = [];
      expect(
        await until(() => {
          told.push(...agents.takeWoken());
          return told.length > 0;
        }),
      ).toBe(true);
      expect(engine.did).toEqual([`wake ${node}`]);
      expect(told).toEqual([expect.stringContaining(`the agent of ${node} was woken`)]);
    },
    20_000,
  );

  test('one whose container is paused, or that is only slow, is left alone', async () => {
    engine.agent = (_node, _command) => new Refusal('Unreachable');
    engine.status[STANDBY] = 'paused';
    engine.stopped.add(STANDBY);
    await until(() => false, 5000);
    expect(engine.did).toEqual([]);
    expect(agents.takeWoken()).toEqual([]);
  }, 20_000);

  test('one that a signal does not wake is tried again after a while, and told as nothing', async () => {
    engine.stopped.add(STANDBY);
    engine.deaf.add(STANDBY);
    await until(() => engine.did.length > 1);
    expect(engine.did).toEqual([`wake ${STANDBY}`, `wake ${STANDBY}`]);
    expect(agents.takeWoken()).toEqual([]);
  }, 20_000);

  test('people who let it do nothing have it ask nobody', async () => {
    begin(false);
    engine.stopped.add(POOLER);
    await until(() => false, 1000);
    expect([...engine.asked, ...engine.did]).toEqual([]);
  });

  test('a look waits for nobody, and one that answers is asked each few seconds', async () => {
    const before = performance.now();
    await until(() => false, 1500);
    expect(performance.now() - before).toBeLessThan(5000);
    expect([asked(POOLER), asked(PRIMARY), asked(STANDBY)]).toEqual([1, 1, 1]);
  });
});
