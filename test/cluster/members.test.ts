import { membersOf, type Member } from '../../src/cluster/members';
import { absent, picture, POOLER, PRIMARY, STANDBY, STANDBY_2, stopped, turned, type Picture } from './support/picture';

const member = (seen: Picture, name: string): Member => {
  const found = membersOf(seen.observed).find((candidate) => candidate.name === name);
  if (found === undefined) throw new Error(`no member ${name}`);
  return found;
};

describe('the members table', () => {
  test('has the nodes in the topology’s order, then the pooler; a node that is not used is not there', () => {
    expect(membersOf(picture().observed).map(({ name }) => name)).toEqual([PRIMARY, STANDBY, POOLER]);
    expect(membersOf(picture({ three: true }).observed).map(({ name }) => name)).toEqual([
      ...[PRIMARY, STANDBY, STANDBY_2],
      POOLER,
    ]);
  });

  test('has an optional node without container where the ledger names it', () => {
    const { observed } = picture();
    expect(membersOf(observed, { primary: STANDBY_2, synchronous: [] })).toContainEqual(
      expect.objectContaining({ name: STANDBY_2, role: 'absent' }),
    );
    expect(membersOf(observed, { primary: PRIMARY, synchronous: [STANDBY] })).toHaveLength(3);
  });

  test('shows role, state, timeline, position, lag and synchrony of a healthy cluster, without notes', () => {
    expect(membersOf(picture().observed)).toEqual([
      { name: PRIMARY, kind: 'postgres', role: 'primary', state: 'running', timeline: 3, lsn: '0/3000148' },
      {
        name: STANDBY,
        kind: 'postgres',
        role: 'standby',
        state: 'streaming',
        timeline: 3,
        lsn: '0/3000148',
        lagBytes: 0,
        sync: 'sync',
      },
      {
        name: POOLER,
        kind: 'pgbouncer',
        role: 'pooler',
        state: 'transaction pooling',
        routesTo: `${PRIMARY}:5432`,
      },
    ]);
  });

  test('finds roles by asking, and not by name', () => {
    const seen = turned(picture());
    expect(member(seen, PRIMARY)).toMatchObject({ role: 'standby', sync: 'sync' });
    expect(member(seen, STANDBY)).toMatchObject({ role: 'primary' });
  });

  test('counts the lag from what the primary wrote to what the standby flushed, never below zero', () => {
    const seen = picture();
    seen.node(PRIMARY).sql.lsn = '0/3000548';
    expect(member(seen, STANDBY).lagBytes).toBe(0x400);
    seen.node(PRIMARY).sql.lsn = '0/3000000';
    expect(member(seen, STANDBY).lagBytes).toBe(0);
  });

  test('says of a standby that the primary does not know whom it follows', () => {
    const seen = picture();
    seen.node(PRIMARY).sql.replication = [];
    expect(member(seen, STANDBY)).toMatchObject({ state: 'streaming', note: `follows ${PRIMARY}` });
    expect(member(seen, STANDBY)).not.toHaveProperty('sync');
    expect(member(seen, STANDBY)).not.toHaveProperty('lagBytes');
    seen.node(STANDBY).sql.receiver = null;
    expect(member(seen, STANDBY)).toMatchObject({ state: 'not streaming' });
  });

  test('compares nothing when two nodes are writable', () => {
    const seen = picture();
    seen.node(STANDBY).sql.inRecovery = false;
    expect(membersOf(seen.observed).slice(0, 2)).toMatchObject([{ role: 'primary' }, { role: 'primary' }]);
    expect(member(seen, STANDBY)).not.toHaveProperty('lagBytes');
  });

  test.each<[string, (seen: Picture) => void, Partial<Member>]>([
    ['stopped', (seen) => stopped(seen.node(STANDBY)), { role: 'stopped', state: 'exited' }],
    ['never made', (seen) => absent(seen.node(STANDBY)), { role: 'absent', state: 'absent' }],
    [
      'up, but its server was stopped by a run',
      (seen) => {
        Object.assign(seen.node(STANDBY).agent ?? {}, {
          postgresState: 'stopped',
          desired: 'held',
          claimedBy: 'run 7',
        });
        Object.assign(seen.node(STANDBY), { sql: null, sqlError: 'connect ECONNREFUSED' });
      },
      { role: 'stopped', note: 'held by run 7' },
    ],
    [
      'up, but does not answer',
      (seen) => Object.assign(seen.node(STANDBY), { sql: null, sqlError: 'timeout expired' }),
      { role: 'unreachable', state: 'running', note: 'timeout expired' },
    ],
    [
      'not known to Docker, which does not answer',
      (seen) =>
        Object.assign(seen.node(STANDBY), {
          sql: null,
          sqlError: 'connect ECONNREFUSED',
          agent: null,
          container: { exists: false, running: false, status: 'unknown', restartPolicy: 'unknown', error: 'ENOENT' },
        }),
      { role: 'unreachable', state: 'unknown', note: 'connect ECONNREFUSED' },
    ],
  ])('shows a node that is %s', (_what, change, expected) => {
    const seen = picture();
    change(seen);
    expect(member(seen, STANDBY)).toMatchObject(expected);
  });

  test('notes what a person should know of a node', () => {
    const seen = picture();
    seen.node(STANDBY).sql.replayPaused = true;
    Object.assign(seen.node(STANDBY).agent ?? {}, {
      desired: 'fenced',
      claimedBy: null,
      startGuard: 'a peer is primary',
    });
    expect(member(seen, STANDBY).note).toBe('fenced by an earlier run; a peer is primary; replay is paused');
  });

  test('notes what the agent of a node put right by itself, also where its server gives no answer', () => {
    const lastCorrection = { at: Date.UTC(2026, 0, 2, 3, 4, 5), did: 'woke processes that were stopped: 77' };
    const note = 'its agent woke processes that were stopped: 77, at 2026-01-02T03:04:05.000Z';
    const seen = picture();
    Object.assign(seen.node(STANDBY).agent ?? {}, { lastCorrection });
    expect(member(seen, STANDBY).note).toBe(note);
    expect(member(seen, PRIMARY).note).toBeUndefined();
    Object.assign(seen.node(STANDBY), { sql: null, sqlError: 'no answer within 1 s' });
    expect(member(seen, STANDBY).note).toBe(`${note}; no answer within 1 s`);
  });

  test.each<[string, (seen: Picture) => void, Partial<Member>]>([
    [
      'holds clients for a run',
      ({ observed }) => Object.assign(observed.pooler.agent ?? {}, { holdRun: 'run 7' }),
      { note: 'clients are held by run 7' },
    ],
    [
      'was paused by hand',
      ({ observed }) => Object.assign(observed.pooler.console ?? {}, { paused: true }),
      { note: 'paused' },
    ],
    [
      'was disabled by hand',
      ({ observed }) => Object.assign(observed.pooler.console ?? {}, { disabled: true }),
      { note: 'disabled: new clients are refused' },
    ],
    [
      'does not answer at its console',
      ({ observed }) => Object.assign(observed.pooler, { console: null, consoleError: 'connect ECONNREFUSED' }),
      { role: 'pooler', state: 'no answer', note: 'connect ECONNREFUSED' },
    ],
    [
      'does not answer at all',
      ({ observed }) => Object.assign(observed.pooler, { console: null, agent: null, agentError: 'gone' }),
      { role: 'unreachable', state: 'no answer', note: 'gone' },
    ],
  ])('shows a pooler that %s', (_what, change, expected) => {
    const seen = picture();
    change(seen);
    expect(member(seen, POOLER)).toMatchObject(expected);
  });
});
