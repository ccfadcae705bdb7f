import { refusalSentence } from '../../../src/cluster/check';
import { chooseRejoin, type RejoinRequestOfNode } from '../../../src/cluster/rejoin/choose';
import { absent, picture, PRIMARY, ready, STANDBY, STANDBY_2, stopped, type Picture } from '../support/picture';

const choose = (seen: Picture, wish: Partial<RejoinRequestOfNode> = {}) => ({
  alreadyDone: undefined,
  ...chooseRejoin(seen.topology, seen.observed, { method: 'auto', ...wish }),
});

/** The old primary after a failover: fenced, stopped, and nobody streams from the standby that took over. */
function failedOver(options: { three?: boolean } = {}): Picture {
  const seen = picture(options);
  const [old, young] = [seen.node(PRIMARY), seen.node(STANDBY)];
  Object.assign(young.sql, { ...old.sql, timeline: 4, replication: [], slots: [] });
  if (young.agent !== null) Object.assign(young.agent, { standbySignal: false, upstream: null });
  Object.assign(old, { sql: null, sqlError: 'connect ECONNREFUSED' });
  if (old.agent !== null) Object.assign(old.agent, { desired: 'fenced', postgresState: 'stopped' });
  if (seen.observed.pooler.console !== null) seen.observed.pooler.console.host = STANDBY;
  if (options.three === true) {
    const third = seen.node(STANDBY_2);
    third.sql.timeline = 4;
    third.sql.receiver = { status: 'streaming', senderHost: STANDBY, timeline: 4, lastMessageAgeMs: 1 };
    young.sql.replication = [
      {
        applicationName: 'veloz_standby',
        slot: 'veloz_postgres_standby_2',
        state: 'streaming',
        syncState: 'sync',
        sentLsn: '0/3000148',
        flushLsn: '0/3000148',
        replayLsn: '0/3000148',
      },
    ];
  }
  return seen;
}

describe('the node to rejoin is chosen', () => {
  test('the old primary after a failover, without a name', () => {
    expect(choose(failedOver())).toMatchObject({ primary: STANDBY, node: PRIMARY, others: [] });
  });
  test('the others are those who stream from the new primary', () => {
    expect(choose(failedOver({ three: true }))).toMatchObject({ primary: STANDBY, node: PRIMARY, others: [STANDBY_2] });
  });
  test('a node whose container does not run', () => {
    const seen = failedOver();
    stopped(seen.node(PRIMARY));
    const choice = choose(seen);
    expect(choice.node).toBe(PRIMARY);
    expect(refusalSentence(choice.checks)).toBeUndefined();
  });
  test('a standby that follows somebody else', () => {
    const seen = picture({ three: true });
    Object.assign(seen.node(STANDBY_2).sql.receiver ?? {}, { senderHost: STANDBY });
    expect(choose(seen)).toMatchObject({ primary: PRIMARY, node: STANDBY_2, others: [STANDBY] });
  });
  test('of two writable nodes the named one, where clients go to the other', () => {
    const seen = picture();
    Object.assign(seen.node(STANDBY).sql, { inRecovery: false, timeline: 4 });
    expect(choose(seen, { node: STANDBY })).toMatchObject({ primary: PRIMARY, node: STANDBY });
  });
  test('every check of a good choice is there, and none objects', () => {
    const { checks } = choose(failedOver());
    expect(checks.map(({ id }) => id)).toEqual(['A3', 'A2', 'E4', 'A4', 'C1', 'C2', 'C7', 'C9', 'C9', 'J4', 'J2']);
    expect(checks.filter(({ result }) => result === 'refuse' || result === 'warn')).toEqual([]);
  });
});

describe('there is nothing to do', () => {
  test('every standby streams', () => {
    expect(choose(picture()).alreadyDone).toBe(`${STANDBY} streams from ${PRIMARY} already`);
    expect(choose(picture({ three: true })).alreadyDone).toBe(`every standby streams from ${PRIMARY} already`);
  });
  test('the named standby streams', () => {
    expect(choose(picture(), { node: STANDBY }).alreadyDone).toBe(`${STANDBY} streams from ${PRIMARY} already`);
  });
  test('but a copy that is asked for is made, with a warning where commits wait for it', () => {
    const warned = (seen: Picture) =>
      choose(seen, { node: STANDBY, method: 'copy' })
        .checks.filter(({ result }) => result === 'warn')
        .map(({ id }) => id);
    expect([warned(picture()), warned(picture({ three: true }))]).toEqual([['B2'], []]);
    expect(choose(picture(), { node: STANDBY, method: 'copy' })).toMatchObject({
      node: STANDBY,
      alreadyDone: undefined,
    });
  });
});

describe('a copy of the primary would lack data, or not come to its end', () => {
  const broken = (change: (agent: ReturnType<typeof ready>['agent']) => void) => {
    const seen = picture();
    change(ready(seen.node(PRIMARY)).agent);
    return seen;
  };
  const links = [{ path: '/var/lib/postgresql/data/base/16400', target: '/cold' }];
  const files = [{ path: '/var/lib/postgresql/data/x', mode: '0600', owner: 'root' }];
  const left = () => broken((agent) => (agent.leftOut = { links, more: 0 }));
  const unread = () => broken((agent) => (agent.unreadable = { user: 'postgres', files, more: 0 }));
  const found = (seen: Picture, wish: Partial<RejoinRequestOfNode>) =>
    choose(seen, { node: STANDBY, ...wish })
      .checks.filter(({ id }) => id.startsWith('M'))
      .map(({ id, result }) => `${id} ${result}`);

  test('one that is asked for is refused', () => {
    expect(found(left(), { method: 'copy' })).toEqual(['M7 refuse']);
    expect(found(unread(), { method: 'copy' })).toEqual(['M12 refuse']);
    expect(refusalSentence(choose(left(), { node: STANDBY, method: 'copy' }).checks)).toContain(
      `M7: a copy of ${PRIMARY} would lack a part of its data`,
    );
  });
  test('one that may be needed is warned of', () => {
    for (const make of [left, unread]) {
      const seen = make();
      stopped(seen.node(STANDBY));
      expect(found(seen, {})).toEqual([make === left ? 'M7 warn' : 'M12 warn']);
    }
  });
  test('a run that began when nobody looked goes on', () => {
    expect(found(left(), { method: 'copy', copiesAnything: true })).toEqual([]);
  });
});

interface Refused {
  make: () => Picture;
  change?: (seen: Picture) => void;
  wish?: Partial<RejoinRequestOfNode>;
  says: string;
  next: string;
}

const refused: Record<string, Refused> = {
  'nobody takes writes': {
    make: picture,
    change: (seen) => Object.assign(seen.node(PRIMARY).sql, { inRecovery: true }),
    says: 'A3: no node is writable',
    next: 'veloz-ha repair --cluster veloz',
  },
  'two take writes, and no name is given': {
    make: picture,
    change: (seen) => Object.assign(seen.node(STANDBY).sql, { inRecovery: false }),
    says: 'A3: two nodes are writable',
    next: `veloz-ha postgres rejoin ${STANDBY} --cluster veloz`,
  },
  'two take writes, and the named one is where clients go': {
    make: picture,
    change: (seen) => Object.assign(seen.node(STANDBY).sql, { inRecovery: false }),
    wish: { node: PRIMARY },
    says: `A3: ${PRIMARY} may be the node that clients write to`,
    next: 'veloz-ha postgres status --cluster veloz',
  },
  'two nodes are away, and no name is given': {
    make: () => failedOver({ three: true }),
    change: (seen) => stopped(seen.node(STANDBY_2)),
    says: `A2: more than one node could be meant: ${PRIMARY}, ${STANDBY_2} do not stream from ${STANDBY} (limit: one at a time)`,
    next: `veloz-ha postgres rejoin --cluster veloz ${PRIMARY}`,
  },
  'the primary is named': {
    make: picture,
    wish: { node: PRIMARY },
    says: `A2: ${PRIMARY} is the primary itself`,
    next: 'veloz-ha postgres switchover --cluster veloz',
  },
  'nobody has that name': {
    make: picture,
    wish: { node: 'x' },
    says: `A2: x is no node of this cluster: the topology has no such node (limit: one of ${STANDBY}, ${STANDBY_2})`,
    next: 'veloz-ha postgres rejoin --cluster veloz',
  },
  'the node has no container': {
    make: failedOver,
    change: (seen) => absent(seen.node(PRIMARY)),
    says: `E4: ${PRIMARY} has no container`,
    next: 'veloz-ha stack up',
  },
  'an optional node has no container': {
    make: picture,
    wish: { node: STANDBY_2 },
    says: `E4: ${STANDBY_2} has no container`,
    next: 'veloz-ha stack up --standbys 2',
  },
  'its data is another system’s': {
    make: failedOver,
    change: (seen) => Object.assign(seen.node(PRIMARY).agent ?? {}, { systemIdentifier: '99' }),
    says: `A4: ${PRIMARY} holds the data of another database system, which would be gone: 99 on ${PRIMARY}`,
    next: `docker exec ${PRIMARY} veloz-agent observe`,
  },
  'the primary has no walsender left': {
    make: failedOver,
    change: (seen) => (seen.node(STANDBY).sql.walSenders = { used: 10, max: 10 }),
    says: `C1: ${STANDBY} has no free walsender for ${PRIMARY}: 0 of 10 free`,
    next: 'pg_stat_replication',
  },
  'the primary has no slot left': {
    make: failedOver,
    change: (seen) => (seen.node(STANDBY).sql.replicationSlots = { used: 10, max: 10 }),
    says: `C2: ${STANDBY} has no free replication slot for ${PRIMARY}: 0 of 10 free`,
    next: 'pg_replication_slots',
  },
  'its data directory is open to others': {
    make: failedOver,
    change: (seen) => Object.assign(seen.node(PRIMARY).agent?.dataDirectory ?? {}, { mode: '0755' }),
    says: 'C7: the data directory of veloz-postgres-primary is not private to postgres: /var/lib/postgresql/data: postgres 0755',
    next: 'chmod 0700',
  },
  'its disk is nearly full': {
    make: failedOver,
    change: (seen) => Object.assign(seen.node(PRIMARY).agent ?? {}, { freeDiskBytes: 1024 ** 2 }),
    says: 'C9: the disk of veloz-postgres-primary is nearly full',
    next: `docker exec ${PRIMARY} df -h`,
  },
  'a copy is asked for, and there is no room': {
    make: failedOver,
    change: (seen) => (seen.node(STANDBY).sql.databaseBytes = 70 * 1024 ** 3),
    wish: { method: 'copy' },
    says: 'C9: veloz-postgres-primary has no room for a full copy: 70.0 GiB free (limit: at least 77.0 GiB',
    next: `docker exec ${PRIMARY} df -h`,
  },
};

describe('it is refused, with what was measured, the limit and the next command, when', () => {
  test.each(Object.entries(refused))('%s', (_what, { make, change, wish, says, next }) => {
    const seen = make();
    change?.(seen);
    const sentence = refusalSentence(choose(seen, wish).checks) ?? '';
    expect(sentence).toContain(says);
    expect(sentence).toContain('(limit: ');
    expect(sentence.split(' Next: ')[1]).toContain(next);
    expect(sentence).not.toMatch(/undefined|null|NaN|\[object/);
  });

  test('a primary that does not tell the size of its databases is no refusal', () => {
    const seen = failedOver();
    delete seen.node(STANDBY).sql.databaseBytes;
    const { checks } = choose(seen, { method: 'copy' });
    expect(refusalSentence(checks)).toBeUndefined();
    expect(checks.filter(({ id, result }) => id === 'C9' && result === 'skip').map(({ measured }) => measured)).toEqual(
      ['veloz-postgres-standby did not tell the size of its databases in time'],
    );
  });

  test('no room for a copy only warns, where none is sure to be made', () => {
    const seen = failedOver();
    seen.node(STANDBY).sql.databaseBytes = 70 * 1024 ** 3;
    const { checks, node } = choose(seen);
    expect(node).toBe(PRIMARY);
    expect(checks.filter(({ result }) => result !== 'ok' && result !== 'skip').map(({ id }) => id)).toEqual(['C9']);
    expect(refusalSentence(checks)).toBeUndefined();
  });
});
