import { Astray } from '../../../src/activities/guard/astray';
import type { ActivityDeps } from '../../../src/activities/deps';
import type { LeftOver, MembersRound } from '../../../src/cluster/guard/mending';

const stray: LeftOver = { node: 's', says: 'its agent does not answer', key: 's running, silent', settleMs: 20_000 };
const round = (writable = ['p'], status = 'running'): MembersRound => ({
  writable,
  streams: [],
  commitsWait: false,
  members: [
    { name: 'p', optional: false, container: { status: 'running' } },
    { name: 's', optional: false, container: { status } },
  ],
});

describe('for how long a node has been astray', () => {
  const deps = {} as ActivityDeps;
  let now = 0;
  let clusters = 0;
  let cluster: string;
  beforeEach(() => {
    cluster = `c${++clusters}`;
  });
  const look = (ms: number, found: LeftOver[] = [stray], seen = round(), anew: string[] = []) => {
    now += ms;
    const astray = Astray.of(deps, cluster);
    astray.look(found, seen, now, anew);
    return astray.forMs('s', now);
  };

  test('counts on over the ends of stretches, on one worker and in one cluster', () => {
    expect([look(0), look(2000), look(2000)]).toEqual([0, 2000, 4000]);
    expect(Astray.of(deps, 'another').forMs('s', now)).toBe(0);
    expect(Astray.of({} as ActivityDeps, cluster).forMs('s', now)).toBe(0);
  });

  test.each<[string, MembersRound]>([
    ['Docker says nothing of it', round(['p'], 'unknown')],
    ['nobody takes writes', round([])],
    ['two take writes', round(['p', 'q'])],
  ])('counts on over a look in which %s', (_what, seen) => {
    look(0);
    look(2000, [], seen);
    expect(look(2000)).toBe(4000);
  });

  test.each<[string, () => void]>([
    ['it was well in between', () => void look(1000, [])],
    ['something changed', () => void look(1000, [{ ...stray, key: 's running, reached' }])],
    ['nobody looked for too long', () => void (now += 5000)],
    [
      'nothing was said of it for too long',
      () => [1, 2, 3, 4].forEach(() => void look(1500, [], round(['p'], 'unknown'))),
    ],
  ])('begins anew where %s', (_what, between) => {
    look(0);
    look(2000);
    between();
    expect(look(1000)).toBe(0);
  });

  test('begins anew after an attempt: what that left has its own time', () => {
    look(0);
    expect(look(2000, [stray], round(), ['s'])).toBe(0);
    expect(look(2000)).toBe(2000);
  });
});
