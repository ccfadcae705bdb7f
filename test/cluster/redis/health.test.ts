import { redisFindings } from '../../../src/cluster/redis/health';
import type { ObservedRedis, SentinelState } from '../../../src/cluster/redis/observed';
import {
  healthy,
  master,
  MASTER,
  picture,
  redisTopology,
  replica,
  REPLICA,
  sentinel,
  SENTINELS,
  sentinelsNaming,
  settings,
  silent,
  silentSentinel,
} from './picture';

const REPAIR = 'veloz-ha redis failover --cluster veloz --repair';

const findings = (observed: ObservedRedis) =>
  redisFindings(redisTopology(), observed).map(({ result, next }) => `${result}: ${next}`);

test('nothing is found where everything is as it should be', () => {
  expect(findings(healthy())).toEqual([]);
});

test('a stopped node and a frozen one are for a repair, and one that runs and is silent is looked into', () => {
  const withReplica = (status: string) => picture([master(MASTER), silent(REPLICA, status)], sentinelsNaming(MASTER));
  expect(findings(withReplica('exited'))).toEqual([`refuse: ${REPAIR}`]);
  expect(findings(withReplica('paused'))).toEqual([`refuse: ${REPAIR}`]);
  const running = silent(REPLICA, 'running');
  expect(findings(picture([master(MASTER), running], sentinelsNaming(MASTER)))).toEqual([
    `refuse: docker logs --tail 20 ${REPLICA}`,
  ]);
});

test('a node and a Sentinel that end each time that Docker starts them are told so', () => {
  const loops = { exists: true, running: true, status: 'restarting' };
  const [one, ...rest] = sentinelsNaming(MASTER);
  const nodes = [master(MASTER), { ...silent(REPLICA), container: loops }];
  const seen = picture(nodes, [...rest, { ...silentSentinel(one?.name ?? ''), container: loops }]);
  expect(redisFindings(redisTopology(), seen).map(({ refusal, next }) => [refusal, next])).toEqual([
    [`${REPLICA} ends each time that Docker starts it`, `docker logs --tail 20 ${REPLICA}`],
    [`${SENTINELS[0]} ends each time that Docker starts it`, `docker logs --tail 20 ${SENTINELS[0]}`],
  ]);
});

test('no master is told before everything else', () => {
  const lost = replica(REPLICA, MASTER, {}, { up: false, downMs: 1000 });
  expect(findings(picture([silent(MASTER), lost], sentinelsNaming(MASTER)))[0]).toBe(
    'refuse: veloz-ha redis failover --cluster veloz',
  );
});

test('a replica that the topology does not have is a warning', () => {
  const listed = (...hosts: string[]) => ({
    replicas: hosts.map((host) => ({ host, port: 6379, state: 'online', offset: 1000, silentMs: 0 })),
  });
  const seen = (...hosts: string[]) =>
    picture([master(MASTER, listed(...hosts)), replica(REPLICA, MASTER)], sentinelsNaming(MASTER));
  expect(findings(seen(REPLICA))).toEqual([]);
  expect(findings(seen(REPLICA, '10.0.0.9'))).toEqual([`warn: docker exec ${MASTER} redis-cli info replication`]);
});

test('a fault comes with the command that mends it', () => {
  const two = picture([master(MASTER), master(REPLICA)], sentinelsNaming(REPLICA));
  expect(findings(two)).toEqual([`refuse: ${REPAIR}`]);
  const none = picture([replica(MASTER, REPLICA), replica(REPLICA, MASTER)], sentinelsNaming(MASTER));
  expect(findings(none)).toEqual([`refuse: ${REPAIR}`]);
  const word = picture(healthy().nodes, [...sentinelsNaming(MASTER).slice(0, 2), sentinel(SENTINELS[2], REPLICA)]);
  expect(findings(word)).toEqual([`refuse: ${REPAIR}`]);
  const seen = { flags: ['s_down', 'master'], lastAnswerMs: 61_000 };
  const blind = sentinel(SENTINELS[2], MASTER, {}, seen);
  expect(
    redisFindings(redisTopology(), picture(healthy().nodes, [...sentinelsNaming(MASTER).slice(0, 2), blind])),
  ).toMatchObject([
    {
      result: 'refuse',
      measured: 'its last answer came 1 min 01 s ago (s_down, master)',
      limit: '10.0 s',
      next: REPAIR,
    },
  ]);
});

test('where a person has to decide nothing is proposed but a look', () => {
  const doubt = picture([master(MASTER), silent(REPLICA)], sentinelsNaming(REPLICA));
  expect(findings(doubt)[0]).toBe(`refuse: docker exec ${MASTER} redis-cli info replication`);
});

test('Sentinels without a majority are a problem, one that does not answer is told, and so is one without a quorum', () => {
  const { nodes } = healthy();
  const [one, two, three] = SENTINELS;
  const few = findings(picture(nodes, [sentinel(one, MASTER), silentSentinel(two), silentSentinel(three)]));
  expect(few).toContain(`refuse: docker start ${two}`);
  const deaf = { ...silentSentinel(three), container: { exists: true, running: true, status: 'running' } };
  expect(findings(picture(nodes, [sentinel(one, MASTER), sentinel(two, MASTER), deaf]))).toEqual([
    `warn: docker logs --tail 20 ${three}`,
  ]);
  const alone = sentinel(three, MASTER, { quorate: { ok: false, says: 'NOQUORUM' } });
  expect(findings(picture(nodes, [sentinel(one, MASTER), sentinel(two, MASTER), alone]))).toEqual([
    `warn: docker logs --tail 20 ${three}`,
  ]);
});

test.each([
  [{ downAfterMs: 3_600_000 }, 'would fail over late, or not at all', 'its down-after-milliseconds is 60 min 00 s'],
  [{ failoverTimeoutMs: 3_600_000 }, 'would fail over late, or not at all', 'its failover-timeout is 60 min 00 s'],
  [{ downAfterMs: 1 }, 'would fail over where nothing is wrong', 'its down-after-milliseconds is 1 ms'],
])('a Sentinel with another patience than the image sets is told: %j', (over, refusal, measured) => {
  const { nodes } = healthy();
  const [one, two, three] = SENTINELS;
  const seen = picture(nodes, [sentinel(one, MASTER), sentinel(two, MASTER), sentinel(three, MASTER, over)]);
  const [finding, ...more] = redisFindings(redisTopology(), seen);
  expect(finding).toMatchObject({ id: 'L1', result: 'warn', next: `docker restart ${three}` });
  expect(finding?.limit).not.toContain('a restart takes back');
  expect([finding?.refusal, finding?.measured]).toEqual([expect.stringContaining(refusal), measured]);
  expect(more).toEqual([]);
});

test('Sentinels that all have another patience may have it from their compose file, which no restart changes', () => {
  const all = (over: Partial<SentinelState>) =>
    redisFindings(
      redisTopology(),
      picture(
        healthy().nodes,
        SENTINELS.map((name) => sentinel(name, MASTER, over)),
      ),
    );
  expect(all({ downAfterMs: 15_000 }).map(({ next }) => next)).toEqual(
    SENTINELS.map((name) => `docker exec ${name} printenv VELOZ_REDIS_DOWN_AFTER_MS`),
  );
  expect(all({ downAfterMs: 15_000, failoverTimeoutMs: 1000 })[0]).toMatchObject({
    limit:
      '2.50 s to 10.0 s; the image sets 5.00 s, or what VELOZ_REDIS_DOWN_AFTER_MS of the compose file says, ' +
      '30.0 s to 2 min 00 s; the image sets 1 min 00 s, or what VELOZ_REDIS_FAILOVER_TIMEOUT_MS of the compose file says; ' +
      'a restart takes back only what somebody said by SENTINEL SET',
    next: `docker exec ${SENTINELS[0]} printenv VELOZ_REDIS_DOWN_AFTER_MS VELOZ_REDIS_FAILOVER_TIMEOUT_MS`,
  });
});

test('Sentinels that are as the image, or the file of the stack, sets them are well', () => {
  const { nodes } = healthy();
  const usual = { downAfterMs: 7000, failoverTimeoutMs: 60_000 };
  expect(
    findings(
      picture(
        nodes,
        SENTINELS.map((name) => sentinel(name, MASTER, usual)),
      ),
    ),
  ).toEqual([]);
});

test('of what was never started, the one command is told that starts it', () => {
  const absent = { exists: false, running: false, status: 'absent' };
  const nodes = [MASTER, REPLICA].map((name) => ({ ...silent(name), container: absent }));
  const sentinels = SENTINELS.map((name) => ({ ...silentSentinel(name), container: absent }));
  expect(new Set(findings(picture(nodes, sentinels)).map((line) => line.replace(/^\w+: /, '')))).toEqual(
    new Set(['veloz-ha stack up']),
  );
});

test('a node that keeps no append-only file is a problem, whatever its role', () => {
  const off = { keepsFile: false };
  const nodes = [master(MASTER, off), replica(REPLICA, MASTER, off)];
  expect(findings(picture(nodes, sentinelsNaming(MASTER)))).toEqual(
    [MASTER, REPLICA].map((name) => `refuse: docker exec ${name} redis-cli config set appendonly yes`),
  );
});

test.each([
  ['min-replicas-to-write', { minReplicas: 1 }, 'redis-cli config set min-replicas-to-write 0'],
  ['a snapshot that failed', { snapshotsStopWrites: true }, "redis-cli config set save ''"],
  ['a limit of memory that is passed', { maxMemory: 1024 * 1024 }, 'redis-cli config set maxmemory 0'],
])('%s is a problem of a master and of a replica', (_what, over, next) => {
  const nodes = [master(MASTER, settings(over)), replica(REPLICA, MASTER, settings(over))];
  expect(findings(picture(nodes, sentinelsNaming(MASTER)))).toEqual(
    [MASTER, REPLICA].map((name) => `refuse: docker exec ${name} ${next}`),
  );
  const well = [MASTER, REPLICA].map((name) =>
    name === MASTER
      ? master(name, settings({ maxMemory: 1 << 30 }))
      : replica(name, MASTER, settings({ maxMemory: 1 << 30 })),
  );
  expect(findings(picture(well, sentinelsNaming(MASTER)))).toEqual([]);
});

test('a master that refuses writes is a problem, and so is a node that knows another password', () => {
  const refuses = master(MASTER, { refusesWrites: 'NOREPLICAS Not enough good replicas to write' });
  const other = replica(REPLICA, MASTER, settings({ knowsPassword: false }));
  expect(redisFindings(redisTopology(), picture([refuses, other], sentinelsNaming(MASTER)))).toMatchObject([
    { id: 'L1', refusal: `${MASTER}, the master, takes no writes`, measured: refuses.state?.refusesWrites },
    { id: 'L1', next: `docker logs --tail 20 ${REPLICA}` },
  ]);
});

test('a replica that is not connected, or can not write its file, is a problem', () => {
  const apart = replica(REPLICA, MASTER, { writesFile: false }, { up: false, downMs: 9000 });
  expect(findings(picture([master(MASTER), apart], sentinelsNaming(MASTER)))).toEqual([
    `refuse: docker exec ${REPLICA} redis-cli info persistence`,
    `refuse: docker logs --tail 20 ${REPLICA}`,
  ]);
});

test('a node whose places are nearly all taken is told, and one of an older version is not', () => {
  const taken = (connected: number) =>
    findings(
      picture(
        [master(MASTER, settings({ clients: { most: 10_000, connected } })), replica(REPLICA, MASTER, settings())],
        sentinelsNaming(MASTER),
      ),
    );
  expect(taken(9001)).toEqual([`refuse: docker exec ${MASTER} redis-cli client list`]);
  expect(taken(9000)).toEqual([]);
});

test('a replica that lost its master for long is told once, with the repair', () => {
  const apart = replica(REPLICA, MASTER, {}, { up: false, downMs: 10_000 });
  expect(findings(picture([master(MASTER), apart], sentinelsNaming(MASTER)))).toEqual([`refuse: ${REPAIR}`]);
});

test('a replica that waits for its copy is told with what the master is at', () => {
  const apart = replica(REPLICA, MASTER, {}, { up: false, downMs: 60_000 });
  const seen = picture([master(MASTER, { childAtWork: true }), apart], sentinelsNaming(MASTER));
  expect(redisFindings(redisTopology(), seen)).toMatchObject([
    {
      refusal: `${REPLICA} is not connected to its master`,
      measured:
        'master_link_status is down; it may wait for its copy: the master has a child process at work (INFO persistence)',
      next: `docker exec ${MASTER} redis-cli info persistence`,
    },
  ]);
});

describe('Sentinels that lost what they knew', () => {
  // As docker/redis/veloz_redis says it, by way of the client's error.
  const error =
    `WAITING it names no master: ${REPLICA}, which may hold newer data, does not answer (limit: all 2 nodes answer). ` +
    `Next: docker start ${REPLICA}; where it is gone for good, on the node that has the data: docker exec NODE redis-cli replicaof no one`;
  const container = { exists: true, running: true, status: 'running' };
  const sentinels = SENTINELS.map((name) => ({ ...silentSentinel(name), container, error }));
  const nobody = replica(MASTER, '127.0.0.1', {}, { up: false, downMs: null });

  test('are told with the node that they wait for, and with what a person can do', () => {
    const told = redisFindings(redisTopology(), picture([nobody, silent(REPLICA)], sentinels));
    expect(told.find(({ refusal }) => refusal?.startsWith('the Sentinels lost what they knew'))).toMatchObject({
      result: 'refuse',
      measured: `${SENTINELS[0]}: ${REPLICA}, which may hold newer data, does not answer (limit: all 2 nodes answer)`,
      next: expect.stringMatching(`^docker start ${REPLICA}; where it is gone for good`) as string,
    });
  });

  test('a minority of them is told as one that does not answer', () => {
    const [one, two, three] = SENTINELS;
    const { nodes } = healthy();
    const few = [sentinel(one, MASTER), sentinel(two, MASTER), { ...silentSentinel(three), container, error }];
    expect(findings(picture(nodes, few))).toEqual([`warn: docker logs --tail 20 ${three}`]);
  });
});
