import { SteadyClock } from '../../src/activities/clock';
import { until } from '../../src/activities/context';
import { endOfStretch } from '../../src/activities/guard/stretch';
import { Observatory } from '../../src/activities/guard/observatory';
import { guardPolicySchema } from '../../src/cluster/guard/policy';
import { FakeEngine, FakeServers, PRIMARY } from './guard/support/fake-engine';

/** The wall clock, set by so many milliseconds. */
function step(ms: number): void {
  const real = Date.now.bind(Date);
  jest.spyOn(Date, 'now').mockImplementation(() => real() + ms);
}

describe('a step of the wall clock', () => {
  afterEach(() => jest.restoreAllMocks());

  test('changes no duration between two times of a steady clock', () => {
    const clock = new SteadyClock();
    const before = clock.now();
    expect(Math.abs(before - Date.now())).toBeLessThan(1000);
    step(-300_000);
    expect(clock.now()).toBeGreaterThanOrEqual(before);
    step(300_000);
    expect(clock.now()).toBeLessThan(before + 5000);
  });

  test('backwards does not have the guard wait until it has caught up, nor take a round for a late one', async () => {
    const engine = new FakeEngine();
    const policy = guardPolicySchema.parse({ probeInterval: '20ms', probeLimit: '60ms' });
    const observatory = new Observatory(engine.deps, new FakeServers().access(), PRIMARY, policy);
    await observatory.open();
    try {
      const first = await observatory.round(() => Promise.resolve());
      step(-300_000);
      const began = performance.now();
      await observatory.pause(new AbortController().signal);
      expect(performance.now() - began).toBeLessThan(2000);
      const next = await observatory.round(() => Promise.resolve());
      expect(next.at).toBeGreaterThanOrEqual(first.at);
    } finally {
      observatory.close();
    }
  });

  test('forwards does not end a stretch of watching', () => {
    const ends = endOfStretch({}, 60_000);
    step(300_000);
    expect(ends.over()).toBe(false);
    ends.close();
  });

  test('backwards does not stretch a limit', async () => {
    let looks = 0;
    const waiting = until('what never comes', 40, 5, () => {
      if (++looks === 1) step(-300_000);
      return Promise.resolve(undefined);
    });
    await expect(waiting).rejects.toThrow('what never comes did not happen within 40 ms');
  });
});
