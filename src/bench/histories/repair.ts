import { setTimeout as sleep } from 'node:timers/promises';
import { docker } from '../shell';
import type { Recorder } from './recorder';

const PRIMARY = 'veloz-postgres-primary';
const STANDBY = 'veloz-postgres-standby';
const POOLER = 'veloz-pgbouncer';
const given = { approval: 'given', soak: '0s', startedBy: 'recorder' } as const;

/** Repairs, without a guard: of a standby, of the primary, and one that is refused beside a pooler that does not run. Roles are as before afterwards. */
export async function recordRepairs(recorder: Recorder): Promise<void> {
  await recorder.run('repair', 'repair-nothing-to-do', given);
  await docker('stop', STANDBY);
  await recorder.run('repair', 'repair-planned', { mode: 'plan' });
  const rejected = await recorder.start('repair', 'repair-rejected');
  await recorder.asks(rejected);
  await recorder.decide(rejected, 'reject');
  await recorder.save('repair-rejected', rejected);
  const approved = await recorder.start('repair', 'repair-completed', { soak: '0s' });
  await recorder.asks(approved);
  await recorder.decide(approved, 'approve');
  await recorder.save('repair-completed', approved);
  await docker('kill', PRIMARY);
  await recorder.run('repair', 'repair-primary', given);
  await docker('kill', POOLER);
  await recorder.run('repair', 'repair-refused', given);
  await docker('start', POOLER);
  while ((await docker('inspect', '--format', '{{.State.Health.Status}}', POOLER)).trim() !== 'healthy')
    await sleep(200);
}
