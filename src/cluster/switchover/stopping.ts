import { logs, psql } from '../commands';
import { formatMs } from '../duration';
import type { AnsweringNode } from '../observed';
import type { ClusterTopology } from '../topology';
import type { Checklist } from './checklist';

/** D3: nothing that makes PAUSE wait, or that the stop would break off. */
export function checkTransactions(
  list: Checklist,
  topology: ClusterTopology,
  source: AnsweringNode,
  pauseLimitMs: number,
): void {
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

/** D1–D3 and D5: the primary can be stopped soon. D4 is measured by the checkpoint step itself. */
export function checkStoppable(
  list: Checklist,
  topology: ClusterTopology,
  source: AnsweringNode,
  pauseLimitMs: number,
): void {
  const { archiver, baseBackups } = source.sql;
  const waiting = source.agent?.archiveReady ?? 0;
  const backlog = topology.limits.archiveBacklog;
  if (archiver.mode === 'off') list.skip('D1', 'the WAL archive has no backlog', 'archive_mode is off');
  else
    list.require('D1', waiting <= backlog && !archiver.failing, {
      says: 'the WAL archive has no backlog',
      refusal: `${source.name} would not stop before its WAL archive has caught up`,
      measured: `${waiting} segments wait${archiver.failing ? ', and the archiver fails' : ''}`,
      limit: `at most ${backlog}, limits.archiveBacklog, and not failing`,
      next: psql(source.name, 'SELECT * FROM pg_stat_archiver'),
    });
  list.require('D2', baseBackups === 0, {
    says: 'no base backup runs',
    refusal: 'a base backup runs, and the stop would break it off',
    measured: `${baseBackups} running on ${source.name}`,
    limit: 'none',
    next: psql(source.name, 'SELECT pid, phase, backup_streamed, backup_total FROM pg_stat_progress_basebackup'),
  });
  checkTransactions(list, topology, source, pauseLimitMs);
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
