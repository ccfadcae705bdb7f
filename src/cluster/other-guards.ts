import { shellWord, workflowIdOf } from './commands';
import { presentNodes, type ObservedCluster } from './observed';
import type { Checklist } from './switchover/checklist';

/** The ids that a guard gives to what it starts, and the one under which it fences. A person's command may not know a cluster's name. */
const GUARDS_RUN = /^(?:failover|rejoin|repair)-(.+)-\d{12}-[0-9a-f]{4}$/;
const GUARD = /^guard\/(.+)$/;

/**
 * The cluster whose guard made a run, by the name that an agent has of it. Pure.
 * @returns undefined where that does not tell: a person may have started it
 */
export function clusterOfGuard(run: string): string | undefined {
  const workflowId = workflowIdOf(run);
  if (workflowId === undefined) return undefined;
  return (GUARDS_RUN.exec(workflowId) ?? GUARD.exec(workflowId))?.[1];
}

/**
 * E1: no guard of a cluster by another name acts on these nodes. One topology names a node once, and one server has one guard of a
 * cluster; but another machine's topology may name the same nodes otherwise, and two guards know nothing of each other's locks and ledgers.
 * Told where an agent shows it: a run of that guard owns the node.
 */
export function checkOtherGuards(list: Checklist, observed: ObservedCluster): void {
  const { cluster, pooler } = observed;
  const owners = [
    ...presentNodes(observed).map(({ name, agent }) => ({ name, run: agent?.claimedBy ?? null })),
    { name: pooler.name, run: pooler.agent?.claimedBy ?? null },
  ];
  for (const { name, run } of owners) {
    const other = run === null ? undefined : clusterOfGuard(run);
    if (run === null || other === undefined || other === cluster) continue;
    list.advise('E1', false, {
      says: `no guard of another cluster acts on ${name}`,
      refusal: `a guard of cluster ${other} acts on ${name} too, and knows nothing of the locks and the ledger of ${cluster}`,
      measured: `its agent belongs to run ${workflowIdOf(run) ?? run}`,
      limit: `runs of ${cluster} only`,
      next: `veloz-ha guard stop --cluster ${shellWord(other)}   # where the topology names that cluster`,
    });
  }
}
