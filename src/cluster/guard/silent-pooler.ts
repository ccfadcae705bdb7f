import type { Halted } from '../../systems/agent';
import { poolerConsole, sqlName } from '../commands';
import type { ClusterTopology } from '../topology';
import { wordsOf, type LeftOver } from './mending';

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

/**
 * Clients wait at a pooler that somebody paused, beside a primary that is well: no run holds them. A person did that, so nothing of it is
 * taken back here.
 * @param halted all of PgBouncer is that; null where it is the database of clients alone
 */
export function pausedPooler(
  topology: ClusterTopology,
  cluster: string,
  pooler: string,
  halted: Halted | null,
): LeftOver {
  const database = topology.pgbouncer.database ?? topology.postgres.database;
  return {
    node: pooler,
    says: `clients wait at the pooler, and no run holds them: ${halted === null ? `database ${database} is paused` : `all of it is ${halted}`} there`,
    key: `${pooler} paused`,
    leaves: 'somebody did that, and the guard does not undo it',
    // A suspended one lets nobody in at its console; its agent has a session there.
    byHand:
      halted === 'suspended'
        ? `veloz-ha repair --cluster ${cluster}`
        : poolerConsole(pooler, halted === null ? `RESUME ${sqlName(database)}` : 'RESUME'),
    started: true,
    settleMs: SETTLE_MS,
  };
}

/** The same as an earlier stretch told it; undefined where it did not. */
export const toldPaused = (
  topology: ClusterTopology,
  cluster: string,
  pooler: string,
  known: readonly { node: string; says: string }[],
): LeftOver | undefined =>
  ([null, 'paused', 'suspended'] as const)
    .map((halted) => pausedPooler(topology, cluster, pooler, halted))
    .find((each) => known.some(({ node, says }) => node === pooler && says === wordsOf(each)));

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
