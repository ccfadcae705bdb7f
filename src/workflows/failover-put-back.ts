import { patched, sleep } from '@temporalio/workflow';
import { primaries, type ObservedCluster } from '../cluster/observed';
import { act, reading } from './runbook/activity-options';

/** How often it is looked whether the old primary takes writes again, and after how long, in milliseconds: it may recover first. */
const LOOKS = 10;
const EVERY_MS = 1000;

/** What became of an old primary that was fenced for nothing: it takes writes, or it was started and does not take any yet. */
export type PutBack = 'writes' | 'started';

/** What a look shows of the old primary; undefined where it was not started again, or nobody could tell. */
export function putBackIn(seen: ObservedCluster | undefined, source: string): PutBack | undefined {
  if (seen === undefined) return undefined;
  if (primaries(seen).some(({ name }) => name === source)) return 'writes';
  const agent = seen.nodes.find(({ name }) => name === source)?.agent;
  return agent?.desired === 'up' && !agent.standbySignal && agent.postgresState !== 'stopped' ? 'started' : undefined;
}

/**
 * Looks until the old primary takes writes, for some seconds: whoever asked for its failover is told that it was put back. Returns the
 * last look.
 */
export async function lookUntilPutBack(
  cluster: string,
  source: string,
  seen: ObservedCluster | undefined,
): Promise<ObservedCluster | undefined> {
  let latest = seen;
  for (let looks = 0; looks < LOOKS && putBackIn(latest, source) === 'started' && patched('put-back-seen'); looks++) {
    await sleep(EVERY_MS, { summary: `Waiting until ${source} takes writes again` });
    const again = await act(reading, `Look whether ${source} takes writes again`)
      .observe(cluster)
      .catch(() => undefined);
    latest = again ?? latest;
  }
  return latest;
}

/** The same as a sentence without full stop. */
export const putBackWords = (source: string, how: PutBack): string =>
  how === 'writes'
    ? `${source} was started again in its place, and takes writes: nothing that it has is lost`
    : `${source} was started again in its place, and does not take writes yet`;
