import type { Check } from '../../../src/cluster/check';
import { decideRedis } from '../../../src/cluster/redis/decide';
import type { RedisRequest } from '../../../src/cluster/redis/decision';
import type { ObservedRedis, ObservedRedisNode, RedisSettings } from '../../../src/cluster/redis/observed';
import {
  healthy,
  killed,
  master,
  MASTER,
  picture,
  redisTopology,
  replica,
  seenOf,
  REPLICA,
  sentinel,
  SENTINELS,
  sentinelsNaming,
  settings,
  silent,
  silentSentinel,
  THIRD,
} from './picture';

/** A master that a replica follows which the topology does not have. */
const strange = { replicas: [{ host: '10.0.0.9', port: 6379, state: 'online', offset: 1000, silentMs: 0 }] };

const decide = (observed: ObservedRedis, request: RedisRequest = {}, names?: string[]) =>
  decideRedis(redisTopology(names), observed, request);
const refusals = (checks: Check[]) => checks.filter(({ result }) => result === 'refuse').map(({ id }) => id);

describe('planned', () => {
  test('moves the master to the replica', () => {
    const decision = decide(healthy());
    expect(decision).toMatchObject({ kind: 'planned', source: MASTER, target: REPLICA, faults: [] });
    expect(decision.checks.every(({ result }) => result === 'ok')).toBe(true);
  });

  test('does nothing where the target is the master, or only a repair is asked for', () => {
    expect(decide(healthy(), { target: MASTER })).toMatchObject({
      kind: 'none',
      alreadyDone: expect.any(String) as string,
    });
    expect(decide(healthy(), { only: 'repair' })).toMatchObject({
      kind: 'none',
      alreadyDone: expect.any(String) as string,
    });
  });

  test.each([
    ['being copied', replica(REPLICA, MASTER, {}, { up: false, syncing: true, downMs: null })],
    ['heard from its master 9.00 s ago', replica(REPLICA, MASTER, {}, { silentMs: 9000 })],
    ['reads its files', replica(REPLICA, MASTER, { loading: true })],
    ["can't write its append-only file", replica(REPLICA, MASTER, { writesFile: false })],
  ])('refuses a replica that is not fit: %s', (says, node) => {
    const decision = decide(picture([master(MASTER), node], sentinelsNaming(MASTER)));
    expect(decision.kind).toBe('none');
    expect(decision.checks.find(({ result }) => result === 'refuse')).toMatchObject({
      id: 'L1',
      measured: expect.stringContaining(says) as string,
    });
  });

  test('refuses a replica that keeps no append-only file; a forced failover to it is a warning', () => {
    const off = (link = {}) => replica(REPLICA, MASTER, { keepsFile: false }, link);
    expect(refusals(decide(picture([master(MASTER), off()], sentinelsNaming(MASTER))).checks)).toEqual(['L1']);
    const forced = decide(picture([silent(MASTER), off({ up: false, downMs: 1000 })], sentinelsNaming(MASTER)));
    expect(forced).toMatchObject({ kind: 'forced', target: REPLICA });
    expect(forced.checks.filter(({ result }) => result === 'warn').map(({ id }) => id)).toEqual(['L1']);
  });

  test.each([
    ['min-replicas-to-write', { minReplicas: 1 }],
    ['a snapshot that failed', { snapshotsStopWrites: true }],
    ['a limit of memory that is passed', { maxMemory: 1 }],
    ['another password', { knowsPassword: false }],
  ])('refuses a replica that could take no writes: %s', (_what, over) => {
    const nodes = [master(MASTER, settings()), replica(REPLICA, MASTER, settings(over))];
    expect(refusals(decide(picture(nodes, sentinelsNaming(MASTER))).checks)).toEqual(['L1']);
  });

  test.each([
    ['the master', { readOnly: false }, {}],
    ['the replica', {}, { readOnly: false }],
  ])('refuses a move where %s would take writes as a replica: it would lose what it acknowledges', (_who, its, own) => {
    const nodes = [master(MASTER, settings(its)), replica(REPLICA, MASTER, settings(own))];
    const { checks, kind } = decide(picture(nodes, sentinelsNaming(MASTER)));
    expect([kind, refusals(checks)]).toEqual(['none', ['L1']]);
    const node = 'readOnly' in its ? MASTER : REPLICA;
    expect(checks.find(({ result }) => result === 'refuse')).toMatchObject({
      measured: 'replica-read-only is no',
      next: `docker exec ${node} redis-cli config set replica-read-only yes`,
    });
  });

  test('mends a replica that has lost its master for long before it moves anything; an earlier version refused', () => {
    const apart = replica(REPLICA, MASTER, {}, { up: false, downMs: 60_000 });
    const seen = picture([master(MASTER), apart], sentinelsNaming(MASTER));
    const faults = [{ kind: 'apart', node: REPLICA, master: MASTER }];
    expect(decide(seen)).toMatchObject({ kind: 'repair', faults, target: MASTER });
    expect(decide(seen, { only: 'repair' })).toMatchObject({ kind: 'repair', faults });
    expect(refusals(decide(seen, { target: REPLICA }).checks)).toEqual(['L3']);
    expect(refusals(decide(seen, { leaveApart: true }).checks)).toEqual(['L1']);
  });

  test.each([
    ['as another user', { followsAsOther: true }, "config set masteruser ''"],
    ['by TLS', { followsByTls: true }, 'config set tls-replication no'],
  ])('refuses a move after which the old master could follow nobody: it would log in %s', (_how, over, next) => {
    const nodes = [master(MASTER, settings(over)), replica(REPLICA, MASTER, settings())];
    const { checks } = decide(picture(nodes, sentinelsNaming(MASTER)));
    expect(refusals(checks)).toEqual(['L1']);
    expect(checks.find(({ result }) => result === 'refuse')?.next).toBe(`docker exec ${MASTER} redis-cli ${next}`);
  });

  test.each([
    ['has places for the clients of the master', 200, 10_000, 10_000, []],
    ['has too few', 200, 10_000, 249, ['L1']],
    ['has as few as its master, which soon lets nobody new in', 95, 100, 100, ['L1']],
  ])('a replica that %s', (_what, connected, itsMost, most, expected) => {
    const nodes = [
      master(MASTER, settings({ clients: { most: itsMost, connected } })),
      replica(REPLICA, MASTER, settings({ clients: { most, connected: 5 } })),
    ];
    const { checks } = decide(picture(nodes, sentinelsNaming(MASTER)));
    expect(refusals(checks)).toEqual(expected);
    if (expected.length > 0)
      expect(checks.find(({ result }) => result === 'refuse')).toMatchObject({
        measured: `its maxclients is ${most}`,
        next: `docker exec ${REPLICA} redis-cli config set maxclients ${Math.max(itsMost, connected + 50)}`,
      });
  });

  test('refuses nodes that would refuse what a move asks of them, and a forced one only where nobody could lead', () => {
    const planned = (was: string[], heir: string[]) =>
      decide(
        picture([master(MASTER, { denied: was }), replica(REPLICA, MASTER, { denied: heir })], sentinelsNaming(MASTER)),
      );
    expect(refusals(planned([], ['REPLICAOF']).checks)).toEqual(['L1']);
    expect(refusals(planned(['CLIENT|PAUSE'], []).checks)).toEqual(['L1']);
    expect(planned([], []).kind).toBe('planned');
    const forced = (denied: string[]) =>
      decide(
        picture(
          [silent(MASTER), replica(REPLICA, MASTER, { denied }, { up: false, downMs: 1000 })],
          sentinelsNaming(MASTER),
        ),
      );
    expect(refusals(forced(['REPLICAOF']).checks)).toEqual(['L1']);
    expect(forced(['CLIENT|PAUSE'])).toMatchObject({ kind: 'forced', target: REPLICA });
  });

  const MIB = 1024 * 1024;
  test.each<[string, Partial<RedisSettings>, Partial<RedisSettings>]>([
    ['drops what its master keeps', { maxMemory: MIB, eviction: 'allkeys-lru' }, {}],
    ['may drop it soon', { maxMemory: 900 * MIB, eviction: 'allkeys-lru' }, {}],
    ['is tighter than its master', { maxMemory: 5 * MIB }, { maxMemory: 9 * MIB }],
    [
      'drops where its master refuses',
      { maxMemory: 9 * MIB, eviction: 'allkeys-lru' },
      { maxMemory: 9 * MIB, eviction: 'noeviction' },
    ],
  ])('refuses a replica with a limit of memory that %s', (_what, own, its) => {
    const nodes = [master(MASTER, settings(its)), replica(REPLICA, MASTER, settings(own))];
    const { checks } = decide(picture(nodes, sentinelsNaming(MASTER)));
    expect(refusals(checks)).toEqual(['L1']);
    expect(checks.find(({ result }) => result === 'refuse')?.next).toContain(
      `config set maxmemory ${its.maxMemory ?? 0}`,
    );
  });

  test('prefers a replica that nothing ails', () => {
    const nodes = [
      master(MASTER),
      replica(REPLICA, MASTER, { keepsFile: false }),
      replica(THIRD, MASTER, { offset: 990 }),
    ];
    const decision = decide(picture(nodes, sentinelsNaming(MASTER)), {}, [MASTER, REPLICA, THIRD]);
    expect(decision).toMatchObject({ kind: 'planned', target: THIRD });
  });

  test('takes one that keeps to the limit of its master', () => {
    const same = settings({ maxMemory: MIB, eviction: 'allkeys-lru' });
    expect(decide(picture([master(MASTER, same), replica(REPLICA, MASTER, same)], sentinelsNaming(MASTER))).kind).toBe(
      'planned',
    );
  });

  test('a forced failover to one that drops keys claims nothing of what was acknowledged with WAIT 1', () => {
    const forced = (maxMemory: number) =>
      decide(
        picture(
          [
            silent(MASTER),
            replica(REPLICA, MASTER, settings({ maxMemory, eviction: 'allkeys-lru' }), { up: false, downMs: 1000 }),
          ],
          sentinelsNaming(MASTER),
        ),
      );
    const doubted = forced(MIB);
    expect(doubted).toMatchObject({ kind: 'forced', doubt: `${REPLICA} has more than its maxmemory, and drops keys` });
    expect(doubted.checks.filter(({ result }) => result === 'warn').map(({ id }) => id)).toEqual(['L1']);
    expect(forced(900 * MIB).doubt).toBeUndefined();
  });

  test('a master that takes no writes may be moved, but not one that could not follow afterwards', () => {
    const from = (over: Parameters<typeof master>[1]) =>
      decide(picture([master(MASTER, over), replica(REPLICA, MASTER, settings())], sentinelsNaming(MASTER)));
    const refuses = from({ refusesWrites: 'MISCONF' });
    expect(refuses.kind).toBe('planned');
    expect(refuses.checks.filter(({ result }) => result === 'warn').map(({ id }) => id)).toEqual(['L1']);
    expect(refusals(from(settings({ knowsPassword: false })).checks)).toEqual(['L1']);
  });

  test('refuses a replica that is behind, or of another history', () => {
    const behind = picture([master(MASTER, { offset: 3_000_000 }), replica(REPLICA, MASTER)], sentinelsNaming(MASTER));
    expect(refusals(decide(behind).checks)).toEqual(['L2']);
    const other = replica(REPLICA, MASTER, { replicationId: 'f'.repeat(40) });
    expect(refusals(decide(picture([master(MASTER), other], sentinelsNaming(MASTER))).checks)).toEqual(['L2']);
  });

  test('refuses without a majority of Sentinels, and warns where one of three is silent', () => {
    const [one, two, three] = SENTINELS;
    const nodes = healthy().nodes;
    const alone = decide(picture(nodes, [sentinel(one, MASTER), silentSentinel(two), silentSentinel(three)]));
    expect(alone.kind).toBe('none');
    expect(refusals(alone.checks)).toContain('L1');
    const frozen = { ...silentSentinel(three), container: { exists: true, running: true, status: 'running' } };
    const most = decide(picture(nodes, [sentinel(one, MASTER), sentinel(two, MASTER), frozen]));
    expect(most.kind).toBe('planned');
    expect(most.checks.filter(({ result }) => result === 'warn')).toHaveLength(1);
  });

  test('refuses while a Sentinel is failing over', () => {
    const seen = healthy();
    seen.sentinels[0] = sentinel(SENTINELS[0], MASTER, {}, { flags: ['master', 'failover_in_progress'] });
    expect(refusals(decide(seen).checks)).toEqual(['L1']);
  });

  test('refuses a target that is no node, and a master that is another one', () => {
    expect(refusals(decide(healthy(), { target: 'nobody' }).checks)).toContain('A1');
    expect(refusals(decide(healthy(), { expectedMaster: REPLICA }).checks)).toEqual(['A1']);
    expect(decide(healthy(), { expectedMaster: MASTER }).kind).toBe('planned');
  });
});

describe('repair', () => {
  test('comes before a move, and moves nothing', () => {
    const seen = picture([master(MASTER), replica(REPLICA, '127.0.0.1', {}, { port: 1 })], sentinelsNaming(MASTER));
    expect(decide(seen)).toMatchObject({
      kind: 'repair',
      source: MASTER,
      target: MASTER,
      faults: [{ kind: 'astray' }],
    });
  });

  test('keeps the master that the Sentinels name where two are', () => {
    const seen = picture([master(MASTER), master(REPLICA)], sentinelsNaming(REPLICA));
    expect(decide(seen)).toMatchObject({
      kind: 'repair',
      target: REPLICA,
      faults: [{ kind: 'second master', node: MASTER }],
    });
  });

  test('refuses where nobody but a person can say which node is right', () => {
    const seen = picture([master(MASTER), silent(REPLICA)], sentinelsNaming(REPLICA));
    expect(refusals(decide(seen).checks)).toEqual(['L3']);
  });
});

describe('forced', () => {
  const lost = { up: false, downMs: 1000 };

  test('a replica takes over from a master that is dead', () => {
    const seen = picture([silent(MASTER), replica(REPLICA, MASTER, {}, lost)], sentinelsNaming(MASTER));
    expect(decide(seen)).toMatchObject({ kind: 'forced', source: MASTER, target: REPLICA });
  });

  test.each(['running', 'paused', 'unknown'])('not while somebody hears from it, and Docker says %s', (status) => {
    const replicaHears = picture([silent(MASTER, status), replica(REPLICA, MASTER)], sentinelsNaming(MASTER, 9000));
    expect(refusals(decide(replicaHears).checks)).toEqual(['I2']);
    const sentinelHears = picture(
      [silent(MASTER, status), replica(REPLICA, MASTER, {}, lost)],
      [...sentinelsNaming(MASTER, 9000).slice(0, 2), sentinel(SENTINELS[2], MASTER)],
    );
    expect(refusals(decide(sentinelHears).checks)).toEqual(['I2']);
    const nobodyHears = picture(
      [silent(MASTER, status), replica(REPLICA, MASTER, {}, lost)],
      sentinelsNaming(MASTER, 9000),
    );
    expect(decide(nobodyHears).kind).toBe('forced');
  });

  test('one of several replicas that still hears from it is enough to refuse', () => {
    const seen = picture(
      [silent(MASTER, 'running'), replica(REPLICA, MASTER, {}, lost), replica(THIRD, MASTER)],
      sentinelsNaming(MASTER, 9000),
    );
    expect(refusals(decide(seen, {}, [MASTER, REPLICA, THIRD]).checks)).toEqual(['I2']);
  });

  test('the replica that has most takes over; where histories differ, none does', () => {
    const names = [MASTER, REPLICA, THIRD];
    const nodes = [silent(MASTER), replica(REPLICA, MASTER, { offset: 900 }, lost), replica(THIRD, MASTER, {}, lost)];
    expect(decide(picture(nodes, sentinelsNaming(MASTER)), {}, names).target).toBe(THIRD);
    const differ = [
      silent(MASTER),
      replica(REPLICA, MASTER, { replicationId: 'f'.repeat(40) }, lost),
      replica(THIRD, MASTER, {}, lost),
    ];
    expect(refusals(decide(picture(differ, sentinelsNaming(MASTER)), {}, names).checks)).toEqual(['L1']);
  });

  test.each([
    ['never connected since its start', { up: false, downMs: null }],
    ['lost it an hour before', { up: false, downMs: 3_600_000 }],
  ])('a replica that %s takes over only where a person names it', (_case, link) => {
    const seen = picture([silent(MASTER), replica(REPLICA, MASTER, {}, link)], sentinelsNaming(MASTER, 3000));
    expect(refusals(decide(seen).checks)).toEqual(['L2']);
    const named = decide(seen, { target: REPLICA });
    expect(named).toMatchObject({ kind: 'forced', target: REPLICA });
    expect(named.checks.filter(({ result }) => result === 'warn').map(({ id }) => id)).toEqual(['L2']);
  });

  test('a replica that never had the data does not take over, not even where a person names it', () => {
    const fresh = replica(REPLICA, MASTER, { keys: 0 }, { up: false, downMs: null });
    const seen = picture([silent(MASTER), fresh], sentinelsNaming(MASTER, 3000));
    const named = decide(seen, { target: REPLICA });
    expect(refusals(named.checks)).toEqual(['L2']);
    expect(named.checks.find(({ result }) => result === 'refuse')?.next).toBe(`docker start ${MASTER}`);
    // One whose keys were deleted was connected.
    const flushed = replica(REPLICA, MASTER, { keys: 0 }, lost);
    expect(decide(picture([silent(MASTER), flushed], sentinelsNaming(MASTER)))).toMatchObject({ kind: 'forced' });
  });

  test('is as old as the Sentinel that heard from it last says, and not as one that was cut off with it', () => {
    const cutOff = replica(REPLICA, MASTER, {}, { up: false, downMs: 600_000 });
    const heard = (...ages: number[]) =>
      SENTINELS.map((name, index) => sentinel(name, MASTER, {}, { lastAnswerMs: ages[index] ?? 0 }));
    const stopped = picture([silent(MASTER), cutOff], heard(1000, 601_000, 1200));
    const refused = decide(stopped).checks.find(({ result }) => result === 'refuse');
    expect(refused).toMatchObject({
      id: 'L2',
      measured: `${REPLICA} has had none for 10 min 00 s; the Sentinels have heard nothing for 1.00 s`,
    });
    expect(decide(stopped, { target: REPLICA }).doubt).toBe(`${REPLICA} was not connected to ${MASTER} when it failed`);
    // The one that was killed has everything.
    const dead = picture([killed(MASTER), cutOff], heard(1000, 601_000, 1200));
    expect(decide(dead)).toMatchObject({ kind: 'repair', target: MASTER });
    // All of them have heard nothing since: it was connected until then.
    const long = picture([killed(MASTER), cutOff], heard(599_000, 601_000, 598_000));
    expect(decide(long)).toMatchObject({ kind: 'forced', target: REPLICA });
    // A run that began when the deafest one counted goes on as it began.
    expect(decide(dead, { byDeafest: true })).toMatchObject({ kind: 'forced', target: REPLICA });
  });

  test('nor as one that was started when the master had failed already, or hears another node in its place', () => {
    const heir = replica(REPLICA, MASTER, { runId: 'r' }, { up: false, downMs: 65_000 });
    const heard = (seen: Parameters<typeof sentinel>[3]) =>
      SENTINELS.map((name, index) =>
        sentinel(name, MASTER, {}, index === 2 ? { lastAnswerMs: 3000, ...seen } : { lastAnswerMs: 65_000 }),
      );
    const after = (seen: Parameters<typeof sentinel>[3]) => decide(picture([silent(MASTER), heir], heard(seen)));
    expect(refusals(after({}).checks)).toEqual(['L2']);
    expect(after({ runId: 'm' }).kind).toBe('none');
    for (const nothing of [{ neverHeard: true }, { runId: 'r', lastAnswerMs: 100 }] as const) {
      expect(after(nothing)).toMatchObject({ kind: 'forced', target: REPLICA });
      expect(after(nothing).doubt).toBeUndefined();
    }
    // Nobody knows when it failed.
    const none = SENTINELS.map((name) => sentinel(name, MASTER, {}, { lastAnswerMs: 5000, neverHeard: true }));
    expect(
      decide(picture([silent(MASTER), heir], none)).checks.find(({ result }) => result === 'refuse'),
    ).toMatchObject({
      id: 'L2',
      measured: `${REPLICA} has had none for 1 min 05 s; no Sentinel that answers has ever heard from it`,
    });
  });

  test('that is empty since its copy was cut short takes over from nobody, not even where a person names it', () => {
    const empty = replica(REPLICA, MASTER, { keys: 0, offset: 1 }, lost);
    const seen = picture([silent(MASTER), empty], sentinelsNaming(MASTER));
    for (const request of [{}, { target: REPLICA }])
      expect(decide(seen, request).checks.find(({ result }) => result === 'refuse')).toMatchObject({
        id: 'L2',
        measured: `${REPLICA} has no keys, and its copy of ${MASTER} was cut short`,
        next: `docker start ${MASTER}`,
      });
    expect(decide(picture([killed(MASTER), empty], sentinelsNaming(MASTER)))).toMatchObject({
      kind: 'repair',
      target: MASTER,
    });
    expect(decide(seen, { byDeafest: true })).toMatchObject({ kind: 'forced', target: REPLICA });
  });

  test('that nothing acknowledged with WAIT 1 is lost is said only where no other replica can have more', () => {
    const names = [MASTER, REPLICA, THIRD];
    const doubtOf = (nodes: ObservedRedisNode[], request = {}) => {
      const decision = decide(picture(nodes, sentinelsNaming(MASTER)), request, names);
      expect(decision).toMatchObject({ kind: 'forced', target: REPLICA });
      const warned = decision.checks.filter(({ result }) => result === 'warn').map(({ id }) => id);
      expect(warned).toEqual(decision.doubt === undefined ? [] : ['L2']);
      return decision.doubt;
    };
    const heir = replica(REPLICA, MASTER, {}, lost);
    expect(doubtOf([silent(MASTER), heir, replica(THIRD, MASTER, {}, lost)])).toBeUndefined();
    expect(doubtOf([silent(MASTER), heir, silent(THIRD)])).toBe(`${THIRD} does not answer`);
    const ahead = replica(THIRD, MASTER, { offset: heir.state!.offset + 100 }, lost);
    expect(doubtOf([silent(MASTER), heir, ahead], { target: REPLICA })).toBe(
      `${THIRD} has 100 bytes more than ${REPLICA}`,
    );
    const other = replica(THIRD, MASTER, { replicationId: 'f'.repeat(40) }, lost);
    expect(doubtOf([silent(MASTER), heir, other], { target: REPLICA })).toBe(`${THIRD} has another history`);
  });

  test('nor where the master had a replica that the topology does not have', () => {
    const nodes = [silent(MASTER), replica(REPLICA, MASTER, {}, lost)];
    const seen = (what: ReturnType<typeof seenOf>) =>
      decide({ ...picture(nodes, sentinelsNaming(MASTER)), seen: what });
    const strange = seen(seenOf(MASTER, ['10.0.0.9:6379']));
    const says = `10.0.0.9:6379, which the topology does not have, was a replica of ${MASTER}`;
    expect(strange).toMatchObject({ kind: 'forced', target: REPLICA, doubt: says });
    expect(strange.unseen).toBeUndefined();
    expect(strange.checks.filter(({ result }) => result === 'warn')).toMatchObject([{ id: 'L2', measured: says }]);
    const well = seen(seenOf(MASTER));
    expect([well.doubt, well.unseen]).toEqual([undefined, undefined]);
  });

  test('and nobody knows where no guard read the list of its replicas shortly before it failed', () => {
    const nodes = [silent(MASTER), replica(REPLICA, MASTER, {}, lost)];
    const unseen = (seen?: ReturnType<typeof seenOf>) => {
      const { seen: _none, ...rest } = picture(nodes, sentinelsNaming(MASTER, 3000));
      const decision = decide({ ...rest, at: 60_000, ...(seen === undefined ? {} : { seen }) });
      expect(decision).toMatchObject({ kind: 'forced' });
      expect(decision.doubt).toBeUndefined();
      expect(decision.checks.filter(({ result }) => result === 'warn')).toEqual([]);
      return decision.unseen;
    };
    const list = 'its list of replicas, which may have had one that the topology does not have,';
    expect(unseen()).toBe(`no guard read ${list} before it failed`);
    expect(unseen(seenOf(REPLICA, [], 56_000))).toBe(`no guard read ${list} before it failed`);
    expect(unseen(seenOf(MASTER, [], 40_000))).toBe(`the guard read ${list} 17.0 s before it failed (limit: 10.0 s)`);
    expect(unseen(seenOf(MASTER, [], 54_000))).toBeUndefined();
    // The list is of a moment at which it was dead, by this clock.
    expect(unseen(seenOf(MASTER, [], 58_500))).toBeUndefined();
    expect(unseen(seenOf(MASTER, [], 357_000))).toBe(
      `the guard read ${list} 4 min 57 s later than this look by the clock of this look: a clock was set`,
    );
  });

  test('a list that was read while the Sentinels heard nothing from the master is no word of a clock', () => {
    const nodes = [silent(MASTER), replica(REPLICA, MASTER, {}, { up: false, downMs: 30_000 })];
    // Its disk failed 40 s ago, which is no answer to a Sentinel; it died now.
    const seen = { ...picture(nodes, sentinelsNaming(MASTER, 40_000)), at: 60_000, seen: seenOf(MASTER, [], 59_000) };
    expect(decide(seen).unseen).toBeUndefined();
    const deaf = SENTINELS.map((name) => sentinel(name, MASTER, {}, { lastAnswerMs: 1000, neverHeard: true }));
    const list = 'its list of replicas, which may have had one that the topology does not have,';
    expect(decide({ ...seen, sentinels: deaf }, { target: REPLICA }).unseen).toBeUndefined();
    const fresh = replica(REPLICA, MASTER, {}, { up: false, downMs: 0 });
    const old = { ...picture([silent(MASTER), fresh], deaf), at: 60_000, seen: seenOf(MASTER, [], 40_000) };
    expect(decide(old).unseen).toBe(
      `the guard read ${list} 20.0 s ago, and no Sentinel that answers has ever heard from it (limit: 10.0 s)`,
    );
  });

  test('a planned move compares both nodes itself: another replica is no matter there', () => {
    const seen = picture([master(MASTER, strange), replica(REPLICA, MASTER)], sentinelsNaming(MASTER));
    const decision = decide(seen);
    expect(decision).toMatchObject({ kind: 'planned', target: REPLICA });
    expect(decision.checks.every(({ result }) => result === 'ok')).toBe(true);
  });

  test('nor where the target lost the master before', () => {
    const late = replica(REPLICA, MASTER, {}, { up: false, downMs: 3_600_000 });
    const seen = picture([silent(MASTER), late], sentinelsNaming(MASTER, 3000));
    expect(decide(seen, { target: REPLICA }).doubt).toBe(`${REPLICA} was not connected to ${MASTER} when it failed`);
  });

  test('refuses where no replica answers, or nobody knows who was the master', () => {
    expect(refusals(decide(picture([silent(MASTER), silent(REPLICA)], sentinelsNaming(MASTER))).checks)).toEqual([
      'L1',
    ]);
    const unknown = picture([silent(MASTER), silent(REPLICA)], sentinelsNaming(null));
    expect(refusals(decide(unknown).checks)).toEqual(['L3']);
  });
});

describe('a master that was killed and that no replica can take over from', () => {
  const lost = { up: false, downMs: 1000 };
  const never = { up: false, downMs: null };
  const both = picture([killed(MASTER), killed(REPLICA)], sentinelsNaming(MASTER, 9000));
  const start = (node: string) => ({ kind: 'stopped', node, status: 'exited' });

  test('is started first, and then what else was killed, where its replica was killed too', () => {
    for (const request of [{}, { only: 'repair', expectedMaster: MASTER } as const]) {
      const decision = decide(both, request);
      expect(decision).toMatchObject({ kind: 'repair', source: MASTER, target: MASTER });
      expect(decision.faults).toEqual([start(MASTER), start(REPLICA)]);
      expect(refusals(decision.checks)).toEqual([]);
    }
    const swapped = picture([killed(MASTER), killed(REPLICA)], sentinelsNaming(REPLICA));
    expect(decide(swapped).faults.map(({ node }) => node)).toEqual([REPLICA, MASTER]);
  });

  test.each([
    ['has not been connected since its own start', replica(REPLICA, MASTER, {}, never)],
    ['reads its files', replica(REPLICA, MASTER, { loading: true }, lost)],
  ])('is started where its replica %s', (_what, node) => {
    const decision = decide(picture([killed(MASTER), node], sentinelsNaming(MASTER, 3000)));
    expect(decision).toMatchObject({ kind: 'repair', target: MASTER, faults: [start(MASTER)] });
  });

  test('is replaced as ever where its replica was connected, and where a person names the target', () => {
    const fresh = picture([killed(MASTER), replica(REPLICA, MASTER, {}, lost)], sentinelsNaming(MASTER));
    expect(decide(fresh)).toMatchObject({ kind: 'forced', target: REPLICA });
    const stale = picture([killed(MASTER), replica(REPLICA, MASTER, {}, never)], sentinelsNaming(MASTER, 3000));
    expect(decide(stale, { target: REPLICA })).toMatchObject({ kind: 'forced', target: REPLICA });
  });

  test('is started without what a person stopped', () => {
    const decision = decide(picture([killed(MASTER), silent(REPLICA)], sentinelsNaming(MASTER)));
    expect(decision).toMatchObject({ kind: 'repair', faults: [start(MASTER)], without: REPLICA });
  });

  test('is another one than a master that a person stopped: that one is refused, with the command that starts it', () => {
    const decision = decide(picture([silent(MASTER), killed(REPLICA)], sentinelsNaming(MASTER)));
    expect(decision.kind).toBe('none');
    expect(decision.checks.find(({ result }) => result === 'refuse')).toMatchObject({
      id: 'L1',
      next: `docker start ${MASTER}`,
    });
  });

  test('is left to a person by a run that began when it was so', () => {
    expect(refusals(decide(both, { asBefore: true }).checks)).toEqual(['L1']);
  });
});

test('every check that refuses or warns ends with a command', () => {
  const decisions = [
    decide(picture([silent(MASTER), silent(REPLICA)], SENTINELS.map(silentSentinel))),
    decide(picture([master(MASTER), silent(REPLICA)], sentinelsNaming(REPLICA)), { expectedMaster: REPLICA }),
  ];
  for (const { next } of decisions.flatMap(({ checks }) => checks).filter(({ result }) => result === 'refuse'))
    expect(next).toMatch(/^(docker|veloz-ha) /);
});

describe('what a person stopped, where it is to stay so', () => {
  const leave = { leaveStopped: true, only: 'repair' } as const;
  const [one] = SENTINELS;
  const down = silentSentinel(one);
  const stopped = { ...down, container: { ...down.container, exitCode: 0 } };

  test('is no fault of a repair, and what was killed is', () => {
    const names = [MASTER, REPLICA, THIRD];
    const sentinels = [stopped, ...sentinelsNaming(MASTER).slice(1)];
    const seen = picture([master(MASTER), silent(REPLICA), killed(THIRD)], sentinels);
    expect(decide(seen, { only: 'repair' }, names).faults.map(({ node }) => node)).toEqual([REPLICA, THIRD, one]);
    expect(decide(seen, leave, names)).toMatchObject({
      kind: 'repair',
      faults: [{ kind: 'stopped', node: THIRD }],
      leaves: [REPLICA, one],
    });
  });

  test('is all that there is: nothing is to be done', () => {
    const seen = picture([master(MASTER), silent(REPLICA)], sentinelsNaming(MASTER));
    expect(decide(seen, leave)).toMatchObject({ kind: 'none', alreadyDone: expect.any(String) as string });
    expect(decide(seen, { only: 'repair' }).kind).toBe('repair');
  });

  test('and of the Sentinels what a person froze; a frozen node may have been the master', () => {
    const frozen = { ...down, container: { exists: true, running: false, status: 'paused' } };
    const seen = picture([master(MASTER), silent(REPLICA, 'paused')], [frozen, ...sentinelsNaming(MASTER).slice(1)]);
    expect(decide(seen, leave)).toMatchObject({ faults: [{ kind: 'stopped', node: REPLICA }], leaves: [one] });
  });

  test('is the master that failed: the replica takes over, and a warning says how it comes back', () => {
    const lost = replica(REPLICA, MASTER, {}, { up: false, downMs: 1000 });
    const seen = picture([silent(MASTER), lost], sentinelsNaming(MASTER));
    const decision = decide(seen, { ...leave, expectedMaster: MASTER });
    expect(decision).toMatchObject({ kind: 'forced', source: MASTER, target: REPLICA, without: MASTER });
    expect(decision.checks.find(({ id, result }) => id === 'L1' && result === 'warn')).toMatchObject({
      measured: 'its container is exited, exit code 0',
      next: `docker start ${MASTER}`,
    });
    expect(decide(seen, { expectedMaster: MASTER }).without).toBeUndefined();
  });
});

test('beside Sentinels that lost what they knew nothing is decided, and the next command is theirs', () => {
  const error = `WAITING it names no master: ${REPLICA} does not answer (limit: all 2 nodes answer). Next: docker start ${REPLICA}`;
  const nobody = replica(MASTER, '127.0.0.1', {}, { up: false, downMs: null });
  const sentinels = SENTINELS.map((name) => ({ ...silentSentinel(name), error }));
  const decision = decide(picture([nobody, silent(REPLICA)], sentinels));
  expect(decision.kind).toBe('none');
  expect(decision.checks.find(({ id, result }) => id === 'L1' && result === 'refuse')).toMatchObject({
    measured: `${SENTINELS[0]} lost what it knew, and waits: ${REPLICA} does not answer (limit: all 2 nodes answer)`,
    next: `docker start ${REPLICA}`,
  });
});
