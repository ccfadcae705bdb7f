import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { packageRoot } from '../../cli/paths';
import { guardWorkflowId } from '../../workflows/guard-messages';
import { Guarded } from '../guarded';
import { docker, run } from '../shell';
import { ensureStack, whole } from '../target';
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

/** Empties the stack, and starts it and its guard anew: the last resort. What was promised before is gone with it. */
export async function startOver({ client, stand, target, standbys, guarded, means }: Campaign): Promise<Guarded> {
  await client.workflow
    .getHandle(guardWorkflowId(target.name))
    .terminate('the stack is emptied')
    .catch(() => undefined);
  const open = `ExecutionStatus = "Running"`;
  for await (const { workflowId } of client.workflow.list({ query: open }))
    await client.workflow
      .getHandle(workflowId)
      .terminate('the stack is emptied')
      .catch(() => undefined);
  await run(join(packageRoot, 'bin', 'veloz-ha'), ['stack', 'reset', '--yes'], { limitMs: 180_000 });
  await ensureStack(standbys, means.redis || means.engines ? 'all of it' : 'postgres');
  await whole(target, standbys);
  const again = await Guarded.start(client, stand.taskQueue, guarded.cluster);
  await again.calm();
  return again;
}
