import { setTimeout as sleep } from 'node:timers/promises';
import { docker } from '../shell';
import { healthy, type Campaign } from './campaign';
import { startRunbookNow } from './runbooks';
import type { Watchers } from './watchers';

/** What a person would do first gets this long each. */
const REPAIRED_LIMIT_MS = 90_000;

/**
 * Helps a cluster that does not mend itself, so that the campaign can go on: `repair`, then every container started anew.
 * @returns what helped, in words; undefined where nothing did
 */
export async function help(
  campaign: Campaign,
  watchers: Watchers,
  containers: readonly string[],
): Promise<string | undefined> {
  const { client, stand, target, tell } = campaign;
  const isHealthy = async () => 'look' in (await healthy(campaign, watchers, REPAIRED_LIMIT_MS));
  const repair = async () => {
    const ended = await startRunbookNow(client, stand.taskQueue, 'repair', {
      cluster: target.name,
      approval: 'given',
      startedBy: 'bench:chaos',
    });
    tell(`  repair: ${ended}`);
  };
  await repair();
  if (await isHealthy()) return 'repair';
  tell('  repair was not enough: every container is started anew');
  for (const container of containers) await docker('restart', '--time', '10', container).catch(() => undefined);
  await sleep(5000);
  if (await isHealthy()) return 'repair, and every container started anew';
  await repair();
  return (await isHealthy()) ? 'repair, every container started anew, and repair' : undefined;
}
