import { decideAway, decideBack } from '../../../src/cluster/maintenance/decide';
import { rolesOf, type ObservedTiers, type TierRoles } from '../../../src/cluster/maintenance/roles';
import { nodesOfSide, tiersOf } from '../../../src/cluster/maintenance/sides';
import { clusterTopology, picture, POOLER, PRIMARY, STANDBY, STANDBY_2, stopped, turned } from '../support/picture';
import { ENGINES, enginesWith, fullTopology, HAPROXY, REDIS, redisWith, SENTINELS } from './tiers';

const seen = (rest: Partial<ObservedTiers> = {}): TierRoles[] =>
  rolesOf({ postgres: picture().observed, redis: redisWith(REDIS[0]), engines: enginesWith(ENGINES[0]), ...rest });
const refused = ({ checks }: Pick<ReturnType<typeof decideAway>, 'checks'>) =>
  checks.filter(({ result }) => result === 'refuse').map(({ id, measured }) => `${id} ${measured}`);
const moves = (decision: Pick<ReturnType<typeof decideAway>, 'moves'>) =>
  decision.moves.map(({ tier, from, to }) => `${tier} ${from} ${to}`);

const ALL = [`engine ${ENGINES[0]} ${ENGINES[1]}`, `redis ${REDIS[0]} ${REDIS[1]}`, `postgres ${PRIMARY} ${STANDBY}`];

describe('sides', () => {
  test('the first node of each list is on side 1, the second on side 2, any other on neither', () => {
    expect(nodesOfSide(fullTopology(), 1)).toEqual([ENGINES[0], REDIS[0], PRIMARY]);
    expect(nodesOfSide(fullTopology(), 2)).toEqual([ENGINES[1], REDIS[1], STANDBY]);
  });

  test('what the topology says counts', () => {
    const topology = fullTopology((cluster) => {
      const { nodes } = cluster.postgres as { nodes: Record<string, unknown>[] };
      Object.assign(nodes[0] ?? {}, { side: 2 });
      Object.assign(nodes[2] ?? {}, { side: 1 });
    });
    expect(nodesOfSide(topology, 1)).toEqual([ENGINES[0], REDIS[0], STANDBY_2]);
    expect(nodesOfSide(topology, 2)).toEqual([ENGINES[1], REDIS[1], PRIMARY, STANDBY]);
  });

  test('a cluster without Redis and engines has one tier; engines without HAProxy can not be steered', () => {
    expect(tiersOf(clusterTopology())).toEqual(['postgres']);
    expect(tiersOf(fullTopology())).toEqual(['engine', 'redis', 'postgres']);
    expect(tiersOf(fullTopology((cluster) => delete cluster.haproxy))).toEqual(['redis', 'postgres']);
  });
});

describe('away', () => {
  test('engine first, then Redis, then PostgreSQL', () => {
    const decision = decideAway(fullTopology(), 'veloz', seen(), { side: 1 });
    expect(refused(decision)).toEqual([]);
    expect(moves(decision)).toEqual(ALL);
  });

  test('only tiers that are active there, and tiers that there are', () => {
    const some = decideAway(fullTopology(), 'veloz', seen({ redis: redisWith(REDIS[1]) }), { side: 1 });
    expect(moves(some)).toEqual([ALL[0], ALL[2]]);
    expect(moves(decideAway(fullTopology(), 'veloz', seen(), { side: 2 }))).toEqual([]);
    const alone = rolesOf({ postgres: picture().observed });
    expect(moves(decideAway(clusterTopology(), 'veloz', alone, { side: 1 }))).toEqual([ALL[2]]);
  });

  test('by names: what other nodes do is of no interest', () => {
    const engines = enginesWith('nobody');
    const decision = decideAway(fullTopology(), 'veloz', seen({ engines }), { nodes: [REDIS[0]] });
    expect(refused(decision)).toEqual([]);
    expect(moves(decision)).toEqual([ALL[1]]);
  });

  test('of several that could take over a synchronous one comes first', () => {
    const three = picture({ three: true });
    const primary = three.node(PRIMARY);
    for (const row of primary.sql.replication) row.syncState = row.slot?.endsWith('_2') === true ? 'sync' : 'potential';
    const decision = decideAway(fullTopology(), 'veloz', seen({ postgres: three.observed }), { nodes: [PRIMARY] });
    expect(moves(decision)).toEqual([`postgres ${PRIMARY} ${STANDBY_2}`]);
  });

  test('refused when nobody else is there', () => {
    const all = decideAway(fullTopology(), 'veloz', seen(), { nodes: [...ENGINES] });
    expect(refused(all)).toEqual([`A2 ${ENGINES.join(', ')} has every node that could: ${ENGINES.join(', ')}`]);
    const down = picture();
    stopped(down.node(STANDBY));
    const decision = decideAway(fullTopology(), 'veloz', seen({ postgres: down.observed }), { side: 1 });
    expect(refused(decision)).toEqual([expect.stringMatching(`^A2 ${STANDBY}: `)]);
  });

  test('refused unless exactly one member of a tier is active', () => {
    const decision = decideAway(
      fullTopology(),
      'veloz',
      seen({ engines: enginesWith('nobody'), redis: redisWith('nobody') }),
      { side: 1 },
    );
    expect(decision.checks.filter(({ result }) => result === 'refuse').map(({ id }) => id)).toEqual(['L4', 'L3']);
  });

  test.each([
    [[POOLER], 'is the only one of its kind'],
    [[HAPROXY], 'is the only one of its kind'],
    [['veloz-nobody'], 'is no node of the cluster'],
    [SENTINELS.slice(0, 2), 'too few Sentinels would stay'],
  ])('not %j: it %s', (nodes, says) => {
    const { checks } = decideAway(fullTopology(), 'veloz', seen(), { nodes });
    expect(checks.find(({ result }) => result === 'refuse')?.refusal).toContain(says);
  });

  test('a Sentinel more or less is none of its business while enough stay', () => {
    const decision = decideAway(fullTopology(), 'veloz', seen(), { nodes: [SENTINELS[0], REDIS[0]] });
    expect(refused(decision)).toEqual([]);
    expect(moves(decision)).toEqual([ALL[1]]);
  });
});

describe('back', () => {
  const away = [
    { tier: 'engine', from: ENGINES[0], to: ENGINES[1] },
    { tier: 'redis', from: REDIS[0], to: REDIS[1] },
    { tier: 'postgres', from: PRIMARY, to: STANDBY },
  ] as const;
  const there = () =>
    seen({
      postgres: turned(picture()).observed,
      redis: redisWith(REDIS[1]),
      engines: enginesWith(ENGINES[1]),
    });

  test('in reverse', () => {
    const decision = decideBack('veloz', there(), away);
    expect(refused(decision)).toEqual([]);
    expect(moves(decision)).toEqual([
      `postgres ${STANDBY} ${PRIMARY}`,
      `redis ${REDIS[1]} ${REDIS[0]}`,
      `engine ${ENGINES[1]} ${ENGINES[0]}`,
    ]);
  });

  test('only what is still away', () => {
    expect(moves(decideBack('veloz', seen(), away))).toEqual([]);
    expect(moves(decideBack('veloz', there(), away.slice(1, 2)))).toEqual([`redis ${REDIS[1]} ${REDIS[0]}`]);
  });

  test('refused while its home is not there, before anything is moved', () => {
    const redis = redisWith(REDIS[1]);
    const [home] = redis.nodes;
    if (home !== undefined) Object.assign(home, { state: null, error: 'connect ECONNREFUSED' });
    const decision = decideBack('veloz', seen({ redis }), away);
    expect(refused(decision)).toEqual(['A2 connect ECONNREFUSED']);
  });
});
