import { maintenanceCommand, moveCommand, tierStatus } from '../cluster/maintenance/commands';
import { moveSays, type TierMove } from '../cluster/maintenance/decide';
import { tierName } from '../cluster/maintenance/sides';
import { rootMessage } from './runbook/runner';
import type { MaintenanceState, Report, RunState } from './run-state';

export const blindSays = (error: unknown): string => `not every tier could be looked at: ${rootMessage(error)}`;

export const stepSays = ({ tier, from, to }: TierMove, back = false): string =>
  `Move ${tierName[tier]} ${back ? 'back ' : ''}from ${from} to ${to}`;

export const tierStatusOf = ({ tier }: TierMove, cluster: string): string => tierStatus(tier, cluster);

/** What was moved away, and where it is. */
export const awaySays = ({ away }: MaintenanceState): string => away.map((move) => moveSays(move)).join('; ');

/** What a maintenance that is held says of itself. */
export function heldSays(held: MaintenanceState, cluster: string): string {
  if (held.trouble !== undefined) return held.trouble;
  const until =
    held.heldUntil === undefined
      ? ''
      : ` until ${new Date(held.heldUntil).toISOString().replace(/\.\d+Z$/, 'Z')}, then it ends as it is`;
  return `${held.scope} is clear: ${awaySays(held)}. Held${until}. Next: ${maintenanceCommand('back', cluster)}`;
}

/** What takes each tier back where it was, in the right order, without this run. */
export function nextByHand({ away }: MaintenanceState, cluster: string): Report['next'] {
  return [...away].reverse().map(({ tier, from }) => ({
    command: moveCommand(tier, from, cluster),
    why: `takes ${tierName[tier]} back to ${from}`,
  }));
}

/** What every report of a maintenance tells beside its outcome. */
export function restOf(held: MaintenanceState, { members, engines, redis }: RunState): Partial<Report> {
  return {
    maintenance: held,
    ...(members.length === 0 ? {} : { membersAfter: members }),
    ...(engines === undefined ? {} : { enginesAfter: engines }),
    ...(redis === undefined ? {} : { redisAfter: redis }),
  };
}
