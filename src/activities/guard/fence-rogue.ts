import { finalFailure, keepBeating } from '../context';
import { accessCluster, withSession, type ActivityDeps } from '../deps';
import { fenceNode } from '../fence';
import { tokenOf } from '../token';
import { recoveryOf } from '../../systems/postgres';

/** A node that is writable beside the primary. */
export interface RogueRequest {
  cluster: string;
  run: string;
  node: string;
  /** The primary, which stays. */
  keep: string;
}

/**
 * Fences the one of two writable nodes that is not the primary, after one more look at both.
 * @throws ApplicationFailure `Refused` when the other one takes no writes, or a run holds the lock of PostgreSQL
 */
export async function fenceRogue(deps: ActivityDeps, request: RogueRequest): Promise<string> {
  const access = accessCluster(deps, request.cluster);
  const stopBeating = keepBeating(() => `fencing ${request.node}`);
  try {
    const holder = await deps.lockHolder(request.cluster);
    if (holder !== undefined)
      throw finalFailure('Refused', `E2: run ${holder} holds the lock of PostgreSQL. Next: veloz-ha watch ${holder}`);
    const { inRecovery } = await withSession(access.sql(request.keep, 2000), recoveryOf);
    if (inRecovery)
      throw finalFailure(
        'Refused',
        `A3: ${request.keep} takes no writes: ${request.node} was left alone. Next: veloz-ha postgres status`,
      );
    const fence = await fenceNode(
      deps,
      access,
      tokenOf(request.run, 'watch'),
      request.node,
      access.internal(request.keep),
    );
    return fence.says;
  } finally {
    stopBeating();
  }
}
