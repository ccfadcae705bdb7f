import { decideRedis } from '../../../src/cluster/redis/decide';
import { hungWithoutHeir, killedWithoutMaster, MASTER_FIRST_MS } from '../../../src/cluster/redis/masterless';
import type { ObservedRedis, ObservedRedisNode } from '../../../src/cluster/redis/observed';
import {
  killed,
  master,
  MASTER,
  picture,
  redisTopology,
  replica,
  REPLICA,
  sentinel,
  SENTINELS,
  sentinelsNaming,
  silent,
  silentSentinel,
  THIRD,
} from './picture';

const [one, two, three] = SENTINELS;
const off = (node: ObservedRedisNode): ObservedRedisNode => ({
  ...node,
  container: { ...node.container, offNetworks: { by: 'somebody', home: 'veloz-ha' } },
});

describe('a node that was killed while no master answers', () => {
  const seen = (its: ObservedRedisNode, other = killed(REPLICA), sentinels = sentinelsNaming(MASTER, 5000)) =>
    picture([its, other], sentinels);
  const may = (observed: ObservedRedis, hadAll = true, of: string | null = MASTER) =>
    killedWithoutMaster(observed, of, () => hadAll);

  test.each<[string, ObservedRedisNode]>([
    ['hangs', silent(MASTER, 'running')],
    ['is frozen', silent(MASTER, 'paused')],
    ['was told to stop', silent(MASTER)],
    ['has no container any more', silent(MASTER, 'absent')],
    ['answers as its replica', replica(MASTER, REPLICA, {}, { up: false, downMs: null })],
  ])(
    'may be started where the master %s and it had what that one had; else it lacks some, and is not',
    (_what, its) => {
      expect(may(seen(its))).toEqual({ nodes: [REPLICA] });
      expect(may(seen(its), false)).toEqual({ nodes: [] });
    },
  );

  test('may be started where the master follows it and was connected to it: that one has no more', () => {
    const its = replica(MASTER, REPLICA, {}, { up: false, downMs: 1000 });
    expect(may(seen(its), false)).toEqual({ nodes: [REPLICA] });
  });

  test('waits for the run where the master was killed too, and is started with that one where none came to it', () => {
    expect(may(seen(killed(MASTER)))).toEqual({ nodes: [MASTER, REPLICA], settleMs: MASTER_FIRST_MS });
    expect(may(seen(killed(MASTER)), false)).toEqual({ nodes: [MASTER], settleMs: MASTER_FIRST_MS });
  });

  test.each<[string, ObservedRedis]>([
    ['a person stopped it', seen(silent(MASTER, 'running'), silent(REPLICA))],
    ['a person took it off its networks', seen(silent(MASTER, 'running'), off(killed(REPLICA)))],
    ['another node is a master', picture([silent(MASTER), killed(REPLICA), master(THIRD)], sentinelsNaming(MASTER))],
    [
      'a Sentinel is failing over',
      seen(silent(MASTER, 'running'), killed(REPLICA), [
        sentinel(one, MASTER, {}, { flags: ['master', 'o_down', 'failover_in_progress'] }),
        ...sentinelsNaming(MASTER).slice(1),
      ]),
    ],
    ['the Sentinels name another one', seen(silent(MASTER, 'running'), killed(REPLICA), sentinelsNaming(REPLICA))],
    ['no majority of them names one', seen(silent(MASTER, 'running'), killed(REPLICA), sentinelsNaming(null))],
  ])('stays as it is where %s', (_why, observed) => {
    expect(may(observed)).toEqual({ nodes: [] });
  });

  test('is started whatever it had where the Sentinels lost what they knew: they wait for every node', () => {
    const waits = SENTINELS.map((name) => ({
      ...silentSentinel(name),
      error: `WAITING it names no master: ${REPLICA} does not answer. Next: docker start ${REPLICA}`,
    }));
    const lost = seen(killed(MASTER), killed(REPLICA), waits);
    expect(may(lost, false)).toEqual({ nodes: [MASTER, REPLICA] });
    expect(may(lost, false, null)).toEqual({ nodes: [MASTER, REPLICA] });
    // Two that know name it as ever.
    const knowing = [sentinel(two, MASTER), sentinel(three, MASTER), waits[0]!];
    expect(may(seen(silent(MASTER, 'running'), killed(REPLICA), knowing), false)).toEqual({ nodes: [] });
  });
});

describe('a master that hangs', () => {
  const hangs = (...others: ObservedRedisNode[]) =>
    hungWithoutHeir(
      redisTopology(),
      picture([silent(MASTER, 'running'), ...others], sentinelsNaming(MASTER, 5000)),
      MASTER,
    );

  test.each<[string, ObservedRedisNode]>([
    ['was told to stop', silent(REPLICA)],
    ['was killed', killed(REPLICA)],
    ['hangs too', silent(REPLICA, 'running')],
    ['was never connected to it', replica(REPLICA, MASTER, {}, { up: false, downMs: null })],
    ['lost it long before', replica(REPLICA, MASTER, {}, { up: false, downMs: 600_000 })],
  ])('is ended and started where its replica %s', (_what, other) => {
    expect(hangs(other)).toEqual([MASTER]);
  });

  test('is left to the failover where a replica can take over', () => {
    expect(hangs(replica(REPLICA, MASTER, {}, { up: false, downMs: 1000 }))).toEqual([]);
  });

  test.each<[string, ObservedRedisNode]>([
    ['has ended', killed(MASTER)],
    ['is restarted by Docker', silent(MASTER, 'restarting')],
    ['answers', master(MASTER)],
    ['was taken off its networks', off(silent(MASTER, 'running'))],
  ])('is no such one where it %s', (_what, its) => {
    const observed = picture([its, silent(REPLICA)], sentinelsNaming(MASTER, 5000));
    expect(hungWithoutHeir(redisTopology(), observed, MASTER)).toEqual([]);
  });

  test('may be frozen: it would wake up as the master', () => {
    const observed = picture([silent(MASTER, 'paused'), silent(REPLICA)], sentinelsNaming(MASTER, 5000));
    expect(hungWithoutHeir(redisTopology(), observed, MASTER)).toEqual([MASTER]);
  });
});

test.each<[string, ObservedRedisNode, ObservedRedisNode, string]>([
  ['hangs', silent(MASTER, 'running'), silent(REPLICA), `docker restart ${MASTER}`],
  ['is frozen', silent(MASTER, 'paused'), silent(REPLICA), `docker unpause ${MASTER}`],
  ['was stopped', silent(MASTER), silent(REPLICA), `docker start ${MASTER}`],
  [
    'is a replica of a node that is gone',
    replica(MASTER, REPLICA, {}, { up: false }),
    silent(REPLICA),
    `docker start ${REPLICA}`,
  ],
  [
    'hangs beside a replica that lacks what it has',
    silent(MASTER, 'running'),
    replica(REPLICA, MASTER, {}, { up: false, downMs: 600_000 }),
    `docker restart ${MASTER}`,
  ],
])('a person is told what has a master answer again that %s', (_what, its, other, next) => {
  const { checks } = decideRedis(redisTopology(), picture([its, other], sentinelsNaming(MASTER, 5000)), {});
  expect(checks.find(({ result }) => result === 'refuse')?.next).toBe(next);
});
