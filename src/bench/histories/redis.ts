import { docker } from '../shell';
import type { Recorder } from './recorder';

const given = { approval: 'given', soak: '0s', startedBy: 'recorder' } as const;

/** Runs of Redis, one of each way that they can go; the master is where it was afterwards. */
export async function recordRedis(recorder: Recorder): Promise<void> {
  await recorder.run('redisFailover', 'redis-planned', { mode: 'plan' });
  const approved = await recorder.start('redisFailover', 'redis-completed', { soak: '0s' });
  await recorder.asks(approved);
  await recorder.decide(approved, 'approve');
  await recorder.save('redis-completed', approved);
  const { primaryBefore: first, primaryAfter: second } = (await approved.result()) as {
    primaryBefore: string;
    primaryAfter: string;
  };
  const rejected = await recorder.start('redisFailover', 'redis-rejected');
  await recorder.asks(rejected);
  await recorder.decide(rejected, 'reject');
  await recorder.save('redis-rejected', rejected);
  await recorder.run('redisFailover', 'redis-refused', { ...given, target: 'nobody' });
  await recorder.run('redisFailover', 'redis-nothing-to-do', { ...given, target: second });
  await docker('kill', second);
  await recorder.run('redisFailover', 'redis-forced', {
    ...given,
    cluster: 'veloz',
    only: 'repair',
    expectedMaster: second,
  });
  await docker('exec', second, 'redis-cli', 'replicaof', 'no', 'one');
  await recorder.run('redisFailover', 'redis-repaired', { ...given, only: 'repair' });
  await recorder.run('redisFailover', 'redis-there', { ...given, target: first });
}
