import { content, inside, objects, primary, reload, row, standby } from '../support/objects';
import type { ReplicationRow } from '../../../src/cluster/observed';
import { decideSwitchover } from '../../../src/cluster/switchover/decide';
import { picture, PRIMARY, STANDBY, STANDBY_2, type Picture } from '../support/picture';

// A6 and B: the target has everything, and is told at once

/** Both standbys' rows of a cluster of three. */
const rows = (seen: Picture): [ReplicationRow, ReplicationRow] =>
  primary(seen).sql.replication as [ReplicationRow, ReplicationRow];

objects({
  'the target is on another timeline': {
    change: (seen) => (standby(seen).sql.timeline = 2),
    id: 'A6',
    says: `${STANDBY} is on another timeline than ${PRIMARY}: timeline 2, the primary is on 3`,
    next: `veloz-ha repair --cluster veloz   # why it is so: docker logs --tail 20 ${STANDBY}`,
  },
  'the target has no WAL receiver': {
    change: (seen) => {
      primary(seen).sql.replication = [];
      standby(seen).sql.receiver = null;
    },
    id: 'B1',
    says: `${STANDBY} does not stream from ${PRIMARY}: the primary has no walsender for slot veloz_postgres_standby, its WAL receiver does not run`,
    next: `docker logs --tail 20 ${STANDBY}`,
    also: ['B2', 'B5'],
  },
  'the target has what the primary never wrote': {
    change: (seen) => (row(seen).flushLsn = '0/9000000'),
    id: 'B5',
    says: `${STANDBY} has WAL that ${PRIMARY} has not: they are of two histories`,
    next: `veloz-ha postgres rejoin ${STANDBY} --method copy --cluster veloz`,
  },
  'the target streams from somebody else': {
    change: (seen) => Object.assign(standby(seen).sql.receiver ?? {}, { senderHost: STANDBY_2 }),
    id: 'B1',
    says: `the primary says streaming, its WAL receiver is streaming from ${STANDBY_2} (limit: streaming from ${PRIMARY})`,
    next: `docker logs --tail 20 ${STANDBY}`,
  },
  'the target is catching up': {
    change: (seen) => (row(seen).state = 'catchup'),
    id: 'B1',
    says: 'the primary says catchup',
    next: `docker logs --tail 20 ${STANDBY}`,
  },
  'the target is asynchronous, because nobody is asked to be synchronous': {
    change: (seen) => {
      row(seen).syncState = 'async';
      primary(seen).sql.settings.synchronous_standby_names = '';
    },
    id: 'B2',
    says: `${STANDBY} is not a synchronous standby: sync_state is async, synchronous_standby_names is '' (limit: sync or quorum)`,
    next: `${inside(PRIMARY, "ALTER SYSTEM SET synchronous_standby_names = 'veloz_standby'")} ${reload}`,
  },
  'the target is asynchronous under the right names': {
    change: (seen) => (row(seen).syncState = 'async'),
    id: 'B2',
    says: "sync_state is async, synchronous_standby_names is 'veloz_standby'",
    next: inside(PRIMARY, 'SELECT application_name, client_addr, state, sync_state FROM pg_stat_replication'),
  },
  'the named target is not the synchronous one': {
    three: true,
    change: (seen) => (rows(seen)[1].syncState = 'potential'),
    wish: { target: STANDBY_2 },
    id: 'B2',
    says: `${STANDBY_2} is not a synchronous standby: sync_state is potential`,
    next: `veloz-ha postgres switchover --cluster veloz --to ${STANDBY}`,
  },
  'the named target is not the synchronous one, because the names are those of two nodes': {
    three: true,
    change: (seen) => {
      [rows(seen)[0].syncState, rows(seen)[1].syncState] = ['sync', 'potential'];
      primary(seen).sql.settings.synchronous_standby_names = 'veloz_standby';
    },
    wish: { target: STANDBY_2 },
    id: 'B2',
    says: `${STANDBY_2} is not a synchronous standby: sync_state is potential, synchronous_standby_names is 'veloz_standby'`,
    next: `${inside(PRIMARY, "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (veloz_standby)'")} ${reload}`,
  },
  'the server does not wait for standbys': {
    change: (seen) => (primary(seen).sql.settings.synchronous_commit = 'local'),
    id: 'B4',
    says: 'some commits are acknowledged before a standby has them: synchronous_commit is local for the whole server',
    next: `${inside(PRIMARY, "ALTER SYSTEM SET synchronous_commit = 'on'")} ${reload}`,
  },
  'a role does not wait for standbys': {
    change: (seen) =>
      (primary(seen).sql.weakSyncCommit = [{ role: 'veloz', database: 'every database', value: 'off' }]),
    id: 'B4',
    says: 'synchronous_commit is off for veloz in every database (limit: nowhere off or local)',
    next: inside(PRIMARY, 'ALTER ROLE veloz RESET synchronous_commit'),
  },
  'a database and a role in it do not wait for standbys': {
    change: (seen) =>
      (primary(seen).sql.weakSyncCommit = [
        { role: 'every role', database: 'veloz', value: 'off' },
        { role: 'loader', database: 'veloz', value: 'local' },
      ]),
    id: 'B4',
    says: 'synchronous_commit is off for every role in veloz, local for loader in veloz',
    next: `${inside(PRIMARY, 'ALTER DATABASE veloz RESET synchronous_commit')} -c "ALTER ROLE loader IN DATABASE veloz RESET synchronous_commit"`,
  },
  'the target would acknowledge commits before a standby has them': {
    change: (seen) => (standby(seen).sql.settings.synchronous_commit = 'off'),
    id: 'B4',
    says: `${STANDBY} as primary would acknowledge commits before a standby has them: synchronous_commit is off for the whole server ${STANDBY} (limit: neither off nor local`,
    next: `${inside(STANDBY, "ALTER SYSTEM SET synchronous_commit = 'on'")} ${reload}`,
  },
  'a server with a value that is none of those that wait': {
    change: (seen) => (primary(seen).sql.settings.synchronous_commit = 'somehow'),
    id: 'B4',
    says: 'synchronous_commit is somehow for the whole server',
    next: `${inside(PRIMARY, "ALTER SYSTEM SET synchronous_commit = 'on'")} ${reload}`,
  },
  'no role anywhere waits for standbys': {
    change: (seen) =>
      (primary(seen).sql.weakSyncCommit = [{ role: 'every role', database: 'every database', value: 'off' }]),
    id: 'B4',
    says: 'off for every role in every database',
    next: inside(PRIMARY, 'ALTER ROLE ALL RESET synchronous_commit'),
  },
  'the target has not flushed what the primary wrote': {
    change: (seen) => (primary(seen).sql.lsn = '0/3A00149'),
    id: 'B5',
    says: `${STANDBY} is too far behind ${PRIMARY}: 10.0 MiB not flushed there (limit: at most 10.0 MiB, limits.flushLagBytes)`,
    next: 'veloz-ha postgres status --cluster veloz',
  },
  'the target has not replayed what it received': {
    change: (seen) => Object.assign(standby(seen).sql, { lsn: '0/4000149' }),
    id: 'B6',
    says: `${STANDBY} has not replayed what it received: 16.0 MiB not replayed (limit: at most 16.0 MiB, limits.replayLagBytes)`,
    next: `docker exec ${STANDBY} psql -U postgres -d postgres -c `,
  },
  'the target has replayed nothing yet': {
    change: (seen) => (standby(seen).sql.replayLsn = null),
    id: 'B6',
    says: 'nothing is replayed yet',
    next: `docker exec ${STANDBY} psql -U postgres -d postgres -c `,
  },
  'replay on the target is paused': {
    change: (seen) => (standby(seen).sql.replayPaused = true),
    id: 'B7',
    says: `replay on ${STANDBY} is paused: pg_is_wal_replay_paused() is true (limit: not paused, no delay)`,
    next: inside(STANDBY, 'SELECT pg_wal_replay_resume()'),
  },
  'replay on the target is delayed': {
    change: (seen) => (standby(seen).sql.settings.recovery_min_apply_delay = '60000'),
    id: 'B7',
    says: `replay on ${STANDBY} is delayed: recovery_min_apply_delay is 1 min 00 s`,
    next: `${inside(STANDBY, 'ALTER SYSTEM SET recovery_min_apply_delay = 0')} ${reload}`,
  },
  'commits wait, and their sessions hide since when': {
    change: (seen) => (primary(seen).sql.syncRepWaiters = { count: 1, oldestMs: 0, ageless: ['61:900'] }),
    id: 'B8',
    says: 'commits wait for a synchronous standby, and nobody knows for how long: their sessions tell no times, as with track_activities off: 1 wait (limit: none for longer than 1.00 s)',
    next: `docker logs --tail 20 ${STANDBY}`,
  },
  'commits are stuck': {
    change: (seen) => (primary(seen).sql.syncRepWaiters = { count: 3, oldestMs: 1000 }),
    id: 'B8',
    says: 'commits are stuck waiting for a synchronous standby: 3 wait, the oldest for 1.00 s (limit: none for longer than 1.00 s)',
    next: `docker logs --tail 20 ${STANDBY}`,
  },
});

content([
  ['B2', 'quorum', (seen) => (row(seen).syncState = 'quorum')],
  ['B4', 'a setting stronger than on', (seen) => (primary(seen).sql.settings.synchronous_commit = 'remote_apply')],
  ['B5', 'a lag of exactly the limit', (seen) => (primary(seen).sql.lsn = '0/3A00148')],
  ['B5', 'a standby that flushed beyond the picture of the primary', (seen) => (row(seen).flushLsn = '0/3080000')],
  ['B6', 'a lag of exactly the limit', (seen) => (standby(seen).sql.lsn = '0/4000148')],
  ['B8', 'a commit on its way', (seen) => (primary(seen).sql.syncRepWaiters = { count: 9, oldestMs: 999 })],
]);

test('B8: of commits that wait for an unknown time only those count that waited in an earlier look as well', () => {
  const waiting = (...ageless: string[]) => {
    const seen = picture();
    primary(seen).sql.syncRepWaiters = { count: ageless.length, oldestMs: 0, ageless };
    return seen;
  };
  const stuck = (first: Picture, now: Picture) =>
    decideSwitchover(now.topology, now.observed, { pauseLimitMs: 2000 }, first.observed).checks.find(
      ({ id }) => id === 'B8',
    );
  expect(stuck(waiting('61:900', '62:901'), waiting('61:902', '62:903'))?.result).toBe('ok');
  expect(stuck(waiting('61:900', '62:901'), waiting('61:900', '62:903'))).toMatchObject({
    result: 'refuse',
    measured: '1 wait, and did in an earlier look',
  });
});
