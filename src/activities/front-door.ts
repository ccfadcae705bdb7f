import type { PostgresSession } from '../systems/postgres';
import type { ClusterAccess } from './deps';
import { messageOf, withinLimit } from './guard/probe';

/** A session through the pooler. */
export interface DoorSession extends PostgresSession {
  /** Applications had taken every place: it has the one that is kept for the control role. */
  kept: boolean;
  /** It was answered; false for a client that waits. */
  served: boolean;
}

/** After this time without an answer, in milliseconds, the pool counts as full. */
const PATIENCE_MS = 250;

/** Words of PgBouncer and of PostgreSQL for a place that is not free. */
const NO_PLACE =
  /max_client_conn|max_user_client_connections|max_user_connections|max_db_connections|too many clients|too many connections|remaining connection slots/i;

/**
 * Opens the way that clients take, and knows that it is served. Where the application's pool is full, the control role takes the same
 * way: PgBouncer keeps a pool for each user, so applications can't use its places up, and the route and PAUSE are those of the database.
 * Where neither is served, as in a hold, it is an ordinary client that waits. Queries have to name schemas.
 * @param options `evenRefused`: the kept place is taken also where the client was refused: for who asks where the way leads, and not
 * whether clients get in
 * @throws Error why the ordinary client was refused; with `evenRefused` only where neither gets in
 */
export async function openDoor(
  access: ClusterAccess,
  queryLimitMs: number,
  options: { evenRefused?: boolean } = {},
): Promise<DoorSession> {
  let client: PostgresSession | undefined;
  let refusal: unknown;
  try {
    client = await access.frontDoor(queryLimitMs);
    const served = await isServed(client);
    if (served === true) return { ...client, kept: false, served: true };
    refusal = served;
  } catch (error) {
    refusal = error;
  }
  // What the server refused is no matter of places, and a place of the control role's would hide it.
  if (refusal !== undefined && options.evenRefused !== true && !isForAPlace(refusal)) {
    client?.close();
    throw refusal as Error;
  }
  const kept = await keptPlace(access, queryLimitMs);
  if (kept !== undefined) {
    client?.close();
    return { ...kept, kept: true, served: true };
  }
  // Whom PgBouncer or the server refused has no session any more.
  if (client === undefined || refusal !== undefined) {
    client?.close();
    throw refusal as Error;
  }
  return { ...client, kept: false, served: false };
}

/** A connection that PgBouncer did not answer waits for its turn as well. */
const isForAPlace = (error: unknown): boolean =>
  NO_PLACE.test(messageOf(error)) || /time(d )?out/i.test(messageOf(error));

async function keptPlace(access: ClusterAccess, queryLimitMs: number): Promise<PostgresSession | undefined> {
  let session: PostgresSession | undefined;
  try {
    session = await access.keptDoor(queryLimitMs);
    if ((await isServed(session)) === true) return session;
  } catch {
    // What the ordinary client met is told.
  }
  session?.close();
  return undefined;
}

/** True; what it was refused with; or undefined while it waits. */
async function isServed(session: PostgresSession): Promise<unknown> {
  const asked = session.query('SELECT 1').then(
    () => true,
    (error: unknown) => error ?? new Error('refused'),
  );
  return withinLimit(asked, PATIENCE_MS).catch(() => undefined);
}
