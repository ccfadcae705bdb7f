import { keepBeating } from '../context';
import { accessCluster, type ActivityDeps } from '../deps';
import { fenceNode } from '../fence';
import { tokenOf } from '../token';
import { requirePrimary, type RepairRequest } from './parts';

/**
 * Fences a node that is writable beside the primary, after the one that stays was asked once more. What only the fenced one has is
 * not touched: its rejoin keeps it in quarantine. Idempotent.
 * @throws ApplicationFailure `Refused` when the fence can't be proven
 */
export async function fenceSecondPrimary(
  deps: ActivityDeps,
  request: RepairRequest & { node: string; primary: string },
): Promise<string> {
  const access = accessCluster(deps, request.cluster);
  const stopBeating = keepBeating(() => `fencing ${request.node}`);
  try {
    await requirePrimary(deps, access, request.primary);
    const token = tokenOf(request.run, 'prepare', request.turn);
    const { says } = await fenceNode(deps, access, token, request.node, access.internal(request.primary));
    return says;
  } finally {
    stopBeating();
  }
}
