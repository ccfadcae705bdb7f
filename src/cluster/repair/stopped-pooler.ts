import type { Check } from '../check';
import { clusterStatus } from '../commands';
import type { RepairAction, RepairDecision, RepairKind } from '../failover/repair';
import type { Ledger } from '../guard/ledger';
import { isForeign } from '../guard/ledger-rules';
import { presentNodes, primaries, type ObservedCluster, type ObservedNode } from '../observed';
import type { OwnTask, RepairRound } from './round';

/** The pooler, where its container is there and does not run: no client gets through, and nothing can be proven of them. */
export function stoppedPooler({ pooler }: ObservedCluster, woken: readonly string[]): OwnTask | undefined {
  const { name, container } = pooler;
  if (container === undefined || !container.exists || container.status === 'restarting') return undefined;
  if ((container.running && container.status !== 'paused') || woken.includes(name)) return undefined;
  return { kind: 'start-pooler', node: name, why: `its container is ${container.status}`, check: 'E4' };
}

/** What decides who takes writes: it is done before clients are let in, and all else after. */
const beforeClients: ReadonlySet<RepairKind> = new Set(['fence', 'failover', 'start-primary']);

/**
 * The round of a cluster whose pooler does not run. To start it lets clients in, on the route that it had, so that comes after whatever
 * decides who takes writes, and before what may take long. Where that leaves not exactly one primary, it stays down. Pure.
 * @param ledger what the guard knows; null without one
 */
export function roundWithPooler(
  observed: ObservedCluster,
  pooler: OwnTask,
  decision: RepairDecision,
  ledger: Ledger | null,
): RepairRound {
  const { findings, primary } = decision;
  const actions = decision.actions.filter(({ kind }) => kind !== 'nothing');
  const known = primary === undefined ? {} : { primary };
  const why = whyKeptOut(observed, decision, ledger);
  if (why !== undefined) {
    // Of a repair that changes nothing the next one would say the same: whatever else refuses has to go.
    const other = findings.find((check) => check.result === 'refuse' && !isOf(pooler, check))?.next;
    const next =
      actions.length > 0 ? `veloz-ha repair --cluster ${observed.cluster}` : (other ?? clusterStatus(observed.cluster));
    const staysDown = `${pooler.node} stays down (${pooler.why}): ${why}, and clients are let in only where exactly one node of the right database system takes writes`;
    return {
      tasks: actions,
      findings: findings.map((check) => (isOf(pooler, check) ? keptDown(check, why, next) : check)),
      ...known,
      staysDown,
      says: `${decision.says}; ${staysDown}`,
    };
  }
  const [before, after] = [
    [...actions.filter(({ kind }) => beforeClients.has(kind)), ...fencesOfSilent(observed, actions)],
    actions.filter(({ kind }) => !beforeClients.has(kind)),
  ];
  const starts = `${pooler.node} is started: ${pooler.why}`;
  const then = before.length === 0 ? starts : `${starts}, and clients are let in after that`;
  return {
    tasks: [...before, pooler, ...after],
    findings,
    ...known,
    says: actions.length === 0 ? starts : `${decision.says}; ${then}`,
  };
}

/**
 * A node that is silent to a worker may answer the pooler: one that may take writes is fenced before a client can be led to it, and not
 * only by its rejoin.
 */
const fencesOfSilent = ({ nodes }: ObservedCluster, actions: readonly RepairAction[]): RepairAction[] =>
  actions
    .filter(({ kind, node }) => kind === 'rejoin' && nodes.some((each) => each.name === node && isSilentPrimary(each)))
    .map(({ node, upstream }) => ({
      kind: 'fence',
      ...(node === undefined ? {} : { node }),
      ...(upstream === undefined ? {} : { upstream }),
      why: `it gives no answer, and its agent says that it runs and is "in production"`,
      check: 'A3',
    }));

/** Its own agent says that it takes writes, and it gives no answer. */
const isSilentPrimary = ({ sql, agent }: ObservedNode): boolean =>
  sql === null && agent?.postgresState === 'running' && agent.controlState === 'in production';

/** Why no client may be let in: after these actions not exactly one node of the right system takes writes. Undefined when one may. */
function whyKeptOut(
  observed: ObservedCluster,
  { actions, primary }: { actions: readonly RepairAction[]; primary?: string },
  ledger: Ledger | null,
): string | undefined {
  const fenced = new Set(actions.filter(({ kind }) => kind === 'fence').map(({ node }) => node));
  const writable = primaries(observed).filter(({ name }) => !fenced.has(name));
  const [only, another] = writable;
  if (another !== undefined)
    return `${writable.map(({ name }) => name).join(' and ')} take writes, and nothing tells which one is right`;
  const name = only?.name ?? primary;
  if (name === undefined) return 'nobody takes writes, and who is to be the primary is not known';
  const node = presentNodes(observed).find((each) => each.name === name);
  const astray = node === undefined ? undefined : whyOfAnotherSystem(observed, node, ledger);
  if (astray !== undefined) return astray;
  return primary === name ? undefined : `${name} takes writes, and is not known to be the primary`;
}

/** Why a node may be of the wrong database system; undefined where the ledger names its system, or no node tells another one. */
function whyOfAnotherSystem(observed: ObservedCluster, node: ObservedNode, ledger: Ledger | null): string | undefined {
  const system = systemOf(node);
  if (system === undefined) return undefined;
  if (ledger?.systemIdentifier !== undefined)
    return isForeign(ledger, { systemIdentifier: system })
      ? `${node.name} belongs to database system ${system}, and not to ${ledger.systemIdentifier} of the ledger`
      : undefined;
  const other = presentNodes(observed).find((each) => (systemOf(each) ?? system) !== system);
  if (other === undefined) return undefined;
  return `${node.name} belongs to database system ${system}, ${other.name} to ${systemOf(other)}, and no ledger names the right one`;
}

const systemOf = ({ sql, agent }: ObservedNode): string | undefined =>
  sql?.systemIdentifier ?? agent?.systemIdentifier ?? undefined;

/** E4: the pooler is not ready. */
const isOf = ({ node }: OwnTask, { id, says }: Check): boolean => id === 'E4' && says === `${node} is ready`;

/** To start it by hand would let clients in as well. */
const keptDown = (check: Check, why: string, next: string): Check => ({
  ...check,
  measured: `${check.measured}; ${why}`,
  limit: 'exactly one node of the right database system takes writes before clients are let in',
  next,
});
