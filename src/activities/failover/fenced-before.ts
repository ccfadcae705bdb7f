import { fencedByAnother } from '../../cluster/failover/ended-primary';
import type { ActivityDeps } from '../deps';
import { hasEnded } from '../end-container';
import { FENCE_FILE } from '../fence';
import { messageOf, withinLimit } from '../guard/probe';
import type { FailoverMove } from './move';

/** How long Docker may take to say how the container is, and then to read a small file of it, in milliseconds: clients wait. */
const LIMIT_MS = 1000;

/**
 * What speaks for it that another run fenced the failed primary since it ran last, in half a sentence; undefined where nothing does. The
 * fence of a run lies in the volume of a container that has ended until somebody starts that: so nobody has since, and whoever laid it may
 * have promoted somebody. Once it was started its agent has taken the fence over, and knows itself by whose it is fenced. Never rejects.
 * @param ended its container is known to have ended: Docker keeps its word on the state back until it has torn it down
 */
export async function whyFencedBefore(
  { docker }: Pick<ActivityDeps, 'docker'>,
  { source, run }: Pick<FailoverMove, 'source' | 'run'>,
  ended: boolean,
): Promise<string | undefined> {
  try {
    if (!ended) {
      const { exists, status } = await withinLimit(docker.inspect(source), LIMIT_MS);
      if (!exists || !hasEnded(status)) return undefined;
    }
    const fence = await withinLimit(docker.readFile(source, FENCE_FILE), LIMIT_MS);
    const by = fencedByAnother(fence, run);
    return by === undefined ? undefined : `${by} had fenced it before`;
  } catch (error) {
    return `whether another run had fenced it before is not known: ${messageOf(error).replace(/\.$/, '')}`;
  }
}
