import { helloLine, nextEpoch } from '../../../src/cluster/redis/gossip';

test('a line has the eight fields of a Sentinel, and an epoch beyond every attempt that came to nothing', () => {
  const epoch = nextEpoch([3, 7, 0]);
  expect(epoch).toBeGreaterThan(50);
  const speaker = { id: 'ab12', host: 'veloz-redis-sentinel-1', port: 26379 };
  expect(helloLine(speaker, 'veloz-master', { host: 'veloz-redis-replica', port: 6379 }, epoch)).toBe(
    `veloz-redis-sentinel-1,26379,ab12,${epoch},veloz-master,veloz-redis-replica,6379,${epoch}`,
  );
  expect(nextEpoch([])).toBeGreaterThan(0);
});
