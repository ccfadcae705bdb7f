import { psql } from '../cluster/commands';
import type { PostgresSession } from '../systems/postgres';
import { steadyMs } from './clock';
import { sleep } from './context';

/*
 * Whether a commit waits for standbys is decided by a flag in the server's shared memory, which only the checkpointer sets, when it takes
 * a reload of the configuration: PostgreSQL 15 to 17, SyncRepUpdateSyncStandbysDefined. In the middle of an immediate checkpoint, or of
 * the last phase of any, it takes none. Until then each commit returns at once, although every session shows the new names and
 * `pg_stat_replication` says `sync`. So neither they nor a commit that returned prove anything; a commit that was seen waiting does.
 */

/** One look asks so often, within some 20 ms: the wait for a standby is short. It ends with the first wait that it sees. */
const LOOKS = 4000;
/** Between two commits, in milliseconds. */
const EVERY_MS = 20;

/**
 * Returns once a commit of `session` was seen waiting for a standby, and has returned: the names are in force.
 * @param primary the node's name, for people
 * @param watcher another session with the same primary
 * @param limitMs of all attempts, in milliseconds; a commit that waits is waited for as long as its session lets it
 * @throws Error when no commit waited: the names are set, and nothing is proven by them yet
 */
export async function requireWait(
  primary: string,
  session: PostgresSession,
  watcher: PostgresSession,
  limitMs: number,
): Promise<void> {
  const [own] = await session.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  const started = steadyMs();
  let commits = 0;
  for (;;) {
    let returned = false;
    // The look goes first: it has to be under way when the commit begins to wait. It lasts until the commit has returned, which first has
    // its WAL written: on a slow disk that alone takes longer than any one look.
    const looking = sawWait(watcher, own?.pid ?? 0, () => returned);
    const committing = session
      .query(`SELECT pg_logical_emit_message(true, 'veloz-ha', 'does a commit wait')`)
      .finally(() => (returned = true));
    const [waited] = await Promise.all([looking, committing]);
    commits += 1;
    if (waited) return;
    const ms = Math.round(steadyMs() - started);
    if (ms > limitMs)
      throw new Error(
        `synchronous_standby_names is set and not in force yet: none of ${commits} commits within ${ms} ms waited for a standby (limit: 1 that waits). The checkpointer has not taken the setting. Next: ${psql(primary, "SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'checkpointer'")}`,
      );
    await sleep(EVERY_MS);
  }
}

/** Looks at a backend until it is seen waiting for a standby, or `over`. */
async function sawWait(watcher: PostgresSession, pid: number, over: () => boolean): Promise<boolean> {
  for (;;) {
    const [look] = await watcher.query<{ waits: boolean }>(
      `SELECT EXISTS (SELECT FROM generate_series(1, ${LOOKS}) n, LATERAL pg_stat_get_activity($1::int + 0 * n) a
        WHERE a.wait_event = 'SyncRep') AS waits`,
      [pid],
    );
    if (look?.waits === true) return true;
    if (over()) return false;
  }
}
