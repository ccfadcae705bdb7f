import { clusterStatus, wakeContainer } from '../commands';

/** The bound of a consent that accepts any loss, also an unknown one. */
export const UNLIMITED_LOSS = Number.MAX_SAFE_INTEGER;

/** A bound in the form in which the command line takes it. */
export function lossWords(maxBytes: number): string {
  return maxBytes >= UNLIMITED_LOSS ? 'unlimited' : String(maxBytes);
}

/** What starts a failover by hand. */
export function promoteCommand(
  cluster: string,
  options: { to?: string | undefined; maxLoss?: number | undefined } = {},
): string {
  const to = options.to === undefined ? '' : ` --to ${options.to}`;
  const loss = options.maxLoss === undefined ? '' : ` --allow-data-loss ${lossWords(options.maxLoss)} --reason "…"`;
  return `veloz-ha postgres promote --cluster ${cluster}${to}${loss}`;
}

/** What makes a node a standby again. */
export function rejoinCommand(cluster: string, node: string): string {
  return `veloz-ha postgres rejoin ${node} --cluster ${cluster}`;
}

/**
 * What has a node answer that does not; one that runs needs something else, which its status names.
 * @param container Docker's word on it; undefined where nobody has asked
 */
export function wakeCommand(cluster: string, name: string, container: string | undefined): string {
  if (container === 'running' || container === 'restarting') return clusterStatus(cluster);
  return wakeContainer(name, container) ?? `docker start ${name}`;
}
