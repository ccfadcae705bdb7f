import { logs, NEW_IMAGES, psql } from '../commands';
import { formatMs } from '../duration';
import type { AnsweringNode } from '../observed';
import type { Checklist } from '../switchover/checklist';
import type { ClusterTopology } from '../topology';
import type { AgentReadiness, SettingInFile } from './observed';
import { notLower } from './settings';

/** Does a finding about this node refuse, or only warn? */
export type Weight = 'require' | 'advise';

/** Where only the container itself reaches a server. */
const onlyHere = /^(localhost|127(\.\d+){3}|::1)$/i;
const RELOAD = 'SELECT pg_reload_conf()';
/** The file that ALTER SYSTEM writes. */
export const AUTO_CONF = 'postgresql.auto.conf';

/** What takes a setting back: by the server where ALTER SYSTEM wrote it, by hand where somebody wrote it into a file. */
export function resetSetting(
  node: string,
  { name, file, line }: Pick<SettingInFile, 'name' | 'file' | 'line'>,
): string {
  return file.endsWith(AUTO_CONF)
    ? psql(node, `ALTER SYSTEM RESET ${name}`, RELOAD)
    : `docker exec ${node} sed -n ${line}p ${file}`;
}

/** Takes files out of the data directory, and keeps them. */
const moveAway = ({ name, agent }: AnsweringNode, files: readonly string[]): string =>
  `docker exec ${name} mv ${files.map((file) => `${agent?.dataDirectory.path}/${file}`).join(' ')} /tmp`;

const shown = ({ name, value, file, line }: SettingInFile): string =>
  `${name} = '${value}' in ${file.endsWith(AUTO_CONF) ? AUTO_CONF : `${file} line ${line}`}`;

/** The value that a setting would have after a start now; undefined where that is not known. */
export function nextValue(node: AnsweringNode, name: string): string | undefined {
  const { agent, sql } = node.readiness ?? {};
  return agent == null ? undefined : (agent.next[name] ?? sql?.defaults[name]);
}

/**
 * E4: a standby whose agent is silent can't be promoted, however well its server streams. Where somebody looked for the first time, such as
 * `status`, the same is told of the whole node (`agentError`).
 */
export function checkAgentAnswers(list: Checklist, { name, agent, agentError, readiness }: AnsweringNode): void {
  if (agent !== null || agentError !== undefined || readiness?.agentError === undefined) return;
  list.require('E4', false, {
    says: `the agent of ${name} answers`,
    refusal: `${name} could not be promoted: its PostgreSQL answers, and its agent does not`,
    measured: readiness.agentError,
    limit: 'an answer within 2000 ms',
    next: logs(name),
  });
}

type TriedStart = NonNullable<AgentReadiness['start']>;

/** Where a checkpoint writes the progress of replication origins. */
const ORIGINS_FILE = 'pg_logical/replorigin_checkpoint';

/** M1: a start that was tried ends well, and others would find the server where they look for it. */
export function checkStartable(list: Checklist, node: AnsweringNode, weight: Weight): void {
  const { name, readiness } = node;
  const says = `${name} could be started again as it is configured`;
  if (readiness === undefined || node.agent === null) return list.skip('M1', says, 'its agent was not asked');
  const start = readiness.agent?.start;
  if (start?.ok == null) {
    if (readiness.agent !== null && start == null) return list.skip('M1', says, 'it does not run as it should');
    const old = /UnknownCommand|no command/.test(readiness.agentError ?? '');
    list.advise('M1', false, {
      says,
      refusal: `it is not known whether ${name} could be started again`,
      measured: start?.problem ?? readiness.agentError ?? 'its agent gave no answer',
      limit: 'a start that is tried without being made',
      next: old ? NEW_IMAGES : logs(name),
    });
    return;
  }
  const { problem, setting, ms } = start;
  list[weight]('M1', start.ok, {
    says,
    refusal: `${name} could not be started again as it is configured now`,
    measured: start.ok
      ? `a start was tried in ${Math.round(ms)} ms, up to its shared memory`
      : `${problem ?? 'the start that was tried failed'}${setting == null ? '' : ` (${shown(setting)})`}`,
    limit: 'a start that is tried without being made ends without an error',
    next: nextOfTrial(node, start),
  });
  checkWhereItListens(list, node, weight);
}

/** What mends that at which a start failed in its trial. */
function nextOfTrial(node: AnsweringNode, { problem, setting, leftover }: TriedStart): string {
  if (leftover != null) return moveAway(node, [leftover]);
  if (setting != null) return resetSetting(node.name, setting);
  // A checkpoint writes that file anew from what the server has in memory.
  if (problem?.includes(ORIGINS_FILE) === true) return psql(node.name, 'CHECKPOINT');
  return psql(node.name, 'SELECT sourcefile, sourceline, name, setting, error FROM pg_file_settings WHERE NOT applied');
}

/** A start that takes more than this part of the hold leaves too little of it to the stop, the promotion and the first commit. */
const OF_THE_HOLD = 1 / 3;

/**
 * M1: with `zero-loss` and no third node clients wait until the old primary confirms as a standby, and so for its start. A trial ends before
 * the recovery begins: the start itself takes longer. One trial may be stretched by a busy machine, so that the shortest counts.
 */
export function checkStartTime(
  list: Checklist,
  topology: ClusterTopology,
  source: AnsweringNode,
  weight: Weight,
): void {
  const start = source.readiness?.agent?.start;
  if (start?.ok !== true) return;
  const { hold } = topology.limits;
  const took = start.shortestMs ?? start.ms;
  if (took <= hold * OF_THE_HOLD) return;
  const outlasts = took >= hold;
  // A single trial is no reason to refuse.
  list[outlasts && start.shortestMs != null ? weight : 'advise']('M1', false, {
    says: `${source.name} starts soon enough for clients that wait for it`,
    refusal: outlasts
      ? `clients would be let go before ${source.name} has started as a standby, which they wait for with zero-loss and two nodes`
      : `the start of ${source.name}, which clients wait for with zero-loss and two nodes, takes a large part of the hold`,
    measured: `the start that was tried took ${formatMs(Math.round(took))}, up to its shared memory`,
    limit: `at most a third of ${formatMs(hold)}, limits.hold`,
    next: psql(source.name, 'SHOW shared_preload_libraries'),
  });
}

/** M1: a server that starts where nobody looks for it is as good as none. */
function checkWhereItListens(list: Checklist, node: AnsweringNode, weight: Weight): void {
  const { name, readiness } = node;
  const [port, listen] = [nextValue(node, 'port'), nextValue(node, 'listen_addresses')];
  const now = readiness?.sql?.settings;
  if (port !== undefined && now?.port !== undefined && port !== now.port) {
    list[weight]('M1', false, {
      says: `${name} would listen where others look for it`,
      refusal: `${name} would listen on another port after its next start`,
      measured: `port ${now.port} now, ${port} at the next start`,
      limit: `port ${now.port}`,
      next: resetSetting(name, { name: 'port', file: AUTO_CONF, line: 0 }),
    });
  }
  const addresses = (listen ?? '*').split(',').map((address) => address.trim());
  if (addresses.every((address) => address === '' || onlyHere.test(address))) {
    list[weight]('M1', false, {
      says: `${name} would listen where others look for it`,
      refusal: `nobody outside of its container would reach ${name} after its next start`,
      measured: `listen_addresses is '${listen}' at the next start`,
      limit: 'an address that others reach',
      next: resetSetting(name, { name: 'listen_addresses', file: AUTO_CONF, line: 0 }),
    });
  }
}

/** Settings that decide what a start becomes; where a run starts the node, its agent overrides them. */
const target = /^recovery_target/;
const upstream = /^primary_/;
/** Why an agent has its own word on a setting that no restore leaves. */
const overriddenFor: Readonly<Record<string, string>> = {
  hot_standby: 'nobody could ask a standby anything without it, and its agent starts it with that on',
  allow_alter_system:
    'the runbooks set synchronous_standby_names by ALTER SYSTEM, and its agent starts it with that allowed',
  wal_retrieve_retry_interval:
    'a standby would wait for so long until it tries its upstream again, and its agent starts it with 50ms',
  wal_receiver_status_interval:
    'a standby says with it how far it is, commits wait for that, and its agent starts it with 1s',
  wal_receiver_timeout:
    'a standby ends a session with its upstream in which it heard nothing for so long, and its agent starts it with 5s',
  wal_sender_timeout:
    'a primary ends the session of a standby that it heard nothing of for so long, and its agent starts it with 5s',
  pre_auth_delay: 'each new connection would wait for so long before it may log in, and its agent starts it with 0',
  data_directory:
    'a server would start on another directory than the one that its agent looks after, and its agent starts it on its own',
  reserved_connections:
    'sessions of the control role have no place without them while clients take all others, and its agent starts it with 5',
  superuser_reserved_connections:
    'sessions of its agent have no place without them while clients take all others, and it starts it with 3',
};

/**
 * M3: nobody who is to follow, or to be promoted, would replay with a delay. A primary feels nothing of one until it is a standby, and
 * the move that made it one waits for its replay in vain; what a standby replays with now is B7's matter.
 */
export function checkDelay(list: Checklist, node: AnsweringNode, weight: Weight): void {
  const { name, sql, readiness } = node;
  const now = sql.settings.recovery_min_apply_delay ?? '0';
  if (sql.inRecovery && !isNone(now)) return;
  const delay = readiness?.agent?.next.recovery_min_apply_delay ?? now;
  if (isNone(delay)) return;
  list[weight]('M3', false, {
    says: `${name} would replay at once as a standby`,
    refusal: `${name} would replay with a delay ${sql.inRecovery ? 'after its next reload or start' : 'once it is a standby'}`,
    measured: `recovery_min_apply_delay is ${/\D/.test(delay) ? delay : formatMs(Number(delay))}`,
    limit: 'no delay, except on a standby with promotable: false',
    next: psql(name, 'ALTER SYSTEM SET recovery_min_apply_delay = 0', RELOAD),
  });
}

/** A time of nothing, in whatever unit a file names. */
const isNone = (value: string): boolean => Number.parseFloat(value) === 0;

/** M2: nothing of a restore, or of a hand, is left that would decide what a start becomes. */
export function checkLeftOvers(list: Checklist, node: AnsweringNode, weight: Weight): void {
  const { name } = node;
  const agent = node.readiness?.agent;
  if (agent == null) return;
  const grave = agent.leftovers.filter((setting) => target.test(setting.name) || upstream.test(setting.name));
  const told = agent.leftovers.filter((setting) => !grave.includes(setting));
  // Of a node that is being fenced it is as it should be.
  const sleeps = node.agent?.standbySignal === true && node.agent.desired === 'up' && !node.sql.inRecovery;
  const signals = [...agent.signals, ...(sleeps ? ['standby.signal'] : [])];
  list[weight]('M2', grave.length === 0 && signals.length === 0, {
    says: `nothing of a restore is left on ${name}`,
    refusal: `leftovers of a restore on ${name} would decide what it becomes at its next start`,
    measured:
      [...grave.map(shown), ...signals.map((file) => `${file} in the data directory`)].join('; ') || 'nothing is left',
    limit:
      'no recovery target, no upstream of its own, no signal file, no history of a later timeline; a failover overrides all but the last',
    next: grave.length > 0 ? resetAll(name, grave) : moveAway(node, signals),
  });
  for (const setting of told)
    list.advise('M2', false, {
      says: `${setting.name} is not set on ${name}`,
      refusal: `${setting.name} does nothing on ${name}: ${overriddenFor[setting.name] ?? 'its standbys get WAL by their slots, and no command of a restore is run'}`,
      measured: shown(setting),
      limit: 'not set',
      next: resetSetting(name, setting),
    });
}

/** Takes several settings back at once. */
function resetAll(node: string, settings: readonly SettingInFile[]): string {
  const auto = settings.filter(({ file }) => file.endsWith(AUTO_CONF));
  const [first] = settings;
  if (auto.length === 0 && first !== undefined) return resetSetting(node, first);
  const names = [...new Set(auto.map(({ name }) => name))];
  return psql(node, ...names.map((name) => `ALTER SYSTEM RESET ${name}`), RELOAD);
}

/** M3: whoever would follow `upstream` after a restart would have settings with which it can. */
export function checkNextSettings(
  list: Checklist,
  followers: readonly AnsweringNode[],
  upstream: AnsweringNode,
  weight: Weight,
): void {
  for (const node of followers) {
    const lower = notLower.flatMap((name) => {
      const [next, needed] = [nextValue(node, name), upstream.sql.settings[name]];
      // Only what a restart would change: the values of now are another check's.
      const now = node.sql.settings[name];
      return next !== undefined && next !== now && Number(next) < Number(needed) ? [{ name, next, needed }] : [];
    });
    if (lower.length === 0) continue;
    list[weight]('M3', false, {
      says: `${node.name} could follow ${upstream.name} after its next start`,
      refusal: `${node.name} could not follow ${upstream.name} after its next start`,
      measured: lower
        .map(
          ({ name, next, needed }) => `${name} will be ${next} on ${node.name}, and is ${needed} on ${upstream.name}`,
        )
        .join('; '),
      limit: `not lower than on ${upstream.name}`,
      next: psql(node.name, ...lower.map(({ name, needed }) => `ALTER SYSTEM SET ${name} = ${needed}`), RELOAD),
    });
  }
}
