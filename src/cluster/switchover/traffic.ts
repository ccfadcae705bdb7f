import { disabledWords } from '../client-refusal';
import {
  poolerConsole,
  repairCommand,
  routeByHand,
  sqlName,
  switchoverCommand,
  watchRun,
  workflowIdOf,
} from '../commands';
import { formatMs } from '../duration';
import { primaries, type ObservedCluster, type ObservedNode, type ObservedPooler } from '../observed';
import type { ClusterTopology } from '../topology';
import type { Checklist } from './checklist';

/** F1: only a pooler that pools transactions can be paused while its clients stay connected. */
export function checkPoolMode(list: Checklist, { name, console: seen }: ObservedPooler): void {
  if (seen === null) return;
  list.require('F1', seen.poolMode === 'transaction', {
    says: 'the pooler pools transactions',
    refusal: 'PAUSE would wait for sessions for ever',
    measured: `pool_mode of ${name} is ${seen.poolMode}`,
    limit: 'transaction',
    next: poolerConsole(name, "SET pool_mode = 'transaction'"),
  });
}

/** F1: a replication connection keeps its server connection for as long as it lives, whatever the pool mode. */
export function checkNoReplicationThrough(list: Checklist, { name, console: seen }: ObservedPooler): void {
  const [first, ...rest] = seen?.replication ?? [];
  if (first === undefined) return;
  const { user, applicationName, serverPid, clientId } = first;
  const more = rest.length === 0 ? '' : `, and ${rest.length} more`;
  list.require('F1', false, {
    says: 'no replication connection goes through the pooler',
    refusal: 'PAUSE would wait for a replication connection for ever',
    measured: `${user}${applicationName === '' ? '' : ` (${applicationName})`} has one through ${name}, process ${serverPid} of the server${more}`,
    limit: 'none: who replicates connects to the node itself',
    next: `${poolerConsole(name, clientId === null ? 'SHOW CLIENTS' : `KILL_CLIENT ${clientId}`)}   # once it does not come back through the pooler`,
  });
}

/** At the limit of a hold PgBouncer's agent may wait for so long for a writable node, in milliseconds. */
const HOLD_MARGIN_MS = 2000;
/** What the settings of the shipped PgBouncer say, in milliseconds. */
const SHIPPED_MS = 60_000;

/**
 * F1: PgBouncer disconnects nobody whom a run holds. It counts from the moment in which a client began to wait, or to log in, and knows
 * nothing of a pause. A failover holds clients all the same: they have nobody to go to.
 */
export function checkClientsMayWait(
  list: Checklist,
  { cluster, pooler: { name, console: seen } }: Pick<ObservedCluster, 'cluster' | 'pooler'>,
  holdLimitMs: number,
  weight: 'require' | 'advise',
): void {
  const longest = holdLimitMs + HOLD_MARGIN_MS;
  const settings = Object.entries(seen?.disconnects ?? {});
  if (settings.length === 0) return;
  const short = settings.filter(([, ms]) => ms > 0 && ms <= longest);
  list[weight]('F1', short.length === 0, {
    says: 'the pooler lets clients wait for as long as they are held',
    refusal: 'the pooler would disconnect clients that are held, and their transactions would fail',
    measured: (short.length === 0 ? settings : short)
      .map(([key, ms]) => `${key} of ${name} is ${formatMs(ms)}`)
      .join(', '),
    limit: `0, or more than ${formatMs(longest)}: the hold of ${formatMs(holdLimitMs)} at most, and ${formatMs(HOLD_MARGIN_MS)}`,
    next:
      longest < SHIPPED_MS
        ? `${poolerConsole(name, 'RELOAD')}   # what its file says counts again`
        : switchoverCommand(cluster, '--hold-limit 30s'),
  });
}

/** F2: nobody holds clients, nor keeps new ones out. */
export function checkNotHeld(list: Checklist, topology: ClusterTopology, observed: ObservedCluster): void {
  const { name, agent, console: seen } = observed.pooler;
  // A suspended one has no console for anybody new (E4).
  if (agent === null || seen === null) return;
  const holder = agent.holdRun === null ? undefined : (workflowIdOf(agent.holdRun) ?? agent.holdRun);
  const database = topology.pgbouncer.database ?? topology.postgres.database;
  if (holder === undefined && !seen.paused && seen.disabled === true) {
    list.require('F2', false, disabledWords(topology, name));
    return;
  }
  list.require('F2', holder === undefined && !seen.paused, {
    says: 'nobody holds clients at the pooler',
    refusal: `clients wait at ${name}`,
    measured:
      holder !== undefined
        ? `${holder} holds them, and the dead-man switch lets them go in ${formatMs(agent.holdRemainingMs ?? 0)}`
        : seen.paused
          ? `somebody paused ${seen.halted == null ? `database ${database}` : 'all of it'}, ${seen.waitingClients === 1 ? '1 client waits' : `${seen.waitingClients} clients wait`}`
          : 'clients go through',
    limit: 'not held, not paused',
    next:
      agent.holdRun === null
        ? // To resume it lets clients in: a repair first sees to it that exactly one node takes writes.
          primaries(observed).length === 1
          ? poolerConsole(name, seen.halted == null ? `RESUME ${sqlName(database)}` : 'RESUME')
          : repairCommand(observed.cluster)
        : workflowIdOf(agent.holdRun) === undefined
          ? `docker exec ${name} veloz-agent observe`
          : watchRun(workflowIdOf(agent.holdRun) ?? ''),
  });
}

/** F4: clients reach the primary, by the routing file and by what PgBouncer has read of it. */
export function checkRoute(list: Checklist, primary: ObservedNode, pooler: ObservedPooler): void {
  const { name, agent, console: seen } = pooler;
  if (agent === null || seen === null) return;
  const { route } = agent;
  const { host, port } = primary.internal;
  const routed = route?.host === host && route.port === port;
  list.require('F4', routed && seen.host === host, {
    says: 'the pooler sends clients to the primary',
    refusal: 'the pooler does not send clients to the primary',
    measured:
      routed && seen.host !== host
        ? `its routing file says ${host}:${port}, but it has not read it and uses ${seen.host}`
        : route === null
          ? 'it has no route'
          : `to ${route.host}:${route.port}`,
    limit: `${host}:${port}`,
    next: routed ? poolerConsole(name, 'RELOAD') : routeByHand(name, primary.internal),
  });
}
