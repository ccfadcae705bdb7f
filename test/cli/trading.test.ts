import { observeTrading, isAbsent, tradingContainers } from '../../src/cli/trading';
import { parseTopology } from '../../src/cluster/topology';
import { loadTopology } from '../../src/systems/topology-file';
import { enginePicture } from '../cluster/engine/picture';
import { healthy, picture, silent } from '../cluster/redis/picture';
import { topologyDocument } from '../cluster/support/picture';

test('the containers of the shipped stack besides PostgreSQL and PgBouncer', () => {
  const cluster = loadTopology().clusters.veloz;
  expect(cluster && tradingContainers(cluster)).toEqual([
    'veloz-redis-master',
    'veloz-redis-replica',
    'veloz-redis-sentinel-1',
    'veloz-redis-sentinel-2',
    'veloz-redis-sentinel-3',
    'veloz-engine-1',
    'veloz-engine-2',
    'veloz-haproxy',
  ]);
});

test('a topology without these tiers has nothing to look at', async () => {
  const parsed = parseTopology(topologyDocument());
  const cluster = 'topology' in parsed ? parsed.topology.clusters.veloz : undefined;
  expect(cluster && tradingContainers(cluster)).toEqual([]);
  expect(cluster && (await observeTrading('veloz', cluster, {}))).toEqual({});
});

test('Redis that nobody started is told from Redis that ended', () => {
  const absent = { ...silent('a', 'absent'), container: { exists: false, running: false, status: 'absent' } };
  expect(isAbsent(picture([absent], []))).toBe(true);
  expect(isAbsent(picture([absent, silent('b', 'exited')], []))).toBe(false);
  expect(isAbsent(healthy())).toBe(false);
  expect(isAbsent(enginePicture().observed)).toBe(false);
});
