import type { Side, Tier } from './sides';

/* Commands for a person at a shell. */

/** What is under maintenance: a side, or nodes by name. */
export interface Scope {
  side?: Side | undefined;
  nodes?: readonly string[] | undefined;
}

/** Clears a side, or nodes. */
export function maintenanceStart(cluster: string, { side, nodes = [] }: Scope): string {
  const what = side === undefined ? nodes.map((node) => ` --node ${node}`).join('') : ` --side ${side}`;
  return `veloz-ha maintenance start${what === '' ? ' --side 1' : what} --cluster ${cluster}`;
}

/** One of the other commands of a maintenance. */
export const maintenanceCommand = (what: 'back' | 'finish' | 'status', cluster: string): string =>
  `veloz-ha maintenance ${what} --cluster ${cluster}`;

/** What a tier looks like now. */
export const tierStatus = (tier: Tier, cluster: string): string => `veloz-ha ${tier} status --cluster ${cluster}`;

/** Moves what is active in a tier to a node. */
export function moveCommand(tier: Tier, to: string, cluster: string): string {
  const verb = { engine: 'engine switchover', redis: 'redis failover', postgres: 'postgres switchover' }[tier];
  return `veloz-ha ${verb} --to ${to} --cluster ${cluster}`;
}

/** `side 1`, or the names. */
export const scopeName = ({ side, nodes = [] }: Scope): string =>
  side === undefined ? nodes.join(', ') : `side ${side}`;
