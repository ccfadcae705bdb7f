import type { Check } from '../check';
import { isRefused } from '../client-refusal';
import { formatMs } from '../duration';
import { offNetworksSays } from '../off-networks';
import { decideRepair, type RepairAction } from '../failover/repair';
import type { Ledger } from '../guard/ledger';
import { presentNodes, primaries, type ObservedCluster, type ObservedNode } from '../observed';
import type { ClusterTopology } from '../topology';
import { roundWithPooler, stoppedPooler } from './stopped-pooler';

/** One thing that a repair does, beyond {@link RepairAction}. */
export interface OwnTask {
  /**
   * `wake`: start a container that does not run, or end its freeze, while nobody is writable; what it holds decides what follows.
   * `start-pooler`: start PgBouncer's container, which does not run, once it is known who takes writes.
   * `restart-pooler`: restart PgBouncer, whose clients end up elsewhere than its route says.
   */
  kind: 'wake' | 'start-pooler' | 'restart-pooler';
  node: string;
  why: string;
  check: string;
  /** `restart-pooler`: the primary. */
  upstream?: string;
}

/** One thing that a repair does. */
export type RepairTask = RepairAction | OwnTask;

/** What an ordinary client meets at the front door. */
export type Door =
  | { inRecovery: boolean; address: string | null }
  /** It got no answer. */
  | { error: string };

/** What one look at a cluster says that has to be put right now. What follows from it is found by the next look. */
export interface RepairRound {
  /** In the order in which they are carried out; empty when nothing is to be done, or when people have to decide. */
  tasks: RepairTask[];
  findings: Check[];
  /** The primary as it will be; undefined while that is not known. */
  primary?: string;
  /** A pooler that does not run, and is started in a later round: who takes writes is not known before this one. */
  startsLater?: string;
  /** Why a pooler that does not run is not started, as a clause. */
  staysDown?: string;
  /** The whole in one sentence. */
  says: string;
}

/** What is known beside the picture. */
export interface RoundKnowledge {
  /** What the guard knows; null without one. */
  ledger: Ledger | null;
  /** Nodes that were woken already, in vain or not: it is not tried twice. */
  woken: readonly string[];
  /** Absent where no client can be let in: nobody is writable, or clients are held. */
  door?: Door | undefined;
  /** The run was begun by a version that restarted the pooler before all else, whoever refused its clients: it goes on so. */
  poolerFirst?: boolean | undefined;
  /** The run was begun by a version that started a pooler before all else, in a round of its own: it goes on so. */
  poolerAlone?: boolean | undefined;
  /** What does not run may be meant so, and no person asks for it now: a pooler is left as it is. */
  leavesStopped?: boolean | undefined;
  /** The run was begun by a version for which an optional node without container was never there, whatever the ledger names: it goes on so. */
  optionalIsGone?: boolean | undefined;
}

/**
 * What to do now. As {@link decideRepair} says, with one thing before it: while nobody is writable, a node that merely does not run
 * is started before anybody else is promoted. It may be the primary, or have what nobody else has; its own agent keeps it from becoming
 * a second primary, and as nobody is writable there is none yet. A pooler that does not run is started by {@link roundWithPooler}. Pure.
 */
export function decideRound(
  topology: ClusterTopology,
  seen: ObservedCluster,
  {
    ledger,
    woken,
    door,
    poolerFirst = false,
    poolerAlone = false,
    leavesStopped = false,
    optionalIsGone = false,
  }: RoundKnowledge,
): RepairRound {
  const observed = onNewestTimelines(seen);
  const pooler = leavesStopped ? undefined : stoppedPooler(observed, woken);
  const stopped = primaries(observed).length > 0 ? [] : asleep(observed);
  const sleepers = stopped.filter(({ name }) => !woken.includes(name));
  // A primary whose container can't be started is no primary to be: without the ledger's word a standby takes its place.
  const gone = stopped.some(({ name }) => name === ledger?.primary && woken.includes(name));
  const names = optionalIsGone ? null : ledger;
  const decision = decideRepair(topology, observed, { ledger: gone ? null : ledger, names });
  const { findings } = decision;
  if (sleepers.length > 0) {
    const tasks = sleepers.map(({ name, container }): RepairTask => ({
      kind: 'wake',
      node: name,
      why: `nobody is writable, and ${whyAsleep(name, container)}`,
      check: 'E4',
    }));
    const names = sleepers.map(({ name }) => name).join(' and ');
    return {
      tasks,
      findings,
      ...(pooler === undefined ? {} : { startsLater: pooler.node }),
      says: `nobody is writable: ${names} ${sleepers.length === 1 ? 'is' : 'are'} started first, and what is found there decides the rest`,
    };
  }
  if (pooler !== undefined && !poolerAlone) return roundWithPooler(observed, pooler, decision, ledger);
  if (pooler !== undefined)
    return {
      tasks: [pooler],
      findings,
      ...(decision.primary === undefined ? {} : { primary: decision.primary }),
      says: `${pooler.node} is started first: ${pooler.why}`,
    };
  const tasks: RepairTask[] = decision.actions.filter(({ kind }) => kind !== 'nothing');
  const primary = decision.primary === undefined ? {} : { primary: decision.primary };
  const leadsThere = !tasks.some(({ kind }) => kind === 'route');
  const restarts = leadsThere && (poolerFirst || !isLeftAlone(observed, decision.primary, door));
  const astray = restarts ? whyAstray(door) : undefined;
  if (astray === undefined || decision.primary === undefined)
    return { tasks, findings, ...primary, says: decision.says };
  const { name } = observed.pooler;
  const why = `its route leads to ${decision.primary}, and ${astray}`;
  const says = `F5: clients at ${name} do not reach ${decision.primary}: ${why}`;
  const restart: RepairTask = { kind: 'restart-pooler', node: name, upstream: decision.primary, why, check: 'F5' };
  return {
    // Last: what brings standbys back does not wait for it.
    tasks: poolerFirst ? [restart, ...tasks] : [...tasks, restart],
    findings,
    ...primary,
    says: tasks.length === 0 ? says : `${says}; ${decision.says}`,
  };
}

/** Where clients end up who are led to the primary; undefined when they do reach it, or were not asked for. */
function whyAstray(door: Door | undefined): string | undefined {
  if (door === undefined) return undefined;
  if ('error' in door) return `a client gets no answer: ${door.error}`;
  return door.inRecovery ? `a client reaches a standby, ${door.address ?? 'at no address'}` : undefined;
}

/**
 * Would a restart of the pooler bring no client in? The primary itself refuses them: what a client meets is no sign of where it was led.
 * Or somebody disabled their database at the pooler, which a restart would silently undo.
 */
function isLeftAlone({ pooler, nodes }: ObservedCluster, primary: string | undefined, door: Door | undefined): boolean {
  if (pooler.console?.disabled === true) return true;
  const client = nodes.find(({ name }) => name === primary)?.client;
  return door !== undefined && 'error' in door && isRefused(client);
}

/**
 * A standby whose receiver is gone tells by SQL only the timeline of its last restartpoint. Its agent looks at the history files too,
 * and knows the newest one that it has followed.
 */
function onNewestTimelines(observed: ObservedCluster): ObservedCluster {
  const nodes = observed.nodes.map((node): ObservedNode => {
    const { sql, agent } = node;
    if (sql?.inRecovery !== true || agent?.controlTimeline == null) return node;
    return { ...node, sql: { ...sql, timeline: Math.max(sql.timeline, agent.controlTimeline) } };
  });
  return { ...observed, nodes };
}

const whyAsleep = (name: string, { running, status, offNetworks }: ObservedNode['container']): string =>
  running && offNetworks !== undefined
    ? `${name} is off its networks: ${offNetworksSays(offNetworks)}`
    : `the container of ${name} is ${status}`;

/** Nodes whose container is there and does not run, or was taken off its networks by a run that could not end it. */
function asleep(observed: ObservedCluster): ObservedNode[] {
  return presentNodes(observed).filter(
    ({ sql, container }) =>
      sql === null &&
      container.exists &&
      (!container.running || container.offNetworks?.by === 'run') &&
      container.status !== 'restarting' &&
      // Off the networks it finds out nothing, and is found by nobody.
      container.offNetworks?.by !== 'somebody',
  );
}

/** Why it is too early to decide, and how long to wait. */
export interface Unsettled {
  /** What is waited for: its patience counts over several looks. */
  what: string;
  says: string;
  /** Look again after this time, in milliseconds. */
  againMs: number;
  /** Wait for it no longer than this in all, in milliseconds: then what is seen counts. */
  patienceMs: number;
}

/**
 * Checks that fail for a moment while a disk or a network stalls, or while a standby connects anew (its WAL receiver is restarted, and
 * is synchronous only when it has caught up; nobody is let in by a server that starts): what they see counts only when it stays.
 */
const passing: ReadonlySet<string> = new Set(['B1', 'B2', 'B5', 'B6', 'B8', 'C4', 'C10']);
const LONGEST_WAIT_MS = 60_000;

/**
 * What is about to change by itself: a dead-man switch of the run that is over, which acts before another run may; a server that
 * starts or stops; a standby that has not connected yet. Undefined when what is seen will stay. Pure.
 */
export function unsettled(observed: ObservedCluster, { tasks, findings }: RepairRound): Unsettled | undefined {
  const armed = Math.max(
    0,
    ...observed.nodes.map(({ agent }) => agent?.deadmanInMs ?? 0),
    observed.pooler.agent?.holdRemainingMs ?? 0,
  );
  if (armed > 0)
    return {
      what: 'dead-man',
      says: `a dead-man switch of the run that is over acts in ${formatMs(armed)}`,
      againMs: Math.min(armed + 300, LONGEST_WAIT_MS),
      patienceMs: LONGEST_WAIT_MS,
    };
  // At its limit a hold waits up to 2 s more for somebody who is writable.
  if (observed.pooler.agent?.holdRun != null)
    return { what: 'hold', says: 'a hold is being ended by its dead-man switch', againMs: 300, patienceMs: 5000 };
  const moving = presentNodes(observed).find(isMoving);
  if (moving !== undefined)
    return {
      what: moving.name,
      says: `${moving.name} is on its way: ${movement(moving)}`,
      againMs: 500,
      patienceMs: 15_000,
    };
  const rejoined = tasks.filter(({ kind, check }) => kind === 'rejoin' && check === 'B1');
  if (rejoined.length > 0)
    return {
      what: 'connecting',
      says: `${rejoined.map(({ node }) => node).join(' and ')} may still connect`,
      againMs: 1000,
      patienceMs: 6000,
    };
  if (tasks.some(({ kind }) => kind === 'restart-pooler'))
    return { what: 'door', says: 'clients do not reach the primary yet', againMs: 1000, patienceMs: 6000 };
  const refused = findings.filter(({ result }) => result === 'refuse');
  const [first] = refused;
  if (tasks.length === 0 && first !== undefined && refused.every(({ id }) => passing.has(id)))
    return { what: 'passing', says: `${first.id}: ${first.refusal ?? first.says}`, againMs: 1000, patienceMs: 6000 };
  return undefined;
}

/** Its server starts or stops, or its container does. */
function isMoving({ sql, agent, container }: ObservedNode): boolean {
  if (container.status === 'restarting') return true;
  if (sql !== null || !container.running) return false;
  // It hangs, or is as it will stay: nobody reaches it.
  if (container.offNetworks !== undefined) return false;
  if (agent === null) return container.error === undefined;
  if (agent.startGuard !== null) return false;
  return agent.postgresState !== 'stopped' || agent.desired === 'up';
}

function movement({ agent, container }: ObservedNode): string {
  if (agent === null) return `its container is ${container.status}, and its agent does not answer`;
  return `its PostgreSQL is ${agent.postgresState} and does not answer`;
}

/** What may make another node the primary, or end one: done only when it was part of the plan that somebody saw. */
const grave: ReadonlySet<RepairTask['kind']> = new Set(['fence', 'failover', 'start-primary', 'wake']);

/**
 * The tasks that go beyond what was planned. Everything that makes the cluster follow its primary may follow from any plan; whom to
 * start or promote follows from a plan only when it was to be found out by waking somebody. Pure.
 */
export function beyondPlan(planned: readonly RepairTask[], now: readonly RepairTask[]): RepairTask[] {
  const wakes = planned.some(({ kind }) => kind === 'wake');
  return now.filter(({ kind, node }) => {
    if (!grave.has(kind)) return false;
    if (wakes && (kind === 'failover' || kind === 'start-primary')) return false;
    return !planned.some((task) => task.kind === kind && task.node === node);
  });
}

/** Whether a round does the same as the one before it: then it would do it for ever. Pure. */
export function sameTasks(before: readonly RepairTask[], now: readonly RepairTask[]): boolean {
  const words = (tasks: readonly RepairTask[]) => tasks.map(({ kind, node }) => `${kind} ${node}`).join(', ');
  return words(before) === words(now);
}
