import { clusterStatus, logs, makeContainer, wakeContainer } from '../commands';
import type { Ledger } from '../guard/ledger';
import { isNamed, newerPrimary } from '../guard/named-nodes';
import { hasNoContainer, type ObservedNode } from '../observed';
import type { Repair } from './repair-parts';

/*
 * Nobody is writable, and the guard's ledger names a node of which nobody hears. That every node which is there answers proves nothing then:
 * what was acknowledged last may be on that one alone. A person who knows that it is lost accepts the loss (`veloz-ha postgres promote
 * --allow-data-loss`); a repair accepts none.
 */

/** A node that would take writes: a standby, or an old primary that is started in its place. */
export interface InPlace {
  name: string;
  /** The newest that it took part in. */
  timeline: number;
}

/**
 * A6 and I6: whether what the ledger names keeps everybody from being started or promoted. Nothing is refused without a ledger.
 * @param nodes those that are there, with the ones that the ledger names
 * @param inPlace everybody who could take writes
 */
export function refusesForNamed(repair: Repair, nodes: readonly ObservedNode[], inPlace: readonly InPlace[]): boolean {
  const refused = refusesOlder(repair, nodes, inPlace) || refusesWithout(repair, nodes, inPlace);
  if (refused) repair.keptByLedger = true;
  return refused;
}

/** A6: the ledger's primary was on a newer timeline than everybody who would take its place. */
function refusesOlder(
  { observed, topology, names, list }: Repair,
  nodes: readonly ObservedNode[],
  inPlace: readonly InPlace[],
): boolean {
  const newer = newerPrimary(names, Math.max(...inPlace.map(({ timeline }) => timeline)));
  if (newer === undefined || inPlace.length === 0) return false;
  const named = nodes.find(({ name }) => name === newer.primary);
  const next =
    named === undefined
      ? clusterStatus(observed.cluster)
      : hasNoContainer(named)
        ? makeContainer(topology, named.name)
        : (wakeContainer(named.name, named.container.status) ?? logs(named.name));
  return !list.require('A6', false, {
    says: 'somebody who could take writes is on the timeline of the last primary',
    refusal: `everybody who could take writes is on an older timeline than ${newer.primary}, the primary of the ledger: what it acknowledged would be lost`,
    measured: `${newer.primary} was on timeline ${newer.timeline} by the ledger, and ${named === undefined ? 'is in no topology' : whereabouts(named)}; ${inPlace.map(({ name, timeline }) => `${name} is on timeline ${timeline}`).join(', ')}`,
    limit: `timeline ${newer.timeline} or a newer one`,
    next,
  });
}

/**
 * I6: a node that the ledger names has no container, and the ledger does not promise that the others have everything. Also where the
 * ledger's own primary is there, which has all that it acknowledged: in its last moments the other may have been promoted, and the ledger
 * is a round or two of the watch behind.
 */
function refusesWithout(
  { observed, topology, names, list }: Repair,
  nodes: readonly ObservedNode[],
  inPlace: readonly InPlace[],
): boolean {
  const gone = nodes.filter((node) => hasNoContainer(node) && isNamed(names, node.name)).map(({ name }) => name);
  const [first] = gone;
  if (names === null || first === undefined) return false;
  const answer = (node: string) => observed.nodes.some(({ name, sql }) => name === node && sql?.inRecovery === true);
  // Then a failover from that node decides, which holds the ledger against all else that is known.
  if (names.state === 'protected' && names.synchronous.length > 0 && names.synchronous.every(answer)) return false;
  const primaryIsThere = inPlace.some(({ name, timeline }) => name === names.primary && timeline === names.timeline);
  const may = primaryIsThere
    ? `${gone.join(' or ')} may have been promoted in the place of ${names.primary} at last, and have`
    : `${gone.join(' and ')} may have`;
  return !list.require('I6', false, {
    says: 'every node that may have acknowledged commits is there',
    refusal: `${may} acknowledged commits that nobody else has`,
    measured: `${gone.join(' and ')} ${gone.length === 1 ? 'has' : 'have'} no container; ${namesWords(names)}`,
    limit:
      'a container of every node that the ledger names, or a ledger that says protected and whose standbys all answer',
    next: makeContainer(topology, first),
  });
}

function namesWords({ primary, synchronous, state, why }: Ledger): string {
  const confirming = synchronous.length === 0 ? '' : `, and ${synchronous.join(' and ')} as confirming its commits`;
  return `the ledger names ${primary ?? 'nobody'} as primary${confirming}, and says ${state}: ${why}`;
}

function whereabouts({ sql, agent, container }: ObservedNode): string {
  if (sql !== null) return 'answers as a standby';
  if (!container.exists) return container.error ?? 'has no container';
  return agent === null ? `gives no answer, its container is ${container.status}` : `is ${agent.postgresState}`;
}
