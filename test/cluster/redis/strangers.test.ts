import { newerSeen, nextSeen } from '../../../src/cluster/redis/strangers';
import type { ObservedRedis, ObservedRedisNode } from '../../../src/cluster/redis/observed';
import { master, MASTER, picture, replica, REPLICA, seenOf, sentinelsNaming, silent } from './picture';

const STRANGER = '10.0.0.9:6379';
const listing = (...hosts: string[]) => ({
  replicas: hosts.map((host) => ({ host, port: 6379, state: 'online', offset: 1000, silentMs: 0 })),
});

describe('what is remembered of the list of replicas of a master', () => {
  /** A look at that moment. */
  const look = (at: number, nodes: ObservedRedisNode[]): ObservedRedis => ({
    ...picture(nodes, sentinelsNaming(MASTER)),
    at,
  });
  const strange = look(10, [master(MASTER, listing(REPLICA, '10.0.0.9')), replica(REPLICA, MASTER)]);

  test('that there was none but those of the topology, and when', () => {
    const seen = look(10, [master(MASTER, listing(REPLICA)), replica(REPLICA, MASTER)]);
    expect(nextSeen(undefined, seen, MASTER)).toEqual(seenOf(MASTER, [], 10));
  });

  test('a stranger, also once the master gives no answer', () => {
    const seen = nextSeen(undefined, strange, MASTER);
    expect(seen).toEqual(seenOf(MASTER, [STRANGER], 10));
    expect(nextSeen(seen, look(20, [silent(MASTER), replica(REPLICA, MASTER)]), MASTER)).toEqual(seen);
  });

  test('a stranger that left, until every node has what it may have confirmed', () => {
    const before = nextSeen(undefined, strange, MASTER);
    const left = { ...listing(REPLICA), offset: 2000 };
    const behind = nextSeen(before, look(20, [master(MASTER, left), replica(REPLICA, MASTER)]), MASTER);
    expect(behind).toMatchObject({ at: 20, strangers: [STRANGER], owed: { offset: 2000 } });
    const away = nextSeen(behind, look(30, [master(MASTER, left), silent(REPLICA)]), MASTER);
    expect(away).toMatchObject({ at: 30, strangers: [STRANGER], owed: { offset: 2000 } });
    // The master goes on; what counts is what it had when the stranger was gone.
    const now = [master(MASTER, { ...left, offset: 3000 }), replica(REPLICA, MASTER, { offset: 2500 })];
    expect(nextSeen(away, look(40, now), MASTER)).toEqual(seenOf(MASTER, [], 40));
  });

  test('a stranger that comes again after it left counts anew', () => {
    const owed = { history: 'a'.repeat(40), offset: 5 };
    expect(nextSeen({ ...seenOf(MASTER, [STRANGER], 5), owed }, strange, MASTER)).toEqual(
      seenOf(MASTER, [STRANGER], 10),
    );
  });

  test('nothing of another master, and nothing while two are masters', () => {
    const before = seenOf(REPLICA, [STRANGER], 5);
    const seen = look(10, [master(MASTER, listing(REPLICA)), replica(REPLICA, MASTER)]);
    expect(nextSeen(before, seen, MASTER)).toEqual(seenOf(MASTER, [], 10));
    const two = look(10, [master(MASTER), master(REPLICA)]);
    expect(nextSeen(before, two, MASTER)).toEqual(before);
  });

  test('of two the newer one', () => {
    const [old, young] = [seenOf(MASTER, [], 5), seenOf(MASTER, [STRANGER], 6)];
    expect(newerSeen(old, young)).toBe(young);
    expect(newerSeen(young, old)).toBe(young);
    expect(newerSeen(undefined, old)).toBe(old);
    expect(newerSeen(old, undefined)).toBe(old);
  });
});
