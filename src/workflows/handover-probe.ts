import { proxyActivities } from '@temporalio/workflow';
import type { Activities } from '../activities';
import type { HandoverCost } from './messages';

const { handover } = proxyActivities<Pick<Activities, 'handover'>>({
  startToCloseTimeout: '10s',
  scheduleToCloseTimeout: '20s',
});

/**
 * Measures what one hand-over costs on the connected server: an activity that does nothing, as often as asked, one after the
 * other. The activity returns the worker's clock, so that the measurement needs no clock of the workflow.
 */
export async function handoverProbe(samples = 7): Promise<HandoverCost> {
  const costs: number[] = [];
  let worker = '';
  let previous: number | undefined;
  let measuredAt = 0;
  for (let index = 0; index <= samples; index++) {
    const beat = await handover();
    if (previous !== undefined) costs.push(beat.at - previous);
    previous = beat.at;
    measuredAt = beat.at;
    worker = beat.worker;
  }
  costs.sort((a, b) => a - b);
  return {
    minMs: costs[0] ?? 0,
    medianMs: costs[Math.floor(costs.length / 2)] ?? 0,
    maxMs: costs.at(-1) ?? 0,
    samples: costs.length,
    measuredAt,
    worker,
  };
}
