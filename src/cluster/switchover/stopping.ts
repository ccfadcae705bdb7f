import { logs, psql } from '../commands';
import { formatMs } from '../duration';
import type { AnsweringNode, NodeSql } from '../observed';
import type { AgentReadiness } from '../readiness/observed';
import type { Weight } from '../readiness/start';
import type { ClusterTopology } from '../topology';
import type { Checklist } from './checklist';

/** Has three files archived, so that most of the last five are new. */
const ARCHIVE_ANEW = `SELECT pg_logical_emit_message(false, 'veloz-ha', 'archive'), pg_switch_wal() FROM generate_series(1, 3)`;

const RELOAD = 'SELECT pg_reload_conf()';

/** The check of open transactions that hide their age. One look can't tell a short one from one that stays: it is looked again. */
export const AGES_KNOWN = 'no transaction that hides its age stays open';

/** Says where `track_activities` is off. */
const WHERE_OFF = `SELECT setrole::regrole AS role, setdatabase AS database, setconfig FROM pg_db_role_setting WHERE setconfig::text LIKE '%track_activities%'`;

/**
 * D3: nothing that makes PAUSE wait, or that the stop would break off.
 * @param before what the same node said in an earlier look; `one look` where none is compared: then it is told that ages are hidden, and
 * not whose
 */
export function checkTransactions(
  list: Checklist,
  topology: ClusterTopology,
  source: AnsweringNode,
  pauseLimitMs: number,
  before?: NodeSql | 'one look',
): void {
  checkHiddenTransactions(list, topology, source, pauseLimitMs, before);
  const { openTransactions, preparedTransactions } = source.sql;
  const limit = topology.limits.transactionAge;
  const old = openTransactions.filter((transaction) => transaction.ageMs > limit);
  const [first] = old;
  const says = 'no transaction is open for long, and none is prepared';
  const limitWords = `${formatMs(limit)}, limits.transactionAge; PAUSE waits for at most ${formatMs(pauseLimitMs)}`;
  if (first === undefined && preparedTransactions > 0) {
    list.advise('D3', false, {
      says,
      refusal: 'prepared transactions are open: they survive a switchover, and keep their locks',
      measured: `${preparedTransactions} prepared`,
      limit: 'none',
      next: psql(source.name, 'SELECT gid, prepared, owner, database FROM pg_prepared_xacts'),
    });
    return;
  }
  list.require('D3', first === undefined, {
    says,
    refusal: `${old.length === 1 ? 'a transaction has' : `${old.length} transactions have`} been open for too long`,
    measured:
      first === undefined
        ? `${openTransactions.length} open for longer than 250 ms`
        : `pid ${first.pid} of ${first.user}${first.application === '' ? '' : ` (${first.application})`}, ${first.state}, for ${formatMs(first.ageMs)}`,
    limit: limitWords,
    next: psql(source.name, `SELECT pg_terminate_backend(${first?.pid})`),
  });
}

/** D3 of sessions with `track_activities` off: the server tells that a transaction is open, and not since when. */
function checkHiddenTransactions(
  list: Checklist,
  topology: ClusterTopology,
  { name, sql }: AnsweringNode,
  pauseLimitMs: number,
  before?: NodeSql | 'one look',
): void {
  const hidden = before === 'one look' ? [] : (sql.hiddenTransactions ?? []);
  const earlier = before === undefined || before === 'one look' ? undefined : (before.hiddenTransactions ?? []);
  const still = hidden.filter(({ id }) => earlier === undefined || earlier.some((each) => each.id === id));
  const [first] = still;
  if (first !== undefined) {
    list.require('D3', false, {
      says: AGES_KNOWN,
      refusal: `${still.length === 1 ? 'a transaction is' : `${still.length} transactions are`} open, and nobody knows for how long: track_activities is off for ${still.length === 1 ? 'its session' : 'their sessions'}`,
      measured: `pid ${first.pid} of ${first.user}${first.application === '' ? '' : ` (${first.application})`}${earlier === undefined ? '' : ', which was open in an earlier look as well'}`,
      limit: `${formatMs(topology.limits.transactionAge)}, limits.transactionAge; PAUSE waits for at most ${formatMs(pauseLimitMs)}`,
      next: psql(name, `SELECT pg_terminate_backend(${first.pid})`),
    });
    return;
  }
  const sessions = sql.untrackedSessions ?? 0;
  if (sessions > 0)
    list.advise('D3', false, {
      says: `sessions of ${name} tell since when their transactions are open`,
      refusal: `sessions of ${name} hide since when their transactions are open: one that stays open is found by looking again, and not by its age`,
      measured: `track_activities is off for ${sessions} ${sessions === 1 ? 'session' : 'sessions'}`,
      limit: 'on for the server, and for each role and database',
      next: psql(name, 'SHOW track_activities', WHERE_OFF),
    });
}

/**
 * D1: the archiver has little to do, and would be through with what a stop leaves it soon enough: the files that wait, and the one
 * that the stop itself completes.
 * @param weight of a command with which nothing was archived yet, so that nobody knows how long it takes
 */
export function checkArchiver(
  list: Checklist,
  topology: ClusterTopology,
  source: AnsweringNode,
  weight: Weight = 'require',
): void {
  const { archiver } = source.sql;
  const says = 'the WAL archive has no backlog, and a stop would not wait for it';
  if (archiver.mode === 'off') return list.skip('D1', says, 'archive_mode is off');
  const archive = source.readiness?.agent?.archive;
  const waiting = Math.max(source.agent?.archiveReady ?? 0, archive?.ready ?? 0);
  const [backlog, stop] = [topology.limits.archiveBacklog, topology.limits.stop];
  const fileMs = Math.max(archive?.fileMs ?? 0, archive?.presentMs ?? 0);
  const stopMs = (waiting + 1) * fileMs;
  const measured = archive?.fileMs != null || archive?.presentMs != null;
  // A file that is under way has no end yet: nobody knows how long it takes, only how long it has taken.
  const unknown = archive !== undefined && waiting > 0 && archive.fileMs === null;
  const good = waiting <= backlog && !archiver.failing && stopMs <= stop && !unknown;
  const unproven = archive === undefined ? undefined : unprovenCommand(source, archive);
  list[good ? weight : 'require']('D1', good && unproven === undefined, {
    says,
    refusal:
      good && unproven !== undefined
        ? `nobody knows how long ${source.name} would take to stop: the stop leaves its WAL archive a segment`
        : `${source.name} would not stop before its WAL archive has caught up`,
    measured:
      `${waiting} segments wait${archiver.failing ? ', and the archiver fails' : ''}` +
      (unproven ??
        (measured
          ? `; a segment takes ${unknown ? 'more than ' : ''}${formatMs(fileMs)}, so the ${waiting + 1} that a stop leaves take ${unknown ? 'more than ' : ''}${formatMs(stopMs)}`
          : '; how long a segment takes is not known')),
    limit: `at most ${backlog}, limits.archiveBacklog, not failing, and ${formatMs(stop)} in all, limits.stop`,
    // An idle cluster archives nothing by itself, and its last files would count for ever.
    next: psql(
      source.name,
      ...(archive?.sleeps === true ? [RELOAD] : []),
      ...(waiting === 0 && !archiver.failing ? [ARCHIVE_ANEW] : []),
      'SELECT * FROM pg_stat_archiver',
    ),
  });
}

/** Why the command that will archive what a stop leaves has shown nothing yet; undefined where it has, or where that is not known. */
function unprovenCommand({ readiness }: AnsweringNode, archive: AgentReadiness['archive']): string | undefined {
  if (archive.sleeps === true)
    return '; the files name another archive_command or archive_library than is in force, and the reload of a run takes it over';
  if (archive.setAgeMs == null || archive.fileMs !== null) return undefined;
  // A checkpoint removes what tells how long a segment took; that one was archived the server knows for longer.
  const last = readiness?.sql?.archiver.lastArchivedAgeMs;
  if (last != null && last <= archive.setAgeMs) return undefined;
  return `; none was archived since archive_command or archive_library was set, ${formatMs(archive.setAgeMs)} ago`;
}

/**
 * D1–D3 and D5: the primary can be stopped soon. D4 is measured by the checkpoint step itself.
 * @param before what the primary said in an earlier look
 */
export function checkStoppable(
  list: Checklist,
  topology: ClusterTopology,
  source: AnsweringNode,
  pauseLimitMs: number,
  before?: NodeSql,
): void {
  const { baseBackups } = source.sql;
  checkArchiver(list, topology, source);
  list.require('D2', baseBackups === 0, {
    says: 'no base backup runs',
    refusal: 'a base backup runs, and the stop would break it off',
    measured: `${baseBackups} running on ${source.name}`,
    limit: 'none',
    next: psql(source.name, 'SELECT pid, phase, backup_streamed, backup_total FROM pg_stat_progress_basebackup'),
  });
  checkTransactions(list, topology, source, pauseLimitMs, before);
  list.require('D5', source.agent !== null, {
    says: 'nothing restarts the old primary behind our back',
    refusal: `nothing keeps ${source.name} stopped`,
    measured:
      source.agent === null
        ? 'its agent does not answer'
        : `its agent keeps it stopped across restarts of the container (restart policy ${source.container.restartPolicy})`,
    limit: 'an agent that answers',
    next: logs(source.name),
  });
}
