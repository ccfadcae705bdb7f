import { repairCommand } from '../commands';
import { rejoinCommand } from '../failover/commands';
import type { LeftOver, MembersRound } from './mending';

/** Where something is left over, and who takes writes there. */
export interface Surroundings extends Pick<MembersRound, 'writable' | 'members'> {
  cluster: string;
  /** Its container. */
  pooler: string;
}

/**
 * What takes back that a person stopped or froze something, where the plain command would do harm. Pure. To start the pooler lets clients
 * in on the route that it had: while not exactly one node takes writes a repair does it, after it has seen to that. A frozen node asks
 * nobody when it is thawed: were it the primary before the one that takes writes now, it would be a second one at once.
 */
export function safeByHand(found: LeftOver, { cluster, pooler, writable, members }: Surroundings): LeftOver {
  const { node, byHand, leaves } = found;
  if (byHand === undefined) return found;
  const [primary, another] = writable;
  if (node === pooler && (primary === undefined || another !== undefined)) {
    const who = primary === undefined ? 'nobody takes writes' : `${writable.join(' and ')} take writes`;
    return { ...found, leaves: both(leaves, who), byHand: repairCommand(cluster) };
  }
  const frozen = members.find(({ name }) => name === node)?.container.status === 'paused';
  if (!frozen || primary === undefined || another !== undefined) return found;
  return {
    ...found,
    leaves: both(leaves, `${primary} takes writes without it`),
    byHand: rejoinCommand(cluster, node),
  };
}

const both = (leaves: string | undefined, more: string): string => (leaves === undefined ? more : `${leaves}; ${more}`);
