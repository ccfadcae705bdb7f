import { clusterStatus } from '../commands';
import { formatMs } from '../duration';
import { answers, presentNodes, replicationRowOf, type ObservedNode } from '../observed';
import { connectCommand, offNetworksSays } from '../off-networks';
import { slotName } from '../topology';
import { waitFor, type Repair } from './repair-parts';

/** Every other node is a standby that streams from the primary. */
export function repairStandbys(repair: Repair, primary: string): void {
  const { observed, actions, list, isLive } = repair;
  const upstream = observed.nodes.find(({ name }) => name === primary);
  const fenced = new Set(actions.filter(({ kind }) => kind === 'fence').map(({ node }) => node));
  for (const node of presentNodes(observed)) {
    if (node.name === primary) continue;
    if (fenced.has(node.name)) {
      actions.push({
        kind: 'rejoin',
        node: node.name,
        upstream: primary,
        why: `it is fenced, and ${primary} is the primary`,
        check: 'E2',
      });
      continue;
    }
    const finding = whyRejoin(repair, node, upstream);
    if (finding === undefined || isLive(node.agent?.claimedBy)) continue;
    const { id, why } = finding;
    const { forPeople } = finding;
    if (forPeople !== undefined) {
      const worth = forPeople === 'data';
      list.require(id, false, {
        says: `${node.name} can follow ${primary}`,
        refusal: `${node.name} can't be made a standby of ${primary}${worth ? ' without losing what only it has' : ''}`,
        measured: why,
        limit: worth ? `the system and the timeline of ${primary}, or an older timeline` : 'on a Docker network',
        next: worth ? clusterStatus(observed.cluster) : forPeople.next,
      });
      continue;
    }
    if (!node.container.exists) continue;
    actions.push({ kind: 'rejoin', node: node.name, upstream: primary, why, check: id, ...waitFor(repair, node) });
  }
}

/**
 * Why a node is no proper standby; undefined when it is one. `forPeople`: nothing is done, since what it has would be lost, and nobody
 * knows its worth; or since a person took it away.
 */
function whyRejoin(
  { observed, ledger }: Repair,
  node: ObservedNode,
  upstream: ObservedNode | undefined,
): { id: string; why: string; forPeople?: 'data' | { next: string } } | undefined {
  const { name, agent, container, sql } = node;
  if (container.error !== undefined) return undefined;
  const main = answers(upstream) ? upstream.sql : undefined;
  const system = sql?.systemIdentifier ?? agent?.systemIdentifier;
  const reference = main?.systemIdentifier ?? upstream?.agent?.systemIdentifier;
  if (system != null && reference != null && system !== reference)
    return { id: 'A4', why: `${name} belongs to database system ${system}, not ${reference}`, forPeople: 'data' };
  const timeline = sql?.timeline ?? agent?.controlTimeline;
  // Whoever fenced it beside the primary that the ledger names decided that; the rejoin keeps what it alone has in quarantine.
  const decided = agent?.desired === 'fenced' && ledger !== null && ledger.primary === upstream?.name;
  if (main !== undefined && timeline != null && timeline > main.timeline && !decided)
    return {
      id: 'A6',
      why: `${name} is on timeline ${timeline}, newer than ${main.timeline} of ${upstream?.name}`,
      forPeople: 'data',
    };
  const off = container.offNetworks;
  if (off?.by === 'somebody')
    return { id: 'E4', why: offNetworksSays(off), forPeople: { next: connectCommand(name, off) } };
  // Also one that still runs: its fence ends what hangs in it, or refuses.
  if (off !== undefined) return { id: 'E4', why: offNetworksSays(off) };
  if (!container.running || container.status === 'paused')
    return { id: 'E4', why: `its container is ${container.exists ? container.status : 'not there'}` };
  if (agent !== null && agent.desired !== 'up') {
    const run = agent.claimedBy ?? 'a run';
    const deadman =
      agent.deadmanInMs === null ? 'has no dead-man switch any more' : `acts in ${formatMs(agent.deadmanInMs)}`;
    return { id: 'E2', why: `it is ${agent.desired} by ${run}, which is over; its switch ${deadman}` };
  }
  if (agent !== null && agent.startGuard !== null)
    return { id: 'J9', why: `it keeps itself down: ${agent.startGuard}` };
  if (sql === null) return whyNoAnswer(node, upstream);
  // Whom nobody leads yet is not expected to stream.
  if (main === undefined || main.inRecovery || upstream === undefined) return undefined;
  const { receiver } = sql;
  const row = replicationRowOf(upstream, slotName(name));
  if (receiver?.senderHost === upstream.internal.host && (receiver.status === 'streaming' || row !== undefined))
    return undefined;
  if (row?.state === 'streaming') return undefined;
  return {
    id: 'B1',
    why:
      receiver === null
        ? `its WAL receiver does not run, and ${upstream.name} has no walsender for it`
        : `it follows ${receiver.senderHost} (${receiver.status}), and ${upstream.name} is the primary of ${observed.cluster}`,
  };
}

/**
 * Why a node whose server gives no answer is no proper standby. Whoever looks has waited for one that is merely slow, or on its way.
 * One that hangs is ended only beside a primary that has no connection of it: until then nobody can tell what it is.
 */
function whyNoAnswer(
  { name, agent, container }: ObservedNode,
  upstream: ObservedNode | undefined,
): { id: string; why: string } | undefined {
  if (agent?.postgresState === 'starting' || container.status === 'restarting') return undefined;
  if (agent !== null && agent.postgresState !== 'running')
    return { id: 'E4', why: `its PostgreSQL is ${agent.postgresState}` };
  if (!answers(upstream) || upstream.sql.inRecovery) return undefined;
  if (replicationRowOf(upstream, slotName(name)) !== undefined) return undefined;
  return {
    id: 'E4',
    why: agent === null ? 'its agent and its PostgreSQL give no answer' : 'its PostgreSQL runs and gives no answer',
  };
}
