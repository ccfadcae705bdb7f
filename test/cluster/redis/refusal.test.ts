import { redisFindings } from '../../../src/cluster/redis/health';
import { moveThatMends } from '../../../src/cluster/redis/refusal';
import { master, MASTER, picture, redisTopology, replica, REPLICA, sentinelsNaming, silent } from './picture';

const FULL = 'MISCONF Errors writing to the AOF file: No space left on device';
const seen = (refusesWrites: string | undefined, other = replica(REPLICA, MASTER)) =>
  picture([master(MASTER, refusesWrites === undefined ? {} : { refusesWrites }), other], sentinelsNaming(MASTER));
const mends = (...of: Parameters<typeof seen>) => moveThatMends(redisTopology(), seen(...of));

test('a master whose disk takes no writes is moved away where a replica is fit for it', () => {
  const next = 'veloz-ha redis failover --cluster veloz';
  expect(mends(FULL)).toEqual({ target: REPLICA, next });
  expect(redisFindings(redisTopology(), seen(FULL))).toMatchObject([{ id: 'L1', measured: FULL, next }]);
});

test.each([
  ['it takes them', undefined],
  ['they wait', 'it waits: Command timed out'],
  ['it wants more replicas', 'NOREPLICAS Not enough good replicas to write'],
  ['the replica can not write either', FULL, replica(REPLICA, MASTER, { writesFile: false })],
  ['the replica is not connected', FULL, replica(REPLICA, MASTER, {}, { up: false, downMs: 9000 })],
  ['the replica is behind', FULL, replica(REPLICA, MASTER, { replicationId: 'another' })],
  ['no replica answers', FULL, silent(REPLICA)],
])('a move mends nothing where %s', (_why, refusesWrites, other = replica(REPLICA, MASTER)) => {
  expect(mends(refusesWrites, other)).toBeUndefined();
});

test('where nobody is fit for it the next command looks at the disk', () => {
  const other = replica(REPLICA, MASTER, { writesFile: false });
  expect(redisFindings(redisTopology(), seen(FULL, other)).map(({ next }) => next)).toContain(
    `docker exec ${MASTER} df -h /var/lib/redis`,
  );
});
