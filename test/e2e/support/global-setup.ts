import { writeFileSync } from 'node:fs';
import { cli, docker, trading, whole } from './stack';
import { leftRunning } from './left-running';

/** Brings the stack up unless it is, and remembers which. */
export default async function globalSetup(): Promise<void> {
  const was = docker('ps', '--filter', 'name=^veloz-pgbouncer$', '--format', '{{.Names}}').trim() !== '';
  writeFileSync(leftRunning, was ? 'yes' : 'no');
  // What runs may be of an earlier build.
  const up = await cli(['stack', 'up', '--recreate']);
  if (up.code !== 0) throw new Error(`veloz-ha stack up failed: ${up.stderr}`);
  await whole();
  await trading();
}
