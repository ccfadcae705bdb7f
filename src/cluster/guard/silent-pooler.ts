import type { LeftOver } from './mending';

/** It is told once it has been so for this long, in milliseconds, beside what was counted before. */
const SETTLE_MS = 1000;
const LEAVES = 'it hangs, and its restart would end the connections of all clients';

/**
 * A pooler that runs, and at which no client gets an answer, although the primary takes writes. It is told where nobody restarts it
 * (src/activities/guard/hung-pooler.ts).
 * @param alone its agent gives no answer either
 */
export const silentPooler = (pooler: string, primary: string, alone: boolean): LeftOver =>
  leftOver(
    pooler,
    `no client gets an answer at the pooler, although ${primary} takes writes; its agent ${alone ? 'gives none either' : 'answers'}`,
  );

/** The same as an earlier stretch told it; undefined where it did not. */
export function toldSilent(pooler: string, known: readonly { node: string; says: string }[]): LeftOver | undefined {
  const [says, rest] = known.find(({ node }) => node === pooler)?.says.split(`; ${LEAVES}`) ?? [];
  return says === undefined || rest === undefined ? undefined : leftOver(pooler, says);
}

const leftOver = (pooler: string, says: string): LeftOver => ({
  node: pooler,
  says,
  key: `${pooler} silent`,
  leaves: LEAVES,
  next: `docker restart ${pooler}`,
  started: true,
  settleMs: SETTLE_MS,
});
