import { ActivityCancellationType, proxyActivities, type ActivityOptions } from '@temporalio/workflow';
import type { Activities } from '../../activities';

/** Looks at things; may be slow, is repeated a few times. A dead worker is noticed within a second. */
export const reading: ActivityOptions = {
  startToCloseTimeout: '20s',
  heartbeatTimeout: '1s',
  scheduleToCloseTimeout: '2m',
  retry: { initialInterval: '200ms', backoffCoefficient: 1.5, maximumInterval: '5s', maximumAttempts: 5 },
};
/** Changes things, no client waits. A dead worker is noticed within a second. */
export const changing: ActivityOptions = {
  startToCloseTimeout: '5m',
  scheduleToCloseTimeout: '10m',
  heartbeatTimeout: '1s',
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  retry: { initialInterval: '100ms', backoffCoefficient: 1.5, maximumInterval: '5s', maximumAttempts: 8 },
};
/** The same for what may be left in its middle, by a run that gives way: nobody waits until it has noticed. */
export const leaving: ActivityOptions = { ...changing, cancellationType: ActivityCancellationType.TRY_CANCEL };
/** Clients wait: a dead worker is noticed within half a second, and another one goes on at once. */
export const holding: ActivityOptions = {
  ...changing,
  startToCloseTimeout: '2m',
  heartbeatTimeout: '500ms',
  retry: { initialInterval: '50ms', backoffCoefficient: 1.3, maximumInterval: '2s', maximumAttempts: 30 },
};

/** The activities with the sentence that the Web UI shows for a call. */
export const act = (options: ActivityOptions, summary: string): Activities =>
  proxyActivities<Activities>({ ...options, summary });
