import { readinessFindings } from '../../../src/cluster/readiness/findings';
import { Checklist } from '../../../src/cluster/switchover/checklist';
import { decideSwitchover } from '../../../src/cluster/switchover/decide';
import { AGES_KNOWN, checkStoppable } from '../../../src/cluster/switchover/stopping';
import { content, inside, objects, openTransaction, primary } from '../support/objects';
import { picture, PRIMARY, ready, type Picture } from '../support/picture';

// D: the primary can be stopped soon

objects({
  'the archive is behind': {
    change: (seen) => {
      primary(seen).sql.archiver.mode = 'on';
      Object.assign(primary(seen).agent ?? {}, { archiveReady: 9 });
    },
    id: 'D1',
    says: `${PRIMARY} would not stop before its WAL archive has caught up: 9 segments wait; how long a segment takes is not known (limit: at most 8, limits.archiveBacklog, not failing, and 3.00 s in all, limits.stop)`,
    next: inside(PRIMARY, 'SELECT * FROM pg_stat_archiver'),
  },
  'a segment takes so long that a stop would wait for it': {
    change: (seen) => {
      primary(seen).sql.archiver.mode = 'on';
      ready(primary(seen)).agent.archive = { ready: 0, fileMs: 8000, presentMs: null };
    },
    id: 'D1',
    says: '0 segments wait; a segment takes 8.00 s, so the 1 that a stop leaves take 8.00 s',
    next: "pg_logical_emit_message(false, 'veloz-ha', 'archive'), pg_switch_wal()",
  },
  'the first segment is under way, and nobody knows for how long': {
    change: (seen) => {
      primary(seen).sql.archiver.mode = 'on';
      ready(primary(seen)).agent.archive = { ready: 1, fileMs: null, presentMs: 400 };
    },
    id: 'D1',
    says: '1 segments wait; a segment takes more than 400 ms',
    next: 'pg_stat_archiver',
  },
  'nothing was archived since the command was set': {
    change: (seen) => {
      primary(seen).sql.archiver.mode = 'on';
      ready(primary(seen)).agent.archive = { ready: 0, fileMs: null, presentMs: null, setAgeMs: 60_000, sleeps: false };
      ready(primary(seen)).sql.archiver.lastArchivedAgeMs = 60_500;
    },
    id: 'D1',
    says: `nobody knows how long ${PRIMARY} would take to stop: the stop leaves its WAL archive a segment: 0 segments wait; none was archived since archive_command or archive_library was set, 1 min 00 s ago`,
    next: "pg_logical_emit_message(false, 'veloz-ha', 'archive'), pg_switch_wal()",
  },
  'another command to archive sleeps in the files': {
    change: (seen) => {
      primary(seen).sql.archiver.mode = 'on';
      ready(primary(seen)).agent.archive = { ready: 0, fileMs: 20, presentMs: null, setAgeMs: 60_000, sleeps: true };
    },
    id: 'D1',
    says: 'the files name another archive_command or archive_library than is in force',
    next: 'SELECT pg_reload_conf()',
  },
  'the archiver fails': {
    change: (seen) => (primary(seen).sql.archiver = { mode: 'on', failing: true }),
    id: 'D1',
    says: '0 segments wait, and the archiver fails',
    next: inside(PRIMARY, 'SELECT * FROM pg_stat_archiver'),
  },
  'a base backup runs': {
    change: (seen) => (primary(seen).sql.baseBackups = 1),
    id: 'D2',
    says: `a base backup runs, and the stop would break it off: 1 running on ${PRIMARY} (limit: none)`,
    next: inside(PRIMARY, 'SELECT pid, phase, backup_streamed, backup_total FROM pg_stat_progress_basebackup'),
  },
  'a transaction is open for long': {
    change: (seen) => (primary(seen).sql.openTransactions = [openTransaction]),
    wish: { pauseLimitMs: 500 },
    id: 'D3',
    says: 'a transaction has been open for too long: pid 42 of veloz (report), idle in transaction, for 2.00 s (limit: 2.00 s, limits.transactionAge; PAUSE waits for at most 500 ms)',
    next: inside(PRIMARY, 'SELECT pg_terminate_backend(42)'),
  },
  'several transactions are open for long, the oldest first': {
    change: (seen) =>
      (primary(seen).sql.openTransactions = [
        { ...openTransaction, pid: 7, application: '', ageMs: 90_000 },
        openTransaction,
        { ...openTransaction, pid: 8, ageMs: 300 },
      ]),
    id: 'D3',
    says: '2 transactions have been open for too long: pid 7 of veloz, idle in transaction, for 1 min 30 s',
    next: inside(PRIMARY, 'SELECT pg_terminate_backend(7)'),
  },
  'a transaction is prepared': {
    change: (seen) => (primary(seen).sql.preparedTransactions = 2),
    id: 'D3',
    result: 'warn',
    says: 'prepared transactions are open: they survive a switchover, and keep their locks: 2 prepared (limit: none)',
    next: inside(PRIMARY, 'SELECT gid, prepared, owner, database FROM pg_prepared_xacts'),
  },
});

content([
  [
    'D1',
    'an archive that is nearly up to date',
    (seen) => {
      primary(seen).sql.archiver.mode = 'on';
      Object.assign(primary(seen).agent ?? {}, { archiveReady: 8 });
      ready(primary(seen)).agent.archive = { ready: 8, fileMs: 300, presentMs: 20 };
    },
  ],
  [
    'D1',
    'a segment that was archived since the command was set, and what tells its time was removed',
    (seen) => {
      primary(seen).sql.archiver.mode = 'on';
      ready(primary(seen)).agent.archive = { ready: 0, fileMs: null, presentMs: null, setAgeMs: 60_000, sleeps: false };
      ready(primary(seen)).sql.archiver.lastArchivedAgeMs = 59_000;
    },
  ],
  ['D3', 'a young transaction', (seen) => (primary(seen).sql.openTransactions = [{ ...openTransaction, ageMs: 2000 }])],
]);

describe('D3 of transactions that hide their age', () => {
  const open = (id: string, pid: number) => ({ id, pid, user: 'veloz', application: 'report' });
  const hiding = (...transactions: ReturnType<typeof open>[]) => {
    const seen = picture();
    Object.assign(primary(seen).sql, { untrackedSessions: 2, hiddenTransactions: transactions });
    return seen;
  };
  const told = (now: Picture, first?: Picture) =>
    decideSwitchover(now.topology, now.observed, { pauseLimitMs: 2000 }, first?.observed).checks.filter(
      ({ id, result }) => id === 'D3' && result !== 'ok',
    );

  test('one look can tell none that stays from one that is short: it refuses, by a check that is looked at again', () => {
    expect(told(hiding(open('5/81', 42)))).toMatchObject([
      {
        result: 'refuse',
        says: AGES_KNOWN,
        refusal: 'a transaction is open, and nobody knows for how long: track_activities is off for its session',
        measured: 'pid 42 of veloz (report)',
        next: inside(PRIMARY, 'SELECT pg_terminate_backend(42)'),
      },
    ]);
  });

  test('one that is open in both looks refuses', () => {
    const [check] = told(hiding(open('5/81', 42), open('6/90', 43)), hiding(open('5/81', 42), open('6/89', 43)));
    expect(check).toMatchObject({
      result: 'refuse',
      measured: 'pid 42 of veloz (report), which was open in an earlier look as well',
    });
  });

  test('short ones are others in each look: that ages are hidden only warns', () => {
    expect(told(hiding(open('5/82', 42)), hiding(open('5/81', 42)))).toMatchObject([
      { result: 'warn', measured: 'track_activities is off for 2 sessions' },
    ]);
  });
});

test('D1 of a command that has archived nothing yet only warns where no stop is planned', () => {
  const seen = picture();
  primary(seen).sql.archiver.mode = 'on';
  ready(primary(seen)).agent.archive = { ready: 0, fileMs: null, presentMs: null, setAgeMs: 60_000, sleeps: false };
  expect(readinessFindings(seen.topology, seen.observed)).toMatchObject([{ id: 'D1', result: 'warn' }]);
  primary(seen).sql.archiver.failing = true;
  expect(readinessFindings(seen.topology, seen.observed)).toMatchObject([{ id: 'D1', result: 'refuse' }]);
});

test('D5: without an agent nothing keeps the old primary stopped', () => {
  const seen = picture();
  const list = new Checklist();
  primary(seen).agent = null;
  checkStoppable(list, seen.topology, primary(seen), 2000);
  const check = list.checks.find(({ id }) => id === 'D5');
  expect(check).toMatchObject({ result: 'refuse', refusal: `nothing keeps ${PRIMARY} stopped` });
});
