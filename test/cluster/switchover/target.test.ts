import { content, decide, inside, objects, primary, row, standby } from '../support/objects';
import { absent, picture, PRIMARY, STANDBY, STANDBY_2, type Picture } from '../support/picture';

// A2, A7 and K5: the target and those who will follow it

objects({
  'the request names a target that is no node': {
    change: () => undefined,
    wish: { target: 'db9' },
    id: 'A2',
    says: `db9 is no standby of this cluster: the topology has no such node (limit: one of ${STANDBY}, ${STANDBY_2})`,
    next: `veloz-ha postgres switchover --cluster veloz --to ${STANDBY}`,
  },
  'the request names a target that is not up': {
    change: () => undefined,
    wish: { target: STANDBY_2 },
    id: 'A2',
    says: `${STANDBY_2} is no standby of this cluster: its container is absent`,
    next: 'veloz-ha stack up --standbys 2',
  },
  'there is no standby': {
    change: (seen) => {
      absent(standby(seen));
      standby(seen).optional = true;
    },
    id: 'A2',
    says: `there is no standby that may be promoted: ${PRIMARY} is alone (limit: at least 1)`,
    next: 'veloz-ha stack up',
  },
  'the only standby is excluded from promotion': {
    change: (seen) => (standby(seen).promotable = false),
    id: 'A2',
    says: `there is no standby that may be promoted: ${STANDBY} has promotable: false`,
    next: 'veloz-ha postgres status --cluster veloz',
  },
  'the named target is excluded from promotion': {
    three: true,
    change: (seen) => (standby(seen).promotable = false),
    wish: { target: STANDBY },
    id: 'A7',
    says: `${STANDBY} is excluded from promotion: promotable: false in the topology (limit: promotable: true)`,
    next: `veloz-ha postgres switchover --cluster veloz --to ${STANDBY_2}`,
  },
  'another standby does not stream': {
    three: true,
    change: (seen) => (seen.node(STANDBY_2).sql.receiver = null),
    id: 'K5',
    result: 'warn',
    says: `${STANDBY_2} will be left behind: its WAL receiver does not run (limit: streaming)`,
    next: `docker logs --tail 20 ${STANDBY_2}`,
  },
  'another standby replays with a delay': {
    three: true,
    change: (seen) => (seen.node(STANDBY_2).sql.settings.recovery_min_apply_delay = '1800000'),
    id: 'K5',
    result: 'warn',
    says: `${STANDBY_2} follows ${STANDBY} only once it replays, and confirms nothing until then: replay on ${STANDBY_2} is delayed: recovery_min_apply_delay is 30 min 00 s (limit: not paused, no delay)`,
    next: inside(STANDBY_2, 'ALTER SYSTEM SET recovery_min_apply_delay = 0'),
  },
  "another standby's replay is paused": {
    three: true,
    change: (seen) => (seen.node(STANDBY_2).sql.replayPaused = true),
    id: 'K5',
    result: 'warn',
    says: `replay on ${STANDBY_2} is paused: pg_is_wal_replay_paused() is true`,
    next: inside(STANDBY_2, 'SELECT pg_wal_replay_resume()'),
  },
  'a reader is in the way of what another standby replays': {
    three: true,
    change: (seen) => Object.assign(seen.node(STANDBY_2).sql, { lsn: '0/6000000' }),
    id: 'K5',
    result: 'warn',
    says: `${STANDBY_2} has not replayed what it received: 48.0 MiB not replayed`,
    next: `docker exec ${STANDBY_2} psql`,
  },
});

content([['A2', 'the named target is a standby', () => undefined, { target: STANDBY }]]);

describe('the target', () => {
  const states = (seen: Picture, first: string, second: string) => {
    const [a, b] = primary(seen).sql.replication;
    Object.assign(a ?? {}, { syncState: first });
    Object.assign(b ?? {}, { syncState: second });
    return seen;
  };

  test.each([
    ['sync', 'potential', STANDBY],
    ['potential', 'sync', STANDBY_2],
    ['async', 'quorum', STANDBY_2],
    ['quorum', 'sync', STANDBY],
    ['async', 'potential', STANDBY_2],
    ['async', 'async', STANDBY],
  ])('of a %s and a %s standby is %s', (first, second, expected) => {
    expect(decide(states(picture({ three: true }), first, second)).target).toBe(expected);
  });

  test('is not a better one that is not streaming', () => {
    const seen = states(picture({ three: true }), 'sync', 'potential');
    row(seen).state = 'catchup';
    expect(decide(seen).target).toBe(STANDBY_2);
  });

  test('is not a better one that is excluded from promotion', () => {
    const seen = picture({ three: true });
    standby(seen).promotable = false;
    const decision = decide(seen);
    expect(decision.target).toBe(STANDBY_2);
    expect(decision.others).toEqual([STANDBY]);
  });

  test('is the named one, and the other standby follows it', () => {
    const decision = decide(picture({ three: true }), { target: STANDBY_2 });
    expect(decision).toMatchObject({ target: STANDBY_2, others: [STANDBY] });
  });

  test('of two equal standbys is the one that stands first in the topology, in whatever order they answer', () => {
    const seen = states(picture({ three: true }), 'quorum', 'quorum');
    expect(decide(seen).target).toBe(STANDBY);
    primary(seen).sql.replication.reverse();
    expect(decide(seen).target).toBe(STANDBY);
    seen.observed.nodes.reverse();
    expect(decide(seen).target).toBe(STANDBY_2);
  });

  test('is confirmed by nobody whose replay is held up: that one follows later, and has its place and its slot', () => {
    const seen = picture({ three: true });
    seen.node(STANDBY_2).promotable = false;
    seen.node(STANDBY_2).sql.settings.recovery_min_apply_delay = '1800000';
    expect(decide(seen, { target: STANDBY })).toMatchObject({ others: [], heldUp: [STANDBY_2] });
    standby(seen).sql.replicationSlots = { used: 9, max: 10 };
    expect(decide(seen).checks.find(({ id }) => id === 'C2')?.result).toBe('refuse');
  });

  test('leaves out of the followers a standby that does not stream', () => {
    const seen = picture({ three: true });
    seen.node(STANDBY_2).sql.receiver = null;
    expect(decide(seen).others).toEqual([]);
  });
});
