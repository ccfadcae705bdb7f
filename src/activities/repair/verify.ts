import { keepBeating } from '../context';
import { accessCluster, withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import { putBack } from '../put-back';
import { verifyStandbys } from '../rejoin/verify';
import { askAtTheDoor, where, type Where } from './door';
import { stillAsked, unlessLeft } from '../give-way';
import { requireRoute, whyShutOut } from '../shut-out';

/** What must be so at the end. */
export interface RepairedRequest {
  cluster: string;
  primary: string;
  /** Nodes that must stream from the primary. */
  standbys: string[];
  /** The run knows already that clients do not get through, and tells it: they are not asked. Absent from a worker that is older. */
  withoutDoor?: boolean;
}

/**
 * Proves the state that a repair reached, first once and then for as long as the soak lasts: one node takes writes, its standbys
 * stream and confirm, and an ordinary client at the front door reaches it (F5). Where the primary itself refuses clients, or their
 * database is disabled at the pooler, PgBouncer's own word on its route counts.
 * @throws Error that says what is not so
 */
export async function verifyRepair(deps: ActivityDeps, request: RepairedRequest, soakMs: number): Promise<string> {
  const access = accessCluster(deps, request.cluster);
  const stopBeating = keepBeating(() => 'verifying');
  try {
    const told: string[] = [];
    if (request.standbys.length > 0) told.push((await unlessLeft(verifyStandbys(deps, request, soakMs))).detail);
    told.push(
      request.withoutDoor === true
        ? 'clients were not asked'
        : await unlessLeft(throughTheDoor(access, request.primary)),
    );
    // Whoever answers is on its networks, whoever put it there: a mark that stays would have it put back when a person takes it off.
    for (const node of [request.primary, ...request.standbys]) {
      // Whoever acts for a primary that has failed since may have taken it off.
      stillAsked();
      await putBack(deps.docker, node);
    }
    return told.join('; ');
  } finally {
    stopBeating();
  }
}

/** What was proven, as a clause. */
async function throughTheDoor(access: ClusterAccess, primary: string): Promise<string> {
  const [direct] = await withSession(access.sql(primary), (session) => session.query<Where>(where));
  const behind = await askAtTheDoor(access);
  if ('error' in behind) {
    const shutOut = await whyShutOut(access, primary);
    if (shutOut === undefined) throw new Error(`F5: a client at the front door gets no answer: ${behind.error}`);
    await requireRoute(access, primary, direct?.address ?? null);
    return `F5: PgBouncer leads clients to ${primary}, and none is let in: ${shutOut}`;
  }
  if (behind.inRecovery || behind.address !== direct?.address)
    throw new Error(
      `F5: the pool reaches ${behind.address ?? 'nobody'}${behind.inRecovery ? ', a standby' : ''}, and not ${primary} (${direct?.address ?? 'no address'})`,
    );
  return `clients reach ${primary} at the front door`;
}
