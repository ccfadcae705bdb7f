import type { ObservedNode } from '../cluster/observed';
import type { PoolerAgent } from '../systems/agent';
import type { ClusterAccess } from './deps';

/** Each node is tried twice, for 2.5 s together, all at the same time. In milliseconds. */
const LIMIT_MS = 4000;

/**
 * How a client of the pooler fares at each of these nodes, by name, asked from the pooler's own place. Nothing where its agent is too
 * old to try. A node may have something that runs at each login.
 * @throws AgentError when the agent gives no answer
 */
export async function clientLogins(
  access: ClusterAccess,
  pooler: PoolerAgent,
  nodes: readonly string[],
  /** How old an answer may be in which all was well, in milliseconds; absent: some seconds. */
  keptMs?: number,
): Promise<Map<string, NonNullable<ObservedNode['client']>>> {
  const found = new Map<string, NonNullable<ObservedNode['client']>>();
  const { user, answers } = await pooler.call(
    'tryClient',
    { addresses: nodes.map((name) => access.internal(name)), ...(keptMs === undefined ? {} : { keptMs }) },
    LIMIT_MS,
  );
  nodes.forEach((name, index) => {
    const answer = answers[index];
    if (answer === undefined) return;
    const { ok, code, readOnly, problem } = answer;
    found.set(name, {
      ok,
      user,
      readOnly: readOnly === true,
      ...(code === null ? {} : { code }),
      ...(problem === null ? {} : { error: problem }),
    });
  });
  return found;
}
