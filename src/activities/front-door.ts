import type { PostgresSession } from '../systems/postgres';
import type { ClusterAccess } from './deps';
import { withinLimit } from './guard/probe';

/** A session through the pooler. */
export interface DoorSession extends PostgresSession {
  /** Applications had taken every place: it has the one that is kept for the control role. */
  kept: boolean;
}

/** After this time without an answer, in milliseconds, the pool counts as full. */
const PATIENCE_MS = 250;

/**
 * Opens the way that clients take, and knows that it is served. Where the application's pool is full, the control role takes the same
 * way: PgBouncer keeps a pool for each user, so applications can't use its places up, and the route and PAUSE are those of the database.
 * Where neither is served, as in a hold, it is an ordinary client that waits. Queries have to name schemas.
 * @throws Error why the ordinary client was refused, where neither gets in
 */
export async function openDoor(access: ClusterAccess, queryLimitMs: number): Promise<DoorSession> {
  let client: PostgresSession | undefined;
  let refusal: unknown;
  try {
    client = await access.frontDoor(queryLimitMs);
    if (await isServed(client)) return { ...client, kept: false };
  } catch (error) {
    refusal = error;
  }
  const kept = await keptPlace(access, queryLimitMs);
  if (kept !== undefined) {
    client?.close();
    return { ...kept, kept: true };
  }
  if (client === undefined) throw refusal;
  return { ...client, kept: false };
}

async function keptPlace(access: ClusterAccess, queryLimitMs: number): Promise<PostgresSession | undefined> {
  let session: PostgresSession | undefined;
  try {
    session = await access.keptDoor(queryLimitMs);
    if (await isServed(session)) return session;
  } catch {
    // What the ordinary client met is told.
  }
  session?.close();
  return undefined;
}

async function isServed(session: PostgresSession): Promise<boolean> {
  return withinLimit(session.query('SELECT 1'), PATIENCE_MS).then(
    () => true,
    () => false,
  );
}
