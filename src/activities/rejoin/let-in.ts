import { logs } from '../../cluster/commands';
import { finalFailure } from '../context';
import { withSession, type ClusterAccess } from '../deps';
import type { RejoinRequest } from './parts';

/** The node logs in at each other one, with two tries of 2.5 s together. In milliseconds. */
const LIMIT_MS = 8000;

/**
 * A standby that runs, and that the primary lets in no more (the replication role, its password, the rules of access), is left as it is:
 * fenced it would serve nobody, and could be neither compared nor copied. Where nobody can tell it is let in.
 * @throws ApplicationFailure `Refused`, with the primary's words
 */
export async function requireLetIn(access: ClusterAccess, { node, primary }: RejoinRequest): Promise<void> {
  const paths = await withSession(access.agent(node), async (agent) => {
    const { desired, signals, postgres } = await agent.call('observe', {});
    if (desired !== 'up' || !signals.standby || postgres.state !== 'running') return undefined;
    return (await agent.call('readiness', { start: false }, LIMIT_MS)).replication;
  }).catch(() => undefined);
  const { host, port } = access.internal(primary);
  const tried = paths?.find((path) => path.host === host && path.port === port);
  if (tried?.ok !== false) return;
  throw finalFailure(
    'Refused',
    `C4: ${node} runs, and is left as it is: ${primary} does not let it in: ${(tried.problem ?? 'it was refused').trim()} (limit: IDENTIFY_SYSTEM answers). Next: ${logs(primary)}`,
  );
}
