import { redisFindings } from '../../src/cluster/redis/health';
import { redisPicture, redisText } from '../../src/report/redis';
import { makeStyle } from '../../src/report/style';
import {
  healthy,
  master,
  MASTER,
  picture,
  redisTopology,
  replica,
  REPLICA,
  sentinelsNaming,
  silent,
} from '../cluster/redis/picture';

const style = makeStyle({ colour: false, unicode: true, width: 120 });

test('shows who is the master, who follows whom, how far behind, and whom the Sentinels name', () => {
  const nodes = [master(MASTER, { offset: 2024 }), replica(REPLICA, MASTER)];
  const shown = redisPicture(picture(nodes, sentinelsNaming(MASTER)), []);
  expect(shown.nodes).toMatchObject([
    { name: MASTER, role: 'master', offset: 2024 },
    { name: REPLICA, role: 'replica', follows: MASTER, link: 'up', lagBytes: 1024 },
  ]);
  expect(shown.sentinels.map(({ names }) => names)).toEqual([MASTER, MASTER, MASTER]);
  const text = redisText(shown, style);
  expect(text).toContain(`${REPLICA}  replica  ${MASTER}`);
  expect(text).not.toContain('✖');
});

test('no lag is told where there is no one master of the same history to compare with', () => {
  const two = redisPicture(picture([master(MASTER), master(REPLICA)], sentinelsNaming(MASTER)), []);
  expect(two.nodes.every(({ lagBytes }) => lagBytes === undefined)).toBe(true);
  const other = replica(REPLICA, MASTER, { replicationId: 'f'.repeat(40) });
  expect(redisPicture(picture([master(MASTER), other], []), []).nodes[1]).not.toHaveProperty('lagBytes');
});

test('what does not answer is told as stopped, unreachable or absent, and findings come with their command', () => {
  const roleOf = (status: string, exists = true) => {
    const node = silent(REPLICA, status);
    const seen = { ...node, container: { ...node.container, exists } };
    return redisPicture(picture([master(MASTER), seen], []), []).nodes[1]?.role;
  };
  expect(roleOf('exited')).toBe('stopped');
  expect(roleOf('running')).toBe('unreachable');
  expect(roleOf('unknown', false)).toBe('unreachable');
  expect(roleOf('absent', false)).toBe('absent');
  const seen = picture([master(MASTER), silent(REPLICA)], sentinelsNaming(MASTER));
  expect(redisText(redisPicture(seen, redisFindings(redisTopology(), seen)), style)).toContain(
    'next      veloz-ha redis failover --cluster veloz --repair',
  );
});

test('the document for programs holds no secret and no address of this machine', () => {
  expect(JSON.stringify(redisPicture(healthy(), []))).not.toMatch(/127\.0\.0\.1|password/);
});
