import { clusterStatus, logs, psql, sqlName, sqlText } from '../commands';
import { formatMs } from '../duration';
import { repairCommand } from '../commands';
import { lsnDistance } from '../lsn';
import { replicationRowOf, standbys, type AnsweringNode, type NodeSql, type ObservedCluster } from '../observed';
import { lowerSettings } from '../readiness/settings';
import type { Weight } from '../readiness/start';
import { formatSize } from '../size';
import { waitsForStandby } from '../synchronous-commit';
import { isExpectedNames, synchronousNamesFor } from '../synchronous-names';
import { slotName, type ClusterTopology } from '../topology';
import type { Checklist } from './checklist';

/** A primary and one of its standbys, both of which answer. */
export interface Pair {
  cluster: string;
  source: AnsweringNode;
  standby: AnsweringNode;
}

/** A commit that waits for longer than this, in milliseconds, is stuck and not merely on its way. */
const STUCK_AFTER_MS = 1000;

/** Reloads the configuration after ALTER SYSTEM. */
export const RELOAD = 'SELECT pg_reload_conf()';

/** A6 and B1: the standby streams from this very primary. */
export function checkStreaming(list: Checklist, { cluster, source, standby }: Pair): boolean {
  const row = replicationRowOf(source, slotName(standby.name));
  const { receiver } = standby.sql;
  const [here, there] = [source.sql.timeline, standby.sql.timeline];
  const next = `${repairCommand(cluster)}   # why it is so: ${logs(standby.name)}`;
  list.require('A6', here === there, {
    says: `${standby.name} is on the timeline of ${source.name}`,
    refusal: `${standby.name} is on another timeline than ${source.name}`,
    measured: here === there ? `timeline ${here}` : `timeline ${there}, the primary is on ${here}`,
    limit: 'the same timeline',
    next,
  });
  const seenThere =
    row === undefined
      ? `the primary has no walsender for slot ${slotName(standby.name)}`
      : `the primary says ${row.state}`;
  const seenHere =
    receiver === null
      ? 'its WAL receiver does not run'
      : `its WAL receiver is ${receiver.status} from ${receiver.senderHost}`;
  return list.require(
    'B1',
    row?.state === 'streaming' && receiver?.status === 'streaming' && receiver.senderHost === source.internal.host,
    {
      says: `${standby.name} streams from ${source.name}, and both say so`,
      refusal: `${standby.name} does not stream from ${source.name}`,
      measured: `${seenThere}, ${seenHere}`,
      limit: `streaming from ${source.internal.host}`,
      next,
    },
  );
}

/** B2: the target is a synchronous standby, so that it has every acknowledged commit. */
export function checkSynchronous(
  list: Checklist,
  topology: ClusterTopology,
  observed: ObservedCluster,
  { source, standby }: Pair,
): void {
  const row = replicationRowOf(source, slotName(standby.name));
  const names = source.sql.settings.synchronous_standby_names ?? '';
  const streaming = source.sql.replication.filter(({ state, slot }) => state === 'streaming' && slot !== null).length;
  const better = standbys(observed).find(
    (node) => node.promotable && isSynchronous(replicationRowOf(source, slotName(node.name))?.syncState),
  );
  list.require('B2', isSynchronous(row?.syncState), {
    says: `${standby.name} is a synchronous standby`,
    refusal: `${standby.name} is not a synchronous standby`,
    measured: `sync_state is ${row?.syncState ?? 'unknown'}, synchronous_standby_names is '${names}'`,
    limit: 'sync or quorum',
    next: !isExpectedNames(topology, names, streaming)
      ? setSynchronousNames(source.name, synchronousNamesFor(topology, streaming))
      : better === undefined
        ? psql(source.name, 'SELECT application_name, client_addr, state, sync_state FROM pg_stat_replication')
        : `veloz-ha postgres switchover --cluster ${observed.cluster} --to ${better.name}`,
  });
}

/** Does a primary with this state for a standby wait for it before it acknowledges a commit? */
export function isSynchronous(state: string | undefined): boolean {
  return state === 'sync' || state === 'quorum';
}

/** Puts `synchronous_standby_names` right. */
export function setSynchronousNames(node: string, names: string): string {
  return psql(node, `ALTER SYSTEM SET synchronous_standby_names = ${sqlText(names)}`, RELOAD);
}

/** B4 and B8: what a client is told is true, and it is told. */
export function checkCommits(
  list: Checklist,
  source: AnsweringNode,
  standbyNames: readonly string[],
  ageless?: Ageless,
): void {
  const { settings, weakSyncCommit } = source.sql;
  const server = settings.synchronous_commit ?? 'on';
  const serverWeak = !waitsForStandby(server);
  const weak = [
    ...(serverWeak ? [`${server} for the whole server`] : []),
    ...weakSyncCommit.map(({ role, database, value }) => `${value} for ${role} in ${database}`),
  ];
  list.require('B4', weak.length === 0, {
    says: 'synchronous_commit is nowhere off or local',
    refusal: 'some commits are acknowledged before a standby has them',
    measured:
      weak.length === 0 ? `synchronous_commit is ${server} everywhere` : `synchronous_commit is ${weak.join(', ')}`,
    limit: 'nowhere off or local',
    next: psql(
      source.name,
      ...(serverWeak ? [`ALTER SYSTEM SET synchronous_commit = 'on'`, RELOAD] : []),
      ...weakSyncCommit.map(resetStatement),
    ),
  });
  checkStuck(list, source, standbyNames, ageless);
}

/** What a commit that waits for an unknown time comes to: sessions with `track_activities` off do not say since when they wait. */
export interface Ageless {
  weight: Weight;
  /** Those of an earlier look: only what waited then as well counts. Without it each one counts. */
  before?: readonly string[];
}

/** B8: no commit waits for ever. */
export function checkStuck(
  list: Checklist,
  source: AnsweringNode,
  standbyNames: readonly string[],
  { weight, before }: Ageless = { weight: 'advise' },
): void {
  const { count, oldestMs, ageless = [] } = source.sql.syncRepWaiters;
  const says = 'no commit is stuck waiting for a synchronous standby';
  const limit = `none for longer than ${formatMs(STUCK_AFTER_MS)}`;
  const still = ageless.filter((id) => before === undefined || before.includes(id));
  const stuck = count > 0 && oldestMs >= STUCK_AFTER_MS;
  if (!stuck && still.length > 0) {
    list[weight]('B8', false, {
      says,
      refusal:
        'commits wait for a synchronous standby, and nobody knows for how long: their sessions tell no times, as with track_activities off',
      measured: `${still.length} wait${before === undefined ? '' : ', and did in an earlier look'}`,
      limit,
      next: logs(standbyNames[0] ?? source.name),
    });
    return;
  }
  list.require('B8', !stuck, {
    says,
    refusal: 'commits are stuck waiting for a synchronous standby',
    measured: count === 0 ? 'none waits' : `${count} wait, the oldest for ${formatMs(oldestMs)}`,
    limit,
    next: logs(standbyNames[0] ?? source.name),
  });
}

/**
 * B4, the server's half on a node that is not the primary: ALTER SYSTEM travels to no standby, so that each server has its own value, which
 * counts for every client once the node is promoted. Told only where it is weak. Roles and databases travel with the primary's data.
 */
export function checkCommitsOncePrimary(list: Checklist, { name, sql }: AnsweringNode): void {
  const server = sql.settings.synchronous_commit ?? 'on';
  if (waitsForStandby(server)) return;
  list.require('B4', false, {
    says: `synchronous_commit of ${name} is neither off nor local`,
    refusal: `${name} as primary would acknowledge commits before a standby has them`,
    measured: `synchronous_commit is ${server} for the whole server ${name}`,
    limit: 'neither off nor local on the node that is to be promoted',
    next: psql(name, `ALTER SYSTEM SET synchronous_commit = 'on'`, RELOAD),
  });
}

/** What takes a weaker setting back, for one row of `pg_db_role_setting`. */
function resetStatement({ role, database }: NodeSql['weakSyncCommit'][number]): string {
  const everyRole = role === 'every role';
  const everywhere = database === 'every database';
  if (everyRole && !everywhere) return `ALTER DATABASE ${sqlName(database)} RESET synchronous_commit`;
  return `ALTER ROLE ${everyRole ? 'ALL' : sqlName(role)}${everywhere ? '' : ` IN DATABASE ${sqlName(database)}`} RESET synchronous_commit`;
}

/** B5: the standby has on disk nearly all that the primary wrote, and nothing else. */
export function checkFlushLag(list: Checklist, topology: ClusterTopology, { cluster, source, standby }: Pair): void {
  const row = replicationRowOf(source, slotName(standby.name));
  const limit = topology.limits.flushLagBytes;
  const behind = row?.flushLsn == null ? undefined : lsnDistance(source.sql.lsn, row.flushLsn);
  // The two are read one after the other, so a little more under load is none: a primary has all that it sends.
  if (behind !== undefined && -behind > limit) {
    list.require('B5', false, {
      says: `${standby.name} has nearly all that ${source.name} wrote`,
      refusal: `${standby.name} has WAL that ${source.name} has not: they are of two histories, and what ${standby.name} confirms proves nothing`,
      measured: `${formatSize(-behind)} more than ${source.name}, whose data were replaced by older ones, or whose disk lost what it had written`,
      limit: 'no more than the primary',
      next: `veloz-ha postgres rejoin ${standby.name} --method copy --cluster ${cluster}`,
    });
    return;
  }
  const lag = behind === undefined ? undefined : Math.max(behind, 0);
  list.require('B5', lag !== undefined && lag <= limit, {
    says: `${standby.name} has nearly all that ${source.name} wrote`,
    refusal: `${standby.name} is too far behind ${source.name}`,
    measured: lag === undefined ? 'unknown, because it does not stream' : `${formatSize(lag)} not flushed there`,
    limit: `at most ${formatSize(limit)}, limits.flushLagBytes`,
    next: clusterStatus(cluster),
  });
}

/** B7: replay halted by itself, because a setting is lower than the primary's. A resume would end the server. */
function isHalted(list: Checklist, standby: AnsweringNode, primary: AnsweringNode | undefined): boolean {
  const lower = lowerSettings(standby, primary);
  if (lower.length === 0 || primary === undefined) return false;
  const of = (node: AnsweringNode, name: string) => node.sql.settings[name];
  list.require('B7', false, {
    says: `replay on ${standby.name} is neither paused nor delayed`,
    refusal: `replay on ${standby.name} has halted, because a setting is lower than on ${primary.name}`,
    measured: lower
      .map((name) => `${name} is ${of(standby, name)}, and ${of(primary, name)} on ${primary.name}`)
      .join('; '),
    limit: `not lower than on ${primary.name}`,
    next: `${psql(standby.name, ...lower.map((name) => `ALTER SYSTEM SET ${name} = ${of(primary, name)}`))} && docker restart ${standby.name}`,
  });
  return true;
}

/**
 * B6 and B7: the standby replays what it receives, at once.
 * @param weight of a pause, a delay and what comes of them: on a node that is never promoted they may be meant
 */
export function checkReplay(
  list: Checklist,
  topology: ClusterTopology,
  standby: AnsweringNode,
  primary?: AnsweringNode,
  weight: Weight = 'require',
): void {
  const { name, sql } = standby;
  if (sql.replayPaused && isHalted(list, standby, primary)) return;
  // First, because a pause or a delay is why a standby lags.
  const delay = sql.settings.recovery_min_apply_delay ?? '0';
  list[weight]('B7', !sql.replayPaused && delay === '0', {
    says: `replay on ${name} is neither paused nor delayed`,
    refusal: `replay on ${name} is ${sql.replayPaused ? 'paused' : 'delayed'}`,
    measured: sql.replayPaused
      ? 'pg_is_wal_replay_paused() is true'
      : delay === '0'
        ? 'replaying at once'
        : `recovery_min_apply_delay is ${formatMs(Number(delay))}`,
    limit: 'not paused, no delay',
    next: sql.replayPaused
      ? psql(name, 'SELECT pg_wal_replay_resume()')
      : psql(name, 'ALTER SYSTEM SET recovery_min_apply_delay = 0', RELOAD),
  });
  const limit = topology.limits.replayLagBytes;
  const lag = sql.replayLsn === null ? undefined : Math.max(lsnDistance(sql.lsn, sql.replayLsn), 0);
  list[weight]('B6', lag !== undefined && lag <= limit, {
    says: `${name} has replayed nearly all that it received`,
    refusal: `${name} has not replayed what it received`,
    measured: lag === undefined ? 'nothing is replayed yet' : `${formatSize(lag)} not replayed`,
    limit: `at most ${formatSize(limit)}, limits.replayLagBytes`,
    // A long query on the standby is what holds replay up where it is neither paused nor delayed.
    next: psql(
      name,
      `SELECT pid, usename, state, now() - xact_start AS open_for, left(query, 60) AS query FROM pg_stat_activity WHERE backend_type = 'client backend' AND xact_start IS NOT NULL ORDER BY xact_start`,
    ),
  });
}

/**
 * A6 and B1–B8 of the target.
 * @param before what the primary said in an earlier look
 */
export function checkReplication(
  list: Checklist,
  topology: ClusterTopology,
  observed: ObservedCluster,
  pair: Pair,
  before?: NodeSql,
): void {
  checkStreaming(list, pair);
  checkSynchronous(list, topology, observed, pair);
  list.skip(
    'B3',
    'the synchronous state was recorded outside the primary before it failed',
    'the primary answers, and was asked itself',
  );
  checkCommits(list, pair.source, [pair.standby.name], {
    weight: 'require',
    before: before && (before.syncRepWaiters.ageless ?? []),
  });
  checkCommitsOncePrimary(list, pair.standby);
  checkFlushLag(list, topology, pair);
  checkReplay(list, topology, pair.standby, pair.source);
}
