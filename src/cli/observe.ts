import { observeCluster } from '../activities/observe';
import type { Check } from '../cluster/check';
import { healthFindings } from '../cluster/health';
import { membersOf } from '../cluster/members';
import { selectCluster } from '../cluster/topology';
import { createDockerClient } from '../systems/docker';
import { Problem } from '../systems/problem';
import { loadTopology, topologyPath } from '../systems/topology-file';
import type { Member } from '../workflows/run-state';

/** Looks at a cluster directly, without Temporal: its members, and what is not as it should be. */
export type Observe = (clusterName: string) => Promise<{ members: Member[]; findings: Check[] }>;

/**
 * Looks at a cluster of the topology from this machine. What does not answer is a finding and no error.
 * @throws Problem `BadInput` when the topology is wrong or has no such cluster
 */
export const observe: Observe = async (clusterName) => {
  const topology = loadTopology();
  const selected = selectCluster(topology, clusterName);
  if ('error' in selected) {
    throw new Problem('BadInput', selected.error, {
      next: `veloz-ha postgres status --cluster ${Object.keys(topology.clusters)[0]}   # the topology is ${topologyPath()}`,
    });
  }
  const observed = await observeCluster(
    {
      topology,
      docker: createDockerClient(topology.docker?.socketPath),
      identity: 'cli',
      environment: process.env,
      handoverCost: () => undefined,
      lockHolder: () => Promise.resolve(undefined),
    },
    selected.name,
  );
  return { members: membersOf(observed), findings: healthFindings(selected.cluster, observed) };
};
