import { formatMs } from '../duration';
import { clusterStatus, logs, repairCommand, watchRun, workflowIdOf } from '../commands';
import { letIn } from '../control-path';
import { rejoinCommand } from '../failover/commands';
import { presentNodes, primaries, replicationRowOf, type ObservedCluster, type ObservedNode } from '../observed';
import { connectCommand, offNetworksSays } from '../off-networks';
import { slotName, type ClusterTopology } from '../topology';
import type { Checklist } from './checklist';

/** A system that can't be used now. */
export interface NotReady {
  name: string;
  /** `silent`: it gives no answer. `taken`: a run stopped or fenced it. `guarded`: it refuses to start as a second primary. */
  kind: 'silent' | 'taken' | 'guarded';
  why: string;
  next: string;
}

/** Errors of drivers begin with the node's name; where the name stands already it is left out. */
const without = (name: string, error: string): string =>
  error.startsWith(`${name}: `) ? error.slice(name.length + 2) : error;

/** A login that is refused is a matter of the worker's secrets, not of the node. */
function loginRefused(error: string, passwordFrom: string): string | undefined {
  if (!/password|authentication|secret/i.test(error)) return undefined;
  return `export ${passwordFrom}=…   # or ${passwordFrom}_FILE; the worker needs it too, from its start on`;
}

function nodeNotReady(
  node: ObservedNode,
  cluster: string,
  topology: ClusterTopology,
  primary?: ObservedNode,
): NotReady | undefined {
  const { name, container, agent } = node;
  const silent = (why: string, next: string): NotReady => ({ name, kind: 'silent', why: without(name, why), next });
  if (container.error !== undefined) return silent(container.error, `docker inspect ${name}`);
  if (!container.exists) return silent('its container does not exist', 'veloz-ha stack up');
  if (container.offNetworks !== undefined) {
    const why = `${offNetworksSays(container.offNetworks)}; its container is ${container.status}`;
    return silent(
      why,
      container.offNetworks.by === 'run' ? repairCommand(cluster) : connectCommand(name, container.offNetworks),
    );
  }
  if (!container.running) {
    const next =
      container.status !== 'paused'
        ? `docker start ${name}`
        : isBeside(primary, name)
          ? rejoinCommand(cluster, name)
          : `docker unpause ${name}`;
    return silent(`its container is ${container.status}`, next);
  }
  if (agent === null) return silent(node.agentError ?? 'its agent does not answer', logs(name));
  if (agent.desired !== 'up') {
    const run = agent.claimedBy ?? 'an earlier run';
    const workflow = workflowIdOf(run);
    const deadman =
      agent.deadmanInMs === null ? '' : `, and its dead-man switch starts it in ${formatMs(agent.deadmanInMs)}`;
    return {
      name,
      kind: 'taken',
      why: `it is ${agent.desired} by ${workflow ?? run}${deadman}`,
      // A run that was terminated holds its nodes as one that goes on does.
      next:
        workflow === undefined
          ? repairCommand(cluster)
          : `${watchRun(workflow)}   # has it ended: ${repairCommand(cluster)}`,
    };
  }
  if (agent.startGuard !== null)
    return {
      name,
      kind: 'guarded',
      why: agent.startGuard,
      // What a rejoin would end waits for a primary to copy, or says itself what has to be done.
      next: primary !== undefined && agent.postgresState === 'stopped' ? rejoinCommand(cluster, name) : logs(name),
    };
  if (node.sql === null) {
    const error = node.sqlError ?? 'no reason given';
    const next =
      letIn(topology, name, error, primary?.name) ??
      loginRefused(error, topology.postgres.control.passwordFrom) ??
      logs(name);
    return silent(`PostgreSQL does not answer: ${error}`, next);
  }
  return undefined;
}

/**
 * Another node takes writes, and has no connection of this one. A frozen server asks nobody: were it the primary before, it would be one
 * again as soon as it is thawed. A rejoin ends it first.
 */
const isBeside = (primary: ObservedNode | undefined, name: string): boolean =>
  primary !== undefined && primary.name !== name && replicationRowOf(primary, slotName(name)) === undefined;

function poolerNotReady(observed: ObservedCluster, topology: ClusterTopology): NotReady | undefined {
  const { pooler, cluster } = observed;
  const { name } = pooler;
  // To start it lets clients in on the route that it had: a repair first sees to it that exactly one node takes writes.
  const wake = (command: string): string => (primaries(observed).length === 1 ? command : repairCommand(cluster));
  if (pooler.agent === null) {
    const why = without(name, pooler.agentError ?? 'its agent does not answer');
    const next = /no such container/i.test(why)
      ? 'veloz-ha stack up'
      : /is not running/i.test(why)
        ? wake(`docker start ${name}`)
        : /is paused/i.test(why)
          ? wake(`docker unpause ${name}`)
          : logs(name);
    return { name, kind: 'silent', why, next };
  }
  if (pooler.console === null && pooler.agent.halted === 'suspended')
    return {
      name,
      kind: 'silent',
      why: 'somebody suspended it (SUSPEND): no client gets an answer, and its console takes nobody new',
      next: repairCommand(cluster),
    };
  if (pooler.console === null) {
    const error = pooler.consoleError ?? 'no reason given';
    const next = loginRefused(error, topology.pgbouncer.admin.passwordFrom) ?? logs(name);
    return { name, kind: 'silent', why: `its console does not answer: ${error}`, next };
  }
  return undefined;
}

/** The systems of a cluster that can't be used now, in the topology's order. */
export function systemsNotReady(topology: ClusterTopology, observed: ObservedCluster): NotReady[] {
  if (!observed.docker.ok) {
    const why = `it does not answer: ${observed.docker.error ?? 'no reason given'}`;
    // The topology may name another socket than the one that `docker` would ask.
    const socket = /connect E[A-Z]+ (\/\S+)/.exec(why)?.[1];
    const next = socket === undefined ? 'docker version' : `docker -H unix://${socket} version`;
    return [{ name: 'the Docker engine', kind: 'silent', why, next }];
  }
  const primary = primaries(observed)[0];
  return [
    ...presentNodes(observed).map((node) => nodeNotReady(node, observed.cluster, topology, primary)),
    poolerNotReady(observed, topology),
  ].filter((found) => found !== undefined);
}

/** E4: everything that will be needed answers, before the first step. */
export function checkSystems(list: Checklist, topology: ClusterTopology, observed: ObservedCluster): boolean {
  const silent = systemsNotReady(topology, observed);
  const [first] = silent;
  const nodes = presentNodes(observed).length;
  return list.require('E4', first === undefined, {
    says: 'every system that will be needed answers',
    refusal: silent.length === 1 ? `${first?.name} is not ready` : `${silent.length} systems are not ready`,
    measured:
      first === undefined
        ? `Docker, ${nodes} PostgreSQL nodes, PgBouncer and their agents`
        : silent.length === 1
          ? first.why
          : silent.map(({ name, why }) => `${name}: ${why.trim()}`).join('; '),
    limit: 'all of them answer',
    next: first?.next ?? clusterStatus(observed.cluster),
  });
}
