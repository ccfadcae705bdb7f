import { poolerConsole } from '../commands';
import { formatMs } from '../duration';
import type { ObservedPooler } from '../observed';
import type { Checklist } from '../switchover/checklist';

/** A client that waits for this long found every server connection of its pool in use, in milliseconds. */
const WAIT_MS = 1000;
/** From this part of its client connections on, the pooler is near its limit. */
const NEARLY_FULL = 0.9;

/** M8: the pooler has room. Told, never in the way: a place is kept for the proof of a run, and clients wait in any case. */
export function checkPoolerRoom(list: Checklist, { name, console: seen }: ObservedPooler): void {
  const { load, paused, waitingClients: waiting } = seen ?? {};
  // Who is held waits for another reason.
  if (load === undefined || paused === true) return;
  if (waiting !== undefined && waiting > 0 && load.waitedMs >= WAIT_MS)
    list.advise('M8', false, {
      says: `${name} has a server for each client that asks`,
      refusal: `clients wait at ${name}: every server connection of their pool is in use`,
      measured: `${waiting === 1 ? '1 client waits' : `${waiting} clients wait`}, the first for ${formatMs(Math.round(load.waitedMs))}; pool_size is ${load.poolSize}`,
      limit: `none for ${formatMs(WAIT_MS)}`,
      next: poolerConsole(name, 'SHOW POOLS'),
    });
  if (load.maxClients > 0 && load.usedClients >= NEARLY_FULL * load.maxClients)
    list.advise('M8', false, {
      says: `${name} takes more clients`,
      refusal: `${name} will soon refuse clients`,
      measured: `${load.usedClients} of ${load.maxClients} client connections are in use`,
      limit: `less than ${Math.round(NEARLY_FULL * 100)} % of max_client_conn`,
      next: poolerConsole(name, 'SHOW CLIENTS'),
    });
}
