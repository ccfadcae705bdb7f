import { guardPolicySchema } from '../../../src/cluster/guard/policy';
import {
  hangingIn,
  judgeRedis,
  keyOfRedis,
  killedBeside,
  leftBehind,
  leftBehindSays,
  undecidedSays,
  type RedisAnswer,
  type RedisRound,
} from '../../../src/cluster/redis/watch';
import type { ObservedRedis, ObservedRedisNode } from '../../../src/cluster/redis/observed';
import {
  healthy,
  killed,
  MASTER,
  master,
  picture,
  REPLICA,
  replica,
  sentinel,
  SENTINELS,
  sentinelsNaming,
  silent,
  silentSentinel,
} from './picture';

const T0 = 1_795_405_898_000;
const policy = guardPolicySchema.parse({});
const limits = { policy, silenceMs: 3000 };

const well: RedisAnswer = { answered: true, ms: 1, role: 'master' };
const refused: RedisAnswer = { answered: false, ms: 1, problem: 'connect ECONNREFUSED 127.0.0.1:16379' };
const late: RedisAnswer = { answered: false, ms: 300, problem: 'no answer within 300 ms' };

const round = (at: number, answer: RedisAnswer, seen?: ObservedRedis, over: Partial<RedisRound> = {}): RedisRound => ({
  at: T0 + at,
  lateMs: 0,
  master: MASTER,
  answer,
  ...(seen === undefined ? {} : { picture: seen }),
  ...over,
});

/** The master is as told; the Sentinels last heard from it so long ago, and so did the replica. */
const seenBy = (node: ObservedRedisNode, heardMs: number, over: Partial<ObservedRedis> = {}): ObservedRedis => ({
  ...picture(
    [node, replica(REPLICA, MASTER, {}, { up: heardMs < 10_000, silentMs: heardMs })],
    sentinelsNaming(MASTER, heardMs),
  ),
  ...over,
});
const ended = (exitCode?: number): ObservedRedisNode => {
  const node = silent(MASTER);
  return exitCode === undefined ? node : { ...node, container: { ...node.container, exitCode } };
};
/** A master that has given no answer for so long, as nobody else has had one either. */
const silentFor = (ms: number, node: ObservedRedisNode = silent(MASTER, 'running')): RedisRound[] => {
  const rounds = [round(-200, well)];
  for (let at = 0; at <= ms; at += 500) rounds.push(round(at, late, seenBy(node, at + 400)));
  return rounds;
};
const judge = (rounds: RedisRound[]) => judgeRedis(rounds, limits);

describe('a master', () => {
  test('that answers is well', () => {
    expect(judge([round(0, well)])).toEqual({ state: 'healthy', says: `${MASTER} answered in 1 ms` });
    expect(judge([round(0, well, healthy())]).state).toBe('healthy');
  });

  test('whose container was killed has failed at once, with the evidence', () => {
    const verdict = judge([round(0, well), round(200, refused, seenBy(ended(137), 300))]);
    expect(verdict).toMatchObject({
      state: 'failed',
      kind: 'dead',
      since: T0 + 200,
      says: `${MASTER} is dead: its container is exited, exit code 137, and it gives no answer (connect ECONNREFUSED 127.0.0.1:16379)`,
    });
    const signals = 'signals' in verdict ? verdict.signals : [];
    expect(signals.map(({ source, speaks }) => `${source} ${speaks}`)).toEqual([
      'redis for',
      'docker for',
      `replica ${REPLICA} against`,
      ...SENTINELS.map((name) => `sentinel ${name} neither`),
    ]);
  });

  test('whose container is gone has failed at once', () => {
    const gone = { ...silent(MASTER), container: { exists: false, running: false, status: 'absent' } };
    expect(judge([round(0, refused, seenBy(gone, 300))])).toMatchObject({ state: 'failed', kind: 'dead' });
  });

  test('that was told to end may be on its way back; for good it has failed', () => {
    const rounds = [round(0, well), round(200, refused, seenBy(ended(0), 300))];
    expect(judge(rounds)).toMatchObject({ state: 'suspect' });
    expect(judge([...rounds, round(2900, refused, seenBy(ended(0), 3000))])).toMatchObject({ state: 'suspect' });
    expect(judge([...rounds, round(3300, refused, seenBy(ended(0), 3400))])).toMatchObject({
      state: 'failed',
      kind: 'dead',
    });
  });

  test.each(['running', 'paused', 'restarting'])(
    'that is %s and answers nobody has failed after the limit, and not before',
    (status) => {
      const node = silent(MASTER, status);
      expect(judge(silentFor(1000, node))).toMatchObject({ state: 'suspect' });
      expect(judge(silentFor(2500, node))).toMatchObject({ state: 'suspect' });
      expect(judge(silentFor(3000, node))).toMatchObject({
        state: 'failed',
        kind: 'silent',
        since: T0,
        says: expect.stringContaining("can't reach it either") as unknown,
      });
    },
  );

  test('that answers once within the limit begins its silence anew', () => {
    const rounds = silentFor(2500);
    rounds.push(round(2600, well), round(3100, late, seenBy(silent(MASTER, 'running'), 3000)));
    expect(judge(rounds)).toMatchObject({ state: 'suspect' });
  });

  test.each([
    ['a Sentinel', { sentinels: [...sentinelsNaming(MASTER, 9000).slice(1), sentinel(SENTINELS[0], MASTER)] }],
    ['a replica', { nodes: [silent(MASTER, 'running'), replica(REPLICA, MASTER)] }],
  ])('that only this observer can’t reach has not failed: %s hears from it', (_who, over) => {
    const rounds = silentFor(20_000);
    rounds.push(round(20_200, late, seenBy(silent(MASTER, 'running'), 20_000, over)));
    const verdict = judge(rounds);
    expect(verdict).toMatchObject({ state: 'observer in doubt' });
    expect(verdict.says).toContain('heard from it within 2.00 s');
  });

  test('about which no majority of the Sentinels can be asked has not failed: one way alone proves nothing', () => {
    const rounds = silentFor(4000);
    const sentinels = [sentinel(SENTINELS[0], MASTER, {}, { lastAnswerMs: 9000 }), silentSentinel(SENTINELS[1])];
    sentinels.push(silentSentinel(SENTINELS[2]));
    rounds.push(round(4200, late, seenBy(silent(MASTER, 'running'), 9000, { sentinels })));
    expect(judge(rounds)).toMatchObject({ state: 'observer in doubt' });
  });

  test('that Docker does not tell of has failed when nobody reaches it', () => {
    expect(judge(silentFor(3000, silent(MASTER, 'unknown')))).toMatchObject({ state: 'failed', kind: 'silent' });
  });

  test('that was silent while the observer itself was stalled has not failed', () => {
    const stalled = round(200, { ...late, ms: 2300 }, seenBy(silent(MASTER, 'running'), 2500));
    expect(judge([round(0, well), stalled])).toMatchObject({ state: 'observer in doubt' });
    const lateRound = round(4000, late, seenBy(silent(MASTER, 'running'), 4000), { lateMs: 2000 });
    expect(judge([...silentFor(2500), lateRound])).toMatchObject({ state: 'observer in doubt' });
    // What follows is counted from here on.
    const next = round(4500, late, seenBy(silent(MASTER, 'running'), 4500));
    expect(judge([...silentFor(2500), lateRound, next])).toMatchObject({ state: 'suspect' });
  });

  test('that answers the look and not the question is slow', () => {
    expect(judge([...silentFor(4000), round(4500, late, healthy())])).toMatchObject({ state: 'suspect' });
  });

  test('that answers as a replica is odd, and no failure', () => {
    const verdict = judge([round(0, { ...well, role: 'replica' })]);
    expect(verdict).toMatchObject({ state: 'suspect' });
    expect(keyOfRedis(verdict)).toBe('suspect');
  });
});

describe('the Sentinels', () => {
  test('that fail over are left to it, even where the container was killed', () => {
    const sentinels = sentinelsNaming(MASTER, 5000);
    sentinels[1] = sentinel(SENTINELS[1], MASTER, {}, { flags: ['master', 'o_down', 'failover_in_progress'] });
    expect(judge([round(0, refused, seenBy(ended(137), 5000, { sentinels }))])).toMatchObject({
      state: 'sentinels act',
      says: `${SENTINELS[1]} is failing over from ${MASTER}: it is left to it`,
    });
  });

  test('that name another master have moved it, whatever the old one says', () => {
    const seen = picture([silent(MASTER), master(REPLICA)], sentinelsNaming(REPLICA));
    for (const answer of [well, refused])
      expect(judge([round(0, answer, seen)])).toMatchObject({ state: 'moved', master: REPLICA });
  });

  test('of which one alone names another master have not moved it', () => {
    const sentinels = [sentinel(SENTINELS[0], REPLICA), ...sentinelsNaming(MASTER).slice(1)];
    expect(judge([round(0, well, { ...healthy(), sentinels })]).state).toBe('healthy');
  });

  test('that name nobody leave the guard without a master, and nothing follows', () => {
    expect(judge([round(0, refused, undefined, { master: null })])).toMatchObject({ state: 'suspect' });
  });
});

describe('what is left behind', () => {
  const moved = (old: ObservedRedisNode, sentinels = sentinelsNaming(REPLICA)) =>
    picture([old, master(REPLICA)], sentinels);

  test('is nothing where all is well, nor where a person stopped a replica', () => {
    expect(leftBehind(healthy(), null)).toEqual([]);
    expect(leftBehind(picture([master(MASTER), silent(REPLICA)], sentinelsNaming(MASTER)), null)).toEqual([]);
    expect(leftBehind(moved(silent(MASTER)), null)).toEqual([]);
  });

  test('is the container of the master that was replaced, unless a person stopped it', () => {
    for (const code of [0, 143]) expect(leftBehind(moved(silent(MASTER, 'exited', code)), MASTER)).toEqual([]);
    const faults = leftBehind(moved(killed(MASTER)), MASTER);
    expect(faults).toEqual([{ kind: 'stopped', node: MASTER, status: 'exited' }]);
    expect(leftBehindSays(faults)).toBe(`something is not as it should be: the container ${MASTER} does not run`);
  });

  test('is a node that a run took off its networks, whoever was the master; and nothing that a person did', () => {
    const off = (by: 'run' | 'somebody', status: string, exitCode?: number) => {
      const node = silent(MASTER, status);
      const end = exitCode === undefined ? {} : { exitCode };
      return { ...node, container: { ...node.container, ...end, offNetworks: { by, home: 'veloz-ha' } } };
    };
    const left = (node: ObservedRedisNode, movedFrom: string | null = null) =>
      leftBehind(moved(node), movedFrom).map(({ kind }) => kind);
    expect(left(off('run', 'running'))).toEqual(['cut off']);
    expect(left(off('run', 'exited', 137))).toEqual(['stopped']);
    expect(left(off('run', 'exited', 0))).toEqual([]);
    expect(left(off('somebody', 'running'), MASTER)).toEqual([]);
    expect(left(off('somebody', 'exited', 137), MASTER)).toEqual([]);
    expect(hangingIn(leftBehind(moved(off('run', 'running')), null))).toEqual([MASTER]);
  });

  test('is a replica that follows somebody else, and a Sentinel that says something else', () => {
    const word = [sentinel(SENTINELS[0], MASTER), ...sentinelsNaming(REPLICA).slice(1)];
    expect(leftBehind(moved(replica(MASTER, 'nobody'), word), null).map(({ kind }) => kind)).toEqual([
      'astray',
      'wrong word',
    ]);
  });

  test('is nothing where only a person can say what is right', () => {
    const seen = picture([master(MASTER), master(REPLICA, { replicationId: 'other' })], sentinelsNaming(null));
    expect(leftBehind(seen, MASTER)).toEqual([]);
  });
});

describe('a node that was killed', () => {
  const beside = (node: ObservedRedisNode, movedFrom: string | null = null) =>
    killedBeside(picture([master(MASTER), node], sentinelsNaming(MASTER)), movedFrom);

  test('beside the master that the Sentinels name may be started at once', () => {
    expect(beside(killed(REPLICA))).toEqual([REPLICA]);
  });

  test.each([
    ['that a person stopped', silent(REPLICA)],
    ['that is frozen', silent(REPLICA, 'paused')],
    ['that does not answer', silent(REPLICA, 'running')],
    ['that runs', replica(REPLICA, MASTER)],
  ])('is not one %s', (_what, node) => {
    expect(beside(node)).toEqual([]);
  });

  test('is left to the run where it was replaced, or was taken off its networks', () => {
    const node = killed(REPLICA);
    const off = { ...node.container, offNetworks: { by: 'run' as const, home: 'veloz-ha' } };
    expect(beside(node, REPLICA)).toEqual([]);
    expect(beside({ ...node, container: off })).toEqual([]);
  });

  test('is not started where it could become a second master: nobody is one, or the Sentinels name another one', () => {
    const other = picture([master(MASTER), killed(REPLICA)], sentinelsNaming(REPLICA));
    const none = picture([killed(MASTER), replica(REPLICA, MASTER)], sentinelsNaming(MASTER));
    expect([killedBeside(other, null), killedBeside(none, null)]).toEqual([[], []]);
  });
});

test('what only a person can decide is told with the next command', () => {
  expect(undecidedSays(healthy())).toBeUndefined();
  const empty = picture([master(MASTER), master(REPLICA, { keys: 0 })], sentinelsNaming(REPLICA));
  expect(undecidedSays(empty)).toMatch(
    new RegExp(`has no keys.* Next: docker exec ${REPLICA} redis-cli replicaof ${MASTER} 6379$`),
  );
  expect(undecidedSays(picture([master(MASTER), silent(REPLICA)], sentinelsNaming(REPLICA)))).toContain(
    'Next: veloz-ha redis status --cluster veloz',
  );
});

test('Sentinels that lost what they knew are waited for: no run is begun about a master that is gone beside them', () => {
  const error = `WAITING it names no master: ${REPLICA} does not answer (limit: all 2 nodes answer). Next: docker start ${REPLICA}`;
  const lost = (of: ObservedRedis): ObservedRedis => ({
    ...of,
    sentinels: SENTINELS.map((name) => ({ ...silentSentinel(name), error })),
  });
  const gone = lost(picture([ended(137), replica(REPLICA, MASTER, {}, { up: false })], []));
  expect(judgeRedis([round(0, well), round(200, refused, gone)], limits)).toMatchObject({
    state: 'suspect',
    says: `the Sentinels lost what they knew, and wait: ${REPLICA} does not answer (limit: all 2 nodes answer). Next: docker start ${REPLICA}`,
  });
  // A master that is well goes on.
  const there = lost(picture([master(MASTER), replica(REPLICA, MASTER)], []));
  expect(judgeRedis([round(0, well, there)], limits).state).toBe('healthy');
});
