import { readFileSync, rmSync } from 'node:fs';
import { leftRunning } from './left-running';
import { cli } from './stack';

/** Takes the stack down again when the tests brought it up. */
export default async function globalTeardown(): Promise<void> {
  const was = readFileSync(leftRunning, 'utf8') === 'yes';
  rmSync(leftRunning, { force: true });
  if (was) return;
  const down = await cli(['stack', 'down']);
  if (down.code !== 0) throw new Error(`veloz-ha stack down failed: ${down.stderr}`);
}
