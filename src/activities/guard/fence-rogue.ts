import { clusterStatus, watchRun } from '../../cluster/commands';
import { finalFailure, keepBeating } from '../context';
import { accessCluster, withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import { fenceNode } from '../fence';
import { tokenOf } from '../token';
import { messageOf, withinLimit } from './probe';
import { recoveryOf } from '../../systems/postgres';

/** A node that is writable beside the primary. */
export interface RogueRequest {
  cluster: string;
  run: string;
  node: string;
  /** The primary, which stays. */
  keep: string;
  /** The ledger names it. Absent in a history of an older version: then it is asked for as if it did not. */
  named?: boolean;
}

/** How long the pooler's agent may take to say where clients go, in milliseconds. */
const ROUTE_LIMIT_MS = 2000;

/**
 * Fences the one of two writable nodes that is not the primary, after one more look at both.
 * @throws ApplicationFailure `Refused` when the other one takes no writes, a run holds the lock of PostgreSQL, or nobody knows that
 * clients write to the one that stays
 */
export async function fenceRogue(deps: ActivityDeps, request: RogueRequest): Promise<string> {
  const access = accessCluster(deps, request.cluster);
  const stopBeating = keepBeating(() => `fencing ${request.node}`);
  try {
    const holder = await deps.lockHolder(request.cluster);
    if (holder !== undefined)
      throw finalFailure('Refused', `E2: run ${holder} holds the lock of PostgreSQL. Next: ${watchRun(holder)}`);
    const { inRecovery } = await withSession(access.sql(request.keep, 2000), recoveryOf);
    if (inRecovery)
      throw finalFailure(
        'Refused',
        `A3: ${request.keep} takes no writes: ${request.node} was left alone. Next: ${clusterStatus(request.cluster)}`,
      );
    if (request.named !== true) await requireLedTo(access, request);
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

/**
 * Without the ledger only the timeline tells who was promoted last. Somebody may have done that by mistake: clients that write to the
 * older one know better, and what they wrote would be taken from them.
 */
async function requireLedTo(access: ClusterAccess, { cluster, node, keep }: RogueRequest): Promise<void> {
  const asked = withSession(access.pooler(), (agent) => agent.call('observe', {}, ROUTE_LIMIT_MS));
  const [route, problem] = await withinLimit(asked, ROUTE_LIMIT_MS).then(
    (seen) => [seen.route, 'it has no route'] as const,
    (error: unknown) => [undefined, messageOf(error).replace(/\.$/, '')] as const,
  );
  const { host, port } = access.internal(keep);
  if (route?.host === host && route.port === port) return;
  const measured =
    route == null ? `${access.poolerName} does not say: ${problem}` : `clients are led to ${route.host}:${route.port}`;
  throw finalFailure(
    'Refused',
    `A3: ${keep} is on the newest timeline, and nobody knows that clients write to it: ${measured} (limit: ${host}:${port}). ${node} was left alone, and both take writes: a person has to decide which one ends. Next: ${clusterStatus(cluster)}`,
  );
}
