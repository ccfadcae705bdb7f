import { selectCluster } from '../cluster/topology';
import { Problem } from '../systems/problem';
import { connectTemporal, temporalConfig, type TemporalClient } from '../systems/temporal';
import { loadTopology, topologyPath } from '../systems/topology-file';
import type { Cli } from './io';

/** Connects to Temporal for as long as `use` takes. */
export async function withTemporal<T>(cli: Cli, use: (temporal: TemporalClient) => Promise<T>): Promise<T> {
  const temporal = await connectTemporal(temporalConfig(cli.io.env));
  try {
    return await use(temporal);
  } finally {
    // A server that has gone away meanwhile must not hide what happened.
    await temporal.connection.close().catch(() => undefined);
  }
}

/**
 * The cluster that is meant, by the topology of this machine.
 * @throws Problem `BadInput` when the topology is wrong or has no such cluster
 */
export function clusterName(cli: Cli, requested: string | undefined): string {
  const selected = selectCluster(loadTopology(cli.io.env), requested);
  if ('name' in selected) return selected.name;
  throw new Problem('BadInput', selected.error, {
    next: `veloz-ha … --cluster NAME (the topology is ${topologyPath(cli.io.env)})`,
  });
}

/**
 * A command line as somebody has to type it again: with the cluster that was named. Where none was, the default is meant, which the
 * topology of the machine has, and a desk without a topology does not know.
 */
export function inCluster(command: string, requested: string | undefined): string {
  return requested === undefined ? command : `${command} --cluster ${requested}`;
}

/**
 * The cluster's name for the id of a run. The topology that counts is the worker's; a desk from which runs are only
 * started needs none.
 */
export function clusterLabel(cli: Cli, requested: string | undefined): string {
  if (requested !== undefined) return requested;
  try {
    return clusterName(cli, undefined);
  } catch {
    return 'default';
  }
}

/**
 * The cluster whose guard is meant: its id names it, so a desk without a topology has to name it.
 * @throws Problem `BadInput` when the topology has no such cluster, or there is neither a topology nor a name
 */
export function guardedCluster(cli: Cli, requested: string | undefined): string {
  try {
    loadTopology(cli.io.env);
  } catch (error) {
    if (requested !== undefined) return requested;
    throw error;
  }
  return clusterName(cli, requested);
}
