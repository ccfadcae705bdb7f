import { copyLock } from '../../cluster/locks';
import type { Token } from '../../systems/agent';
import { claimPatiently, type Claimable } from '../claim';
import { withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import { stillAsked, unlessLeft } from '../give-way';
import { recoveryOf } from '../../systems/postgres';

/** A part of a repair. Names and numbers only. */
export interface RepairRequest {
  cluster: string;
  /** The name under which agents know this round of the run: each round has its own. */
  run: string;
  /** Which part of the round it is, from 0. */
  turn: number;
}

/** A run that is over may have left a dead-man switch armed: its agent is busy until that has acted. In milliseconds. */
const BUSY_LIMIT_MS = 15_000;

/** Takes a node, as {@link claimPatiently} does, for as long as a dead-man switch may need, unless the run gives way. */
export function take(agent: Claimable, token: Token): Promise<void> {
  stillAsked();
  return unlessLeft(claimPatiently(agent, token, BUSY_LIMIT_MS));
}

/** A node that should be there: its container exists, or the topology does not call it optional. */
export async function presentNodeNames(deps: ActivityDeps, access: ClusterAccess): Promise<string[]> {
  const present = await Promise.all(
    access.topology.postgres.nodes.map(
      async ({ name, optional }) => !optional || (await deps.docker.inspect(name)).exists,
    ),
  );
  return access.topology.postgres.nodes.map(({ name }) => name).filter((_name, index) => present[index]);
}

/** The nodes that a repair may take: one whose data is copied stays with the run that has it copied. */
export async function takeableNodeNames(deps: ActivityDeps, access: ClusterAccess): Promise<string[]> {
  const present = await presentNodeNames(deps, access);
  const copied = await Promise.all(present.map((node) => deps.lockHolder(access.name, copyLock(node))));
  return present.filter((_node, index) => copied[index] === undefined);
}

/** Both kinds of agent, as far as they are asked here. */
export const everyAgent = (access: ClusterAccess, nodes: readonly string[]): Promise<Claimable>[] => [
  ...nodes.map((name) => access.agent(name) as Promise<Claimable>),
  access.pooler(),
];

/**
 * A3: proof that this node takes writes, asked directly.
 * @throws Error when it does not, or gives no answer
 */
export async function requirePrimary(access: ClusterAccess, primary: string): Promise<void> {
  const { inRecovery } = await withSession(access.sql(primary, 3000), recoveryOf);
  if (inRecovery) throw new Error(`${primary} is no primary: it is in recovery`);
}
