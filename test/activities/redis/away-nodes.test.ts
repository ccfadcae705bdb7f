import { AwayNodes } from '../../../src/activities/redis/away-nodes';
import type { ObservedRedisNode } from '../../../src/cluster/redis/observed';
import { master, MASTER, picture, replica, REPLICA, sentinelsNaming, silent } from '../../cluster/redis/picture';

const beside = (node: ObservedRedisNode) => picture([master(MASTER), node], sentinelsNaming(MASTER));
const loops = `${REPLICA} ends each time that Docker starts it: nobody could take over. Next: docker logs --tail 20 ${REPLICA}`;

test('a node that ends each time that Docker starts it is told after ten seconds, whatever Docker says at the moment', () => {
  const away = new AwayNodes();
  away.see(beside(silent(REPLICA, 'restarting')), MASTER, 0);
  expect([away.trouble, away.pending]).toEqual([undefined, true]);
  away.see(beside(silent(REPLICA, 'running')), MASTER, 5000);
  // It reads its files, and ends over them.
  away.see(beside(replica(REPLICA, MASTER, { loading: true })), MASTER, 8000);
  away.see(beside(silent(REPLICA, 'running')), MASTER, 10_000);
  expect([away.trouble, away.pending]).toEqual([loops, false]);
});

test('one that answers in between begins anew', () => {
  const away = new AwayNodes();
  away.see(beside(silent(REPLICA, 'restarting')), MASTER, 0);
  away.see(beside(replica(REPLICA, MASTER)), MASTER, 5000);
  away.see(beside(silent(REPLICA, 'running')), MASTER, 12_000);
  expect(away.trouble).toBeUndefined();
  away.see(beside(replica(REPLICA, MASTER)), MASTER, 30_000);
  expect([away.trouble, away.pending]).toEqual([undefined, false]);
});

const apart = (link = {}) => beside(replica(REPLICA, MASTER, {}, { up: false, downMs: 1000, ...link }));

test('a replica that answers and is not connected is told after ten seconds, until it is', () => {
  const away = new AwayNodes();
  away.see(apart(), MASTER, 0);
  expect([away.trouble, away.pending]).toEqual([undefined, true]);
  away.see(apart(), MASTER, 10_000);
  expect(away.trouble).toBe(
    `${REPLICA} is not connected to ${MASTER}, which it follows: nobody could take over. Next: veloz-ha redis failover --cluster veloz --repair`,
  );
  away.see(beside(replica(REPLICA, MASTER)), MASTER, 13_000);
  expect([away.trouble, away.pending]).toEqual([undefined, false]);
});

test('one that waits for its copy is told with that, and not for a repair', () => {
  const away = new AwayNodes();
  const replicas = [{ host: REPLICA, port: 6379, state: 'wait_bgsave', offset: 0, silentMs: 0 }];
  const waits = picture(
    [master(MASTER, { childAtWork: true, replicas }), replica(REPLICA, MASTER, {}, { up: false, downMs: 1000 })],
    sentinelsNaming(MASTER),
  );
  away.see(waits, MASTER, 0);
  away.see(waits, MASTER, 10_000);
  expect(away.trouble).toBe(
    `${REPLICA} is not connected to ${MASTER}, which it follows, and waits for its copy (state=wait_bgsave): nobody could take over. Next: docker exec ${MASTER} redis-cli info persistence`,
  );
});

test('a replica that is being copied is not told, and one whose copy breaks off again and again is', () => {
  const away = new AwayNodes();
  away.see(apart({ syncing: true }), MASTER, 0);
  away.see(apart({ syncing: true }), MASTER, 20_000);
  expect([away.trouble, away.pending]).toEqual([undefined, false]);
  away.see(apart(), MASTER, 21_000);
  away.see(apart({ syncing: true }), MASTER, 24_000);
  away.see(apart(), MASTER, 32_000);
  expect(away.trouble).toMatch(/is not connected/);
});
