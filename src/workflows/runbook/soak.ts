import type { Run } from './run';

/**
 * Proves the new state, and then watches it for the time of the soak. While a run only watches it holds no lock, so that a failover
 * need not wait until it is through.
 * @param prove proves it once and then for so many milliseconds
 * @param giveBack gives the nodes back that the run has taken: nothing of them may be taken any more by a run without the lock
 */
export async function proveAndWatch<T>(
  run: Run,
  soakMs: number,
  prove: (soakMs: number) => Promise<T>,
  giveBack?: () => Promise<unknown>,
): Promise<T> {
  if (!run.locksByTier || !run.holdsLock || soakMs === 0) return prove(soakMs);
  await prove(0);
  await giveBack?.();
  await run.unlock();
  return prove(soakMs);
}
