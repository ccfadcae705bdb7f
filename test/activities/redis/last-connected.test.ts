import { lastConnectedTo, LastConnected } from '../../../src/activities/redis/last-connected';
import type { ObservedRedis } from '../../../src/cluster/redis/observed';
import { killed, master, MASTER, picture, replica, REPLICA, sentinelsNaming } from '../../cluster/redis/picture';

const well = { answered: true, ms: 1, role: 'master' } as const;
const gone = { answered: false, ms: 300 };
const of = (other: ObservedRedis['nodes'][number]) => picture([master(MASTER), other], sentinelsNaming(MASTER));
const connected = of(replica(REPLICA, MASTER));
const dead = of(killed(REPLICA));

describe('what a replica that was killed had', () => {
  let last: LastConnected;
  beforeEach(() => {
    last = new LastConnected(MASTER);
  });
  /** The master answers in each of these seconds, and everything is looked at. */
  const seconds = (from: number, to: number, picture: ObservedRedis) => {
    for (let at = from; at <= to; at++) last.see({ answer: well, picture }, at * 1000);
  };

  test('is all, where it was connected when the master was last heard', () => {
    seconds(0, 3, connected);
    last.see({ answer: gone, picture: dead }, 4000);
    expect(last.hadAll(REPLICA)).toBe(true);
  });

  test('is all but seconds, where it lost the master shortly before', () => {
    seconds(0, 3, connected);
    seconds(4, 9, dead);
    expect(last.hadAll(REPLICA)).toBe(true);
    seconds(10, 10, dead);
    expect(last.hadAll(REPLICA)).toBe(false);
    seconds(11, 11, connected);
    expect(last.hadAll(REPLICA)).toBe(true);
  });

  test.each([
    ['one that was never seen', () => undefined],
    ['one that was not connected', () => seconds(0, 3, of(replica(REPLICA, MASTER, {}, { up: false, downMs: 500 })))],
    [
      'one that was connected before nobody here looked for long',
      () => {
        seconds(0, 3, connected);
        last.see({ answer: gone, picture: dead }, 30_000);
      },
    ],
  ])('is not known of %s', (_what, happens) => {
    happens();
    expect(last.hadAll(REPLICA)).toBe(false);
  });

  test('is remembered over the stretches of the watch, for one master', () => {
    const deps = {};
    const first = lastConnectedTo(deps, 'veloz', MASTER);
    expect(lastConnectedTo(deps, 'veloz', MASTER)).toBe(first);
    expect(lastConnectedTo(deps, 'veloz', REPLICA)).not.toBe(first);
  });
});
