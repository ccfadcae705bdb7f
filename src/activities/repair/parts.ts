import { AgentError, type PostgresObservation, type Token } from '../../systems/agent';
import { sleep } from '../context';
import { withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import { recoveryOf } from '../../systems/postgres';

/** A part of a repair. Names and numbers only. */
export interface RepairRequest {
  cluster: string;
  /** The name under which agents know this round of the run: each round has its own. */
  run: string;
  /** Which part of the round it is, from 0. */
  turn: number;
}

/** The part of an agent's answer that is asked for here and is in no type yet. */
export type FencedObservation = PostgresObservation & {
  /** Who fenced the node for good, and whether it was a primary then; null when it is not fenced for good. */
  fencedBy?: { run: string | null; wasPrimary: boolean } | null;
};

/** What both kinds of agent can be asked. */
interface Claimable {
  readonly node: string;
  call(name: 'claim' | 'forget', args: { token: Token }): Promise<unknown>;
  close(): void;
}

/** A run that is over may have left a dead-man switch armed: its agent is busy until that has acted. In milliseconds. */
const BUSY_LIMIT_MS = 15_000;

/**
 * Takes a node: from here on nothing that an earlier run left on its way is carried out there. Waits where a dead-man switch is
 * still armed.
 * @throws AgentError `Busy` when that takes longer than 15 s, `Superseded` when a newer attempt took it
 */
export async function take(agent: Claimable, token: Token): Promise<void> {
  const since = Date.now();
  for (;;) {
    try {
      await agent.call('claim', { token });
      return;
    } catch (error) {
      if (!(error instanceof AgentError) || error.type !== 'Busy' || Date.now() - since > BUSY_LIMIT_MS) throw error;
      await sleep(100);
    }
  }
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
