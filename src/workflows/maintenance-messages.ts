import { defineUpdate } from '@temporalio/workflow';
import type { Decision } from './messages';

/**
 * Moves everything back to where it was. Refused while nothing is held, and while it is being moved. Returns what happens next; what
 * cannot be moved back stays held.
 */
export const moveBackUpdate = defineUpdate<string, [Decision?]>('moveBack');
/** Ends a maintenance that is held, and leaves everything where it is. Refused while nothing is held. */
export const finishUpdate = defineUpdate<string, [Decision?]>('finish');

/**
 * Workflow id of what keeps a second maintenance of a cluster away: two of them could clear both sides. It is none of the locks of
 * the tiers, which are free while a maintenance is held.
 */
export function maintenanceLockId(cluster: string): string {
  return `maintenance-lock/${cluster}`;
}
