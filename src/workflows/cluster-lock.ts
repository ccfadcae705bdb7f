import { condition } from '@temporalio/workflow';
import type { ClusterLockInput } from './messages';

/**
 * The lock of one tier of a cluster, or of a node that is copied: a child that does nothing but exist. The server allows one open run per workflow id, and the child is
 * terminated when its parent closes in any way, so there is no lease to renew and none to expire.
 */
export async function clusterLock(_input: ClusterLockInput): Promise<void> {
  await condition(() => false);
}
