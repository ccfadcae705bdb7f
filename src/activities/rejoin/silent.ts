import { recoveryOf } from '../../systems/postgres';
import { keepBeating } from '../context';
import { accessCluster, withSession, type ActivityDeps } from '../deps';
import { fenceNode } from '../fence';
import { withinLimit } from '../guard/probe';
import { observeIfAnswering, rejoinToken, streamsTo, type RejoinRequest } from './parts';

/** How long a node's agent may take to answer, in milliseconds. */
const ANSWER_LIMIT_MS = 3000;
/** How long the primary may take to say that it is one, in milliseconds. */
const PRIMARY_LIMIT_MS = 3000;

/**
 * Ends a node whose agent gives no answer, in a container that runs, beside a primary that does not stream to it, and lays the fence.
 * Commits may wait for such a node, and they go on once it has ended: so it is a part of its own, which nobody leaves in its middle.
 * What answers or streams is not touched. Idempotent.
 * @throws Error when the primary takes no writes; ApplicationFailure `Refused` when the fence can't be proven
 */
export async function endSilentNode(deps: ActivityDeps, request: RejoinRequest): Promise<string> {
  const access = accessCluster(deps, request.cluster);
  const { node, primary } = request;
  const stopBeating = keepBeating(() => `ending ${node}`);
  try {
    if (!(await deps.docker.inspect(node)).running) return `${node} does not run`;
    const answer = await withinLimit(observeIfAnswering(access, node), ANSWER_LIMIT_MS).catch(() => undefined);
    if (answer !== undefined) return `the agent of ${node} answers`;
    const streams = await withSession(access.sql(primary, PRIMARY_LIMIT_MS), async (session) => {
      if ((await recoveryOf(session)).inRecovery) throw new Error(`${primary} is no primary: it is in recovery`);
      return streamsTo(session, node);
    });
    if (streams) return `${primary} streams to ${node}`;
    return (await fenceNode(deps, access, rejoinToken(request), node, access.internal(primary))).says;
  } finally {
    stopBeating();
  }
}
