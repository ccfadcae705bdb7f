import { keepBeating } from '../context';
import { accessCluster, withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import { putBack } from '../put-back';
import { verifyStandbys } from '../rejoin/verify';
import { askAtTheDoor, where, type Where } from './door';
import { stillAsked, unlessLeft } from '../give-way';

/** What must be so at the end. */
export interface RepairedRequest {
  cluster: string;
  primary: string;
  /** Nodes that must stream from the primary. */
  standbys: string[];
}

/**
 * Proves the state that a repair reached, first once and then for as long as the soak lasts: one node takes writes, its standbys
 * stream and confirm, and an ordinary client at the front door reaches it and may write (F5).
 * @throws Error that says what is not so
 */
export async function verifyRepair(deps: ActivityDeps, request: RepairedRequest, soakMs: number): Promise<string> {
  const access = accessCluster(deps, request.cluster);
  const stopBeating = keepBeating(() => 'verifying');
  try {
    const told: string[] = [];
    if (request.standbys.length > 0) told.push((await unlessLeft(verifyStandbys(deps, request, soakMs))).detail);
    await unlessLeft(throughTheDoor(access, request.primary));
    // Whoever answers is on its networks, whoever put it there: a mark that stays would have it put back when a person takes it off.
    for (const node of [request.primary, ...request.standbys]) {
      // Whoever acts for a primary that has failed since may have taken it off.
      stillAsked();
      await putBack(deps.docker, node);
    }
    return [...told, `clients reach ${request.primary} at the front door`].join('; ');
  } finally {
    stopBeating();
  }
}

async function throughTheDoor(access: ClusterAccess, primary: string): Promise<void> {
  const [direct] = await withSession(access.sql(primary), (session) => session.query<Where>(where));
  const behind = await askAtTheDoor(access);
  if ('error' in behind) throw new Error(`F5: a client at the front door gets no answer: ${behind.error}`);
  if (behind.inRecovery || behind.address !== direct?.address)
    throw new Error(
      `F5: the pool reaches ${behind.address ?? 'nobody'}${behind.inRecovery ? ', a standby' : ''}, and not ${primary} (${direct?.address ?? 'no address'})`,
    );
}
