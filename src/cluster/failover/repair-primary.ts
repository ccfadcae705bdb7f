import { logs } from '../commands';
import type { Ledger } from '../guard/ledger';
import type { NodeAnswer } from '../guard/signals';
import { splitBrainIn } from '../guard/split-brain';
import { newerPrimary } from '../guard/named-nodes';
import { lsnBytes } from '../lsn';
import { answers, presentNodes, standbys, type AnsweringNode, type ObservedNode } from '../observed';
import { refusesForNamed } from './repair-named';
import { waitFor, type Repair } from './repair-parts';
import { refusesSystem } from './repair-system';

/** A3: of several writable nodes one stays. Returns it; undefined when people have to decide. */
export function repairSplitBrain({ topology, observed, ledger, actions }: Repair): string | undefined {
  const nodes = observed.nodes.map((node): NodeAnswer => ({
    name: node.name,
    answered: node.sql !== null,
    ms: 0,
    ...(node.sql === null
      ? {}
      : { inRecovery: node.sql.inRecovery, timeline: node.sql.timeline, systemIdentifier: node.sql.systemIdentifier }),
  }));
  const [first, ...others] = nodes;
  if (first === undefined) return undefined;
  const known = ledger ?? { primary: null };
  // A repair was asked for by somebody who has seen its plan: it fences whatever the guard's own policy is.
  const split = splitBrainIn({ at: observed.at, lateMs: 0, primary: first.name, sql: first, others }, known, {
    ...topology.guard,
    onSplitBrain: 'fence',
  });
  if (split?.keep == null) return undefined;
  // Without the ledger the newest timeline would decide. Clients that write to the older one know better; and where nobody can say to
  // whom they write, a person decides.
  const route = observed.pooler.agent?.route?.host;
  const routed = observed.nodes.find(({ name, internal }) => split.writable.includes(name) && internal.host === route);
  if (split.keep !== known.primary && routed?.name !== split.keep) return undefined;
  for (const node of split.fence)
    actions.push({ kind: 'fence', node, upstream: split.keep, why: split.says, check: 'A3' });
  return split.keep;
}

/** Was this node a primary when its server ended? The control file knows. */
function wasPrimary({ agent }: ObservedNode): boolean {
  return agent !== null && (agent.controlState === 'shut down' || agent.controlState === 'in production');
}

/** The position of a standby, as one number to compare on one timeline. */
function received({ sql }: AnsweringNode): bigint {
  const [lsn, replayed] = [lsnBytes(sql.lsn), sql.replayLsn === null ? 0n : lsnBytes(sql.replayLsn)];
  return lsn > replayed ? lsn : replayed;
}

/**
 * Nobody is writable. The old primary, started again, has everything that it ever acknowledged, so that comes first wherever it is
 * safe: every other node answers as a standby on its timeline, so none was promoted, and the guard's ledger names none that was on a newer
 * one. Otherwise the most advanced standby is promoted, and the failover's own checks say whether anything is lost. A node that the ledger
 * names is there, and silent, where it has no container, also one that the topology calls optional.
 */
export function repairHeadless(repair: Repair): string | undefined {
  const { observed, ledger, names, actions, list } = repair;
  const nodes = presentNodes(observed, names);
  const old = oldPrimaryOf(repair, nodes);
  if (old !== undefined && refusesSystem(repair, old.node, 'was a primary')) return undefined;
  if (old !== undefined) {
    const { node, timeline, why } = old;
    const others = nodes.filter((each) => each !== node);
    const silent = others.filter((each) => !answers(each));
    const forked = others.filter(answers).filter(({ sql }) => sql.timeline !== timeline);
    if (silent.length === 0 && forked.length === 0 && newerPrimary(names, timeline) === undefined) {
      actions.push({
        kind: 'start-primary',
        node: node.name,
        why: `${why}; ${others.length === 0 ? 'it is alone' : `${others.map(({ name }) => name).join(' and ')} ${others.length === 1 ? 'is a standby' : 'are standbys'} on its timeline ${timeline}, so nobody was promoted`}`,
        check: 'G5',
        ...waitFor(repair, node),
      });
      return node.name;
    }
  }
  const able = standbys(observed).filter(answers);
  const candidates = able.filter(({ promotable }) => promotable).sort(byPosition(ledger));
  const [best] = candidates;
  const inPlace = able.map(({ name, sql }) => ({ name, timeline: sql.timeline }));
  if (old !== undefined) inPlace.push({ name: old.node.name, timeline: old.timeline });
  if (refusesForNamed(repair, nodes, inPlace)) return undefined;
  if (best === undefined) {
    list.require('A2', false, {
      says: 'a node can be the primary',
      refusal: 'no node can be the primary',
      measured: nodes
        .map(
          ({ name, sql, container }) =>
            `${name} is ${sql === null ? `silent, its container ${container.status}` : 'a standby'}`,
        )
        .join(', '),
      limit: 'a standby that answers, or the old primary beside standbys that do',
      next: nodes[0] === undefined ? 'veloz-ha stack up' : logs((old?.node ?? nodes[0]).name),
    });
    return undefined;
  }
  const newer = nodes.find(({ sql, agent }) => sql === null && (agent?.controlTimeline ?? 0) > best.sql.timeline);
  if (newer !== undefined) {
    list.require('A6', false, {
      says: 'the most advanced node answers',
      refusal: `${newer.name} was on a newer timeline than every standby that answers`,
      measured: `timeline ${newer.agent?.controlTimeline} by its control file, ${best.name} is on ${best.sql.timeline}`,
      limit: 'no stopped node on a newer timeline',
      next: logs(newer.name),
    });
    return undefined;
  }
  actions.push({
    kind: 'failover',
    node: best.name,
    why: `nobody is writable, and ${best.name} is the most advanced of ${able.length} standbys: timeline ${best.sql.timeline}, ${best.sql.lsn}`,
    check: 'I9',
    ...waitFor(repair, best),
  });
  return best.name;
}

/** Newest timeline, furthest position, then the one that the ledger knows as primary: it keeps its role where that costs nothing. */
function byPosition(ledger: Ledger | null) {
  return (a: AnsweringNode, b: AnsweringNode): number => {
    if (a.sql.timeline !== b.sql.timeline) return b.sql.timeline - a.sql.timeline;
    const [left, right] = [received(a), received(b)];
    if (left !== right) return left > right ? -1 : 1;
    return Number(b.name === ledger?.primary) - Number(a.name === ledger?.primary);
  };
}

/** The node that was the primary and does not run, where that is certain: by its control file, or else by the ledger. */
function oldPrimaryOf(
  { ledger }: Repair,
  nodes: readonly ObservedNode[],
): { node: ObservedNode; timeline: number; why: string } | undefined {
  const stopped = nodes.filter(({ sql }) => sql === null);
  const known = stopped.filter((node) => wasPrimary(node) && node.agent?.postgresState === 'stopped');
  const [only, another] = known;
  if (only?.agent?.controlTimeline != null && another === undefined) {
    const { desired, controlTimeline, controlState } = only.agent;
    return {
      node: only,
      timeline: controlTimeline,
      why: `${only.name} was the primary and is ${desired === 'up' ? 'stopped' : desired}: its control file says "${controlState}" on timeline ${controlTimeline}`,
    };
  }
  const named = stopped.find(({ name }) => name === ledger?.primary);
  if (
    named === undefined ||
    ledger === null ||
    named.agent !== null ||
    !named.container.exists ||
    named.container.running
  )
    return undefined;
  return {
    node: named,
    timeline: ledger.timeline,
    why: `the ledger knows ${named.name} as primary on timeline ${ledger.timeline}, and its container is ${named.container.status}`,
  };
}
