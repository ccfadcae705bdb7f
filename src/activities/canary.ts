import { sleep } from './context';
import type { PostgresSession } from '../systems/postgres';

/** What a client at the front door lived through. */
export interface CanaryResult {
  commits: number;
  failures: number;
  /** Longest time between two acknowledged commits, in milliseconds. */
  gapMs: number;
}

/**
 * One client that commits through the front door, every five milliseconds, until it is stopped. Its commit is a logical
 * message in a transaction: it writes WAL and waits for the synchronous standby like any insert, and leaves no table behind.
 * `started` settles at its first commit, or after half a second without one.
 */
export function startCanary(open: () => Promise<PostgresSession>): {
  started: Promise<void>;
  stop(): Promise<CanaryResult>;
} {
  let stopping = false;
  let last: number | undefined;
  const result: CanaryResult = { commits: 0, failures: 0, gapMs: 0 };
  let session: PostgresSession | undefined;
  let first: () => void = () => undefined;
  const started = Promise.race([new Promise<void>((resolve) => (first = resolve)), sleep(500)]);

  const loop = async (): Promise<void> => {
    while (!stopping) {
      try {
        session ??= await open();
        await session.query(`SELECT pg_catalog.pg_logical_emit_message(true, 'veloz-ha', 'canary')`);
        const now = performance.now();
        if (last !== undefined) result.gapMs = Math.max(result.gapMs, now - last);
        last = now;
        result.commits += 1;
        first();
      } catch {
        if (!stopping) result.failures += 1;
        session?.close();
        session = undefined;
      }
      await sleep(5);
    }
  };
  const running = loop();
  return {
    started,
    async stop() {
      stopping = true;
      // A commit that hangs is a gap too.
      if (last !== undefined) result.gapMs = Math.max(result.gapMs, performance.now() - last);
      // A canary that hangs in a commit must not keep the run waiting: it has had its time.
      await Promise.race([running, sleep(200)]);
      session?.close();
      return { ...result, gapMs: Math.round(result.gapMs) };
    },
  };
}
