import { problemSentence, type Check } from '../../src/cluster/check';
import { healthFindings } from '../../src/cluster/health';
import { inside, openTransaction, primary, reload, row, standby } from './support/objects';
import { absent, picture, POOLER, PRIMARY, STANDBY, STANDBY_2, stopped, turned, type Picture } from './support/picture';

const findings = (seen: Picture): Check[] => healthFindings(seen.topology, seen.observed);
const short = (seen: Picture): string[] => findings(seen).map(({ id, result }) => `${id} ${result}`);

describe('a cluster is healthy, and there is nothing to tell', () => {
  test.each<[string, () => Picture]>([
    ['with two nodes', () => picture()],
    ['with three', () => picture({ three: true })],
    ['after a switchover', () => turned(picture())],
    [
      'while the primary keeps WAL for a standby that streams through another slot for a moment',
      () => {
        const seen = picture();
        Object.assign(primary(seen).sql.slots[0] ?? {}, { active: false, retainedBytes: 5_000_000 });
        return seen;
      },
    ],
    [
      'with a fresh slot that retains nothing',
      () => {
        const seen = picture();
        standby(seen).sql.slots = [{ name: 'x', type: 'physical', active: false, retainedBytes: 0 }];
        return seen;
      },
    ],
  ])('%s', (_what, make) => {
    expect(findings(make())).toEqual([]);
  });
});

interface Unwell {
  change: (seen: Picture) => void;
  three?: boolean;
  /** All findings, each as id and result. */
  is: string[];
  /** A part of the sentence of the first one. */
  says: string;
  /** A part of its next command. */
  next: string;
}

const unwell: Record<string, Unwell> = {
  'no node is writable': {
    change: (seen) => Object.assign(primary(seen).sql, { inRecovery: true, replayLsn: '0/3000148' }),
    is: ['A3 refuse'],
    says: `no node is writable: ${PRIMARY} is a standby, ${STANDBY} is a standby`,
    next: 'veloz-ha repair --cluster veloz',
  },
  'two nodes are writable': {
    change: (seen) => Object.assign(standby(seen).sql, { inRecovery: false }),
    is: ['A3 refuse'],
    says: 'two nodes are writable',
    next: `veloz-ha postgres rejoin ${STANDBY} --cluster veloz`,
  },
  'the primary is stopped': {
    change: (seen) => {
      stopped(primary(seen));
      standby(seen).sql.receiver = null;
    },
    is: ['A3 refuse', 'E4 refuse'],
    says: `no writable node answers: ${PRIMARY} is not answering, ${STANDBY} is a standby`,
    next: `docker start ${PRIMARY}`,
  },
  'the only standby is missing': {
    change: (seen) => {
      absent(standby(seen));
      primary(seen).sql.replication = [];
    },
    is: ['E4 refuse', 'B2 refuse'],
    says: `${STANDBY} is not ready: its container does not exist`,
    next: 'veloz-ha stack up',
  },
  'an optional standby is made, but stopped': {
    three: true,
    change: (seen) => {
      stopped(seen.node(STANDBY_2));
      primary(seen).sql.replication.pop();
    },
    is: ['E4 refuse'],
    says: `${STANDBY_2} is not ready: its container is exited`,
    next: `docker start ${STANDBY_2}`,
  },
  'the only standby does not stream': {
    change: (seen) => {
      primary(seen).sql.replication = [];
      standby(seen).sql.receiver = null;
    },
    is: ['B1 refuse', 'B2 refuse'],
    says: `${STANDBY} does not stream from ${PRIMARY}`,
    next: `docker logs --tail 20 ${STANDBY}`,
  },
  'one of two standbys does not stream, and is not the synchronous one': {
    three: true,
    change: (seen) => {
      primary(seen).sql.replication.pop();
      seen.node(STANDBY_2).sql.receiver = null;
    },
    is: ['B1 refuse'],
    says: `${STANDBY_2} does not stream from ${PRIMARY}`,
    next: `docker logs --tail 20 ${STANDBY_2}`,
  },
  'a standby is on another timeline': {
    change: (seen) => (standby(seen).sql.timeline = 2),
    is: ['A6 refuse'],
    says: 'timeline 2, the primary is on 3',
    next: `docker logs --tail 20 ${STANDBY}`,
  },
  'a node belongs to another system': {
    change: (seen) => (standby(seen).sql.systemIdentifier = '99'),
    is: ['A4 refuse'],
    says: `${STANDBY} belongs to another database system`,
    next: 'pg_control_system()',
  },
  'nobody is asked to be synchronous': {
    change: (seen) => {
      row(seen).syncState = 'async';
      primary(seen).sql.settings.synchronous_standby_names = '';
    },
    is: ['B2 refuse'],
    says: `commits wait for no standby: the loss of the primary would lose acknowledged commits: ${STANDBY} is async; synchronous_standby_names is '' (limit: 'veloz_standby', and at least 1 sync or quorum)`,
    next: `${inside(PRIMARY, "ALTER SYSTEM SET synchronous_standby_names = 'veloz_standby'")} ${reload}`,
  },
  'the standby goes by another name than the one that is waited for': {
    change: (seen) => (row(seen).syncState = 'async'),
    is: ['B2 refuse'],
    says: 'no standby is synchronous: commits wait for ever',
    next: `docker logs --tail 20 ${STANDBY}`,
  },
  'one of two standbys goes by another name': {
    three: true,
    change: (seen) =>
      Object.assign(primary(seen).sql.replication[1] ?? {}, { syncState: 'async', applicationName: 'walreceiver' }),
    is: ['B2 warn'],
    says: `${STANDBY_2} can't become synchronous: sync_state is async, its application_name is 'walreceiver' (limit: a name in 'veloz_standby')`,
    next: inside(STANDBY_2, 'SHOW primary_conninfo'),
  },
  'the names are not those of the topology, although a standby is synchronous': {
    change: (seen) => (primary(seen).sql.settings.synchronous_standby_names = '*'),
    is: ['B2 warn'],
    says: "synchronous_standby_names is not what the topology says: veloz-postgres-standby is sync; synchronous_standby_names is '*'",
    next: "ALTER SYSTEM SET synchronous_standby_names = 'veloz_standby'",
  },
  'a cluster of three waits as one of two does, fresh from its set-up': {
    three: true,
    change: (seen) => {
      const [first, second] = primary(seen).sql.replication;
      Object.assign(first ?? {}, { syncState: 'sync' });
      Object.assign(second ?? {}, { syncState: 'potential' });
      primary(seen).sql.settings.synchronous_standby_names = 'veloz_standby';
    },
    is: ['B2 warn'],
    says: `only one of 2 standbys confirms commits, and may be the target of a switchover: ${STANDBY} is sync, ${STANDBY_2} is potential; synchronous_standby_names is 'veloz_standby'`,
    next: `${inside(PRIMARY, "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (veloz_standby)'")} ${reload}`,
  },
  'some commits do not wait': {
    change: (seen) =>
      (primary(seen).sql.weakSyncCommit = [{ role: 'veloz', database: 'every database', value: 'off' }]),
    is: ['B4 warn'],
    says: 'synchronous_commit is off for veloz in every database',
    next: inside(PRIMARY, 'ALTER ROLE veloz RESET synchronous_commit'),
  },
  'commits are stuck': {
    change: (seen) => (primary(seen).sql.syncRepWaiters = { count: 12, oldestMs: 8000 }),
    is: ['B8 refuse'],
    says: '12 wait, the oldest for 8.00 s (limit: none for longer than 1.00 s)',
    next: `docker logs --tail 20 ${STANDBY}`,
  },
  'a standby is too far behind': {
    change: (seen) => (primary(seen).sql.lsn = '0/4000000'),
    is: ['B5 refuse'],
    says: `${STANDBY} is too far behind ${PRIMARY}: 16.0 MiB not flushed there (limit: at most 10.0 MiB`,
    next: 'veloz-ha postgres status',
  },
  'a standby does not replay what it has': {
    change: (seen) => (standby(seen).sql.lsn = '0/6000000'),
    is: ['B6 refuse'],
    says: '48.0 MiB not replayed (limit: at most 16.0 MiB',
    next: `docker exec ${STANDBY} psql`,
  },
  'replay is paused': {
    change: (seen) => (standby(seen).sql.replayPaused = true),
    is: ['B7 refuse'],
    says: `replay on ${STANDBY} is paused`,
    next: inside(STANDBY, 'SELECT pg_wal_replay_resume()'),
  },
  'a node that is never promoted replays with a delay, and lags by it': {
    three: true,
    change: (seen) => {
      const third = seen.node(STANDBY_2);
      third.promotable = false;
      third.sql.settings.recovery_min_apply_delay = '1800000';
      third.sql.lsn = '0/6000000';
    },
    is: ['B7 warn', 'B6 warn'],
    says: `replay on ${STANDBY_2} is delayed: recovery_min_apply_delay is 30 min 00 s`,
    next: inside(STANDBY_2, 'ALTER SYSTEM SET recovery_min_apply_delay = 0'),
  },
  'sessions hide since when their transactions are open': {
    change: (seen) =>
      Object.assign(primary(seen).sql, {
        untrackedSessions: 3,
        hiddenTransactions: [{ id: '5/81', pid: 42, user: 'veloz', application: 'report' }],
      }),
    is: ['D3 warn'],
    says: `sessions of ${PRIMARY} hide since when their transactions are open: one that stays open is found by looking again, and not by its age: track_activities is off for 3 sessions`,
    next: 'SHOW track_activities',
  },
  'commits wait for an unknown time': {
    change: (seen) => (primary(seen).sql.syncRepWaiters = { count: 2, oldestMs: 0, ageless: ['61:900', '62:901'] }),
    is: ['B8 warn'],
    says: 'nobody knows for how long: their sessions tell no times, as with track_activities off: 2 wait',
    next: `docker logs --tail 20 ${STANDBY}`,
  },
  'replay is paused, and there is no primary': {
    change: (seen) => {
      stopped(primary(seen));
      standby(seen).sql.replayPaused = true;
    },
    is: ['A3 refuse', 'E4 refuse', 'B7 refuse'],
    says: 'no writable node answers',
    next: `docker start ${PRIMARY}`,
  },
  'a run holds a node': {
    change: (seen) =>
      Object.assign(standby(seen).agent ?? {}, { desired: 'held', claimedBy: 'by-hand-1', deadmanInMs: 4000 }),
    is: ['E2 refuse'],
    says: `${STANDBY} is not ready: it is held by by-hand-1, and its dead-man switch starts it in 4.00 s`,
    next: 'veloz-ha repair --cluster veloz',
  },
  'a node is fenced': {
    change: (seen) =>
      Object.assign(standby(seen).agent ?? {}, {
        desired: 'fenced',
        claimedBy: 'switchover/veloz/x/0a1b2c3d-1111-2222-3333-444455556666',
      }),
    is: ['E2 refuse'],
    says: 'it is fenced by switchover/veloz/x',
    next: 'veloz-ha watch switchover/veloz/x',
  },
  'a node refuses to start as a second primary': {
    change: (seen) =>
      Object.assign(standby(seen), {
        sql: null,
        agent: {
          ...standby(seen).agent,
          postgresState: 'stopped',
          startGuard: `${PRIMARY} is a writable primary on timeline 4.`,
        },
      }),
    is: ['J9 refuse', 'B2 refuse'],
    says: `${STANDBY} is not ready: ${PRIMARY} is a writable primary on timeline 4 (`,
    next: `veloz-ha postgres rejoin ${STANDBY} --cluster veloz`,
  },
  'a node without data waits for a primary to copy': {
    change: (seen) =>
      Object.assign(standby(seen), {
        sql: null,
        agent: { ...standby(seen).agent, postgresState: 'starting', startGuard: 'No data yet.' },
      }),
    is: ['J9 refuse', 'B2 refuse'],
    says: `${STANDBY} is not ready: No data yet`,
    next: `docker logs --tail 20 ${STANDBY}`,
  },
  'the primary and its standby are stopped: whoever comes first in the topology need not be the primary': {
    change: (seen) => {
      stopped(primary(seen));
      stopped(standby(seen));
    },
    is: ['A3 refuse', 'E4 refuse', 'E4 refuse'],
    says: 'no writable node answers',
    next: 'veloz-ha repair --cluster veloz',
  },
  'a standby is frozen, and the primary has no connection of it': {
    change: (seen) => {
      primary(seen).sql.replication = [];
      stopped(standby(seen));
      standby(seen).container.status = 'paused';
    },
    is: ['E4 refuse', 'B2 refuse'],
    says: `${STANDBY} is not ready: its container is paused`,
    next: `veloz-ha postgres rejoin ${STANDBY} --cluster veloz`,
  },
  'the pooler does not answer': {
    change: ({ observed }) =>
      Object.assign(observed.pooler, { agent: null, console: null, agentError: 'is not running' }),
    is: ['E4 refuse'],
    says: `${POOLER} is not ready: is not running`,
    next: `docker start ${POOLER}`,
  },
  'the pooler is paused': {
    change: ({ observed }) => Object.assign(observed.pooler.console ?? {}, { paused: true, waitingClients: 5 }),
    is: ['F2 refuse'],
    says: `clients wait at ${POOLER}: somebody paused database veloz, 5 clients wait`,
    next: '-c "RESUME veloz"',
  },
  'the pooler takes no new clients': {
    change: ({ observed }) => Object.assign(observed.pooler.console ?? {}, { disabled: true }),
    is: ['F2 refuse'],
    says: `${POOLER} refuses new clients: somebody disabled database veloz there (limit: enabled)`,
    next: '-c "ENABLE veloz"',
  },
  'the primary lets no client in': {
    change: (seen) =>
      (seen.node(PRIMARY).client = {
        ...{ ok: false, user: 'veloz', readOnly: false },
        ...{ code: '3D000', error: 'database "veloz" does not exist (3D000)' },
      }),
    is: ['F5 warn'],
    says: `${PRIMARY} refuses clients, whoever leads them to it: login as veloz: database "veloz" does not exist (3D000)`,
    next: 'SELECT datname, datallowconn, datconnlimit FROM pg_database',
  },
  'the pooler holds clients for a run': {
    change: ({ observed }) => Object.assign(observed.pooler.agent ?? {}, { holdRun: 'bare/1/2', holdRemainingMs: 900 }),
    is: ['F2 refuse'],
    says: 'the dead-man switch lets them go in 900 ms',
    next: 'veloz-agent observe',
  },
  'the pooler leads to a standby': {
    change: ({ observed }) => Object.assign(observed.pooler.agent ?? {}, { route: { host: STANDBY, port: 5432 } }),
    is: ['F4 refuse'],
    says: `to ${STANDBY}:5432 (limit: ${PRIMARY}:5432)`,
    next: 'veloz-agent route',
  },
  'the pooler pools sessions': {
    change: ({ observed }) => Object.assign(observed.pooler.console ?? {}, { poolMode: 'session' }),
    is: ['F1 refuse'],
    says: 'is session (limit: transaction)',
    next: "SET pool_mode = 'transaction'",
  },
  'a transaction is open for long': {
    change: (seen) => (primary(seen).sql.openTransactions = [openTransaction]),
    is: ['D3 warn'],
    says: 'pid 42 of veloz (report), idle in transaction, for 2.00 s',
    next: inside(PRIMARY, 'SELECT pg_terminate_backend(42)'),
  },
  'a disk is nearly full': {
    change: (seen) => Object.assign(primary(seen).agent ?? {}, { freeDiskBytes: 1024 ** 2 }),
    is: ['C9 refuse'],
    says: `the disk of ${PRIMARY} is nearly full: 1.0 MiB free on ${PRIMARY} (limit: at least 256.0 MiB`,
    next: `docker exec ${PRIMARY} df -h`,
  },
  'a slot of a standby retains WAL for nobody': {
    change: (seen) =>
      (standby(seen).sql.slots = [
        { name: 'veloz_postgres_primary', type: 'physical', active: false, retainedBytes: 18 * 1024 ** 2 },
      ]),
    is: ['J10 warn'],
    says: `slot veloz_postgres_primary of ${STANDBY} is not used by anybody and retains WAL: 18.0 MiB retained (limit: none)`,
    next: inside(STANDBY, "SELECT pg_drop_replication_slot('veloz_postgres_primary')"),
  },
  'a slot of the primary retains WAL for a node that is not used': {
    change: (seen) =>
      primary(seen).sql.slots.push({
        name: 'veloz_postgres_standby_2',
        type: 'physical',
        active: false,
        retainedBytes: 1024,
      }),
    is: ['J10 warn'],
    says: '1 KiB retained',
    next: "SELECT pg_drop_replication_slot('veloz_postgres_standby_2')",
  },
  "a backup's slot is not used now: it is told, and not proposed to be dropped": {
    change: (seen) =>
      primary(seen).sql.slots.push({ name: 'barman', type: 'physical', active: false, retainedBytes: 2048 }),
    is: ['J10 warn'],
    says: "which is no node's of this cluster, is not used now and retains WAL: 2 KiB retained",
    next: "SELECT * FROM pg_replication_slots WHERE slot_name = 'barman'",
  },
  'a container has no restart policy': {
    change: (seen) => (standby(seen).container.restartPolicy = 'no'),
    is: ['K6 warn'],
    says: `${STANDBY} stays down after a crash or a reboot: its restart policy is 'no' (limit: unless-stopped, always or on-failure)`,
    next: `docker update --restart unless-stopped ${STANDBY}`,
  },
};

describe('what is not as it should be is told, with the next command, and nothing else is', () => {
  test.each(Object.entries(unwell))('%s', (_what, { change, three, is, says, next }) => {
    const seen = picture({ three });
    change(seen);
    expect(short(seen)).toEqual(is);
    const [first] = findings(seen);
    if (first === undefined) throw new Error('no finding');
    expect(problemSentence(first)).toContain(says);
    expect(first.next).toContain(next);
    for (const finding of findings(seen)) {
      expect(finding.next).toBeTruthy();
      expect(`${problemSentence(finding)} ${finding.next}`).not.toMatch(/undefined|null|NaN|\[object/);
    }
  });

  test('without Docker it is Docker that is named, and not each agent behind it', () => {
    const seen = picture();
    seen.observed.docker = { ok: false, error: 'connect ENOENT /run/docker.sock' };
    for (const node of seen.observed.nodes) Object.assign(node, { agent: null, agentError: 'gone' });
    Object.assign(seen.observed.pooler, { agent: null, agentError: 'gone' });
    expect(short(seen)).toEqual(['E4 refuse']);
    expect(findings(seen)[0]?.measured).toContain('connect ENOENT /run/docker.sock');
  });

  describe('where not exactly one node takes writes, nothing that is told lets clients in', () => {
    const nobody = (seen: Picture) => Object.assign(primary(seen).sql, { inRecovery: true, replayLsn: '0/3000148' });
    const two = (seen: Picture) => Object.assign(standby(seen).sql, { inRecovery: false });
    const silentPooler = (agentError: string) => (seen: Picture) =>
      Object.assign(seen.observed.pooler, { agent: null, console: null, agentError });
    const paused = (seen: Picture) => Object.assign(seen.observed.pooler.console ?? {}, { paused: true });
    test.each<[string, string, (seen: Picture) => unknown]>([
      ['the pooler is stopped', 'E4', silentPooler('container x is not running')],
      ['the pooler is frozen', 'E4', silentPooler('container x is paused')],
      ['somebody paused it', 'F2', paused],
    ])('%s', (_what, id, change) => {
      const nextOf = (who: (seen: Picture) => unknown) => {
        const seen = picture();
        change(seen);
        who(seen);
        return findings(seen).find((check) => check.id === id)?.next;
      };
      expect(nextOf(nobody)).toBe('veloz-ha repair --cluster veloz');
      expect(nextOf(two)).toBe('veloz-ha repair --cluster veloz');
      expect(nextOf(() => undefined)).not.toBe('veloz-ha repair --cluster veloz');
    });

    test('and no two commands lead to each other: what has to be decided is named as a command', () => {
      const seen = picture();
      two(seen);
      silentPooler('container x is not running')(seen);
      expect(findings(seen).map(({ id, next }) => `${id} ${next}`)).toEqual([
        expect.stringMatching(new RegExp(`^A3 docker stop ${PRIMARY}   # or ${STANDBY}: .*veloz-ha repair`)),
        'E4 veloz-ha repair --cluster veloz',
      ]);
    });
  });

  test('looking changes nothing', () => {
    const seen = picture({ three: true });
    const before = structuredClone(seen.observed);
    findings(seen);
    expect(seen.observed).toEqual(before);
  });
});
