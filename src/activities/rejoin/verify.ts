import { isExpectedNames, synchronousNamesFor } from '../../cluster/synchronous-names';
import { recoveryOf, type PostgresSession } from '../../systems/postgres';
import { keepBeating, sleep } from '../context';
import { accessCluster, withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import { synchronousNodes } from '../settle';
import { tokenOf } from '../token';
import { streamingNodes } from './settle';
import { steadyMs } from '../clock';

/** What must be so at the end. */
export interface StandbysRequest {
  cluster: string;
  primary: string;
  /** Nodes that must stream from the primary. */
  standbys: string[];
}

/**
 * Proves the new state, first once and then for as long as the soak lasts: the primary and nobody else takes writes (A3), the
 * standbys stream from it (B1), one confirms commits and the names are right (K2).
 * @throws Error that says what is not so
 */
export async function verifyStandbys(
  deps: ActivityDeps,
  request: StandbysRequest,
  soakMs: number,
): Promise<{ detail: string; soakedMs: number }> {
  const access = accessCluster(deps, request.cluster);
  const started = steadyMs();
  let rounds = 0;
  let says = '';
  const stopBeating = keepBeating(() => `soak: ${rounds} rounds, ${steadyMs() - started} of ${soakMs} ms`);
  try {
    await withSession(access.sql(request.primary), async (session) => {
      do {
        if (rounds > 0) await sleep(Math.min(250, soakMs));
        says = await verifyOnce(access, request, session);
        rounds += 1;
      } while (steadyMs() - started < soakMs);
    });
    return { detail: `${says}; ${rounds} rounds in ${steadyMs() - started} ms`, soakedMs: steadyMs() - started };
  } finally {
    stopBeating();
  }
}

async function verifyOnce(access: ClusterAccess, request: StandbysRequest, session: PostgresSession): Promise<string> {
  const { primary } = request;
  if ((await recoveryOf(session)).inRecovery) throw new Error(`${primary} is in recovery`);
  const silent: string[] = [];
  for (const { name } of access.topology.postgres.nodes.filter((node) => node.name !== primary)) {
    // A node that gives no answer takes no writes by this way in; that it is needed is another question.
    const other = await withSession(access.sql(name, 2000), recoveryOf).catch(() => undefined);
    if (other === undefined) silent.push(name);
    if (other?.inRecovery === false) throw new Error(`${name} is writable beside ${primary}`);
  }
  const streaming = await streamingNodes(access, session);
  const missing = request.standbys.filter((name) => !streaming.includes(name));
  if (missing.length > 0) throw new Error(`${missing.join(', ')} does not stream from ${primary}`);
  const [row] = await session.query<{ names: string }>(`SELECT current_setting('synchronous_standby_names') AS names`);
  if (!isExpectedNames(access.topology, row?.names ?? '', streaming.length))
    throw new Error(
      `synchronous_standby_names is '${row?.names}', expected '${synchronousNamesFor(access.topology, streaming.length)}'`,
    );
  const synchronous = await synchronousNodes(session);
  if (synchronous.length === 0) throw new Error(`no standby of ${primary} is synchronous`);
  const one = silent.length === 0 ? 'one primary' : `one primary of those that answer (${silent.join(', ')} did not)`;
  return `${one}, ${primary}; ${streaming.join(', ')} ${streaming.length === 1 ? 'streams' : 'stream'}; ${synchronous.length} of ${streaming.length} confirm commits`;
}

/** Gives the nodes back at the end of a run. Never fails: a claim that stays is replaced by the next run's. */
export async function giveBack(
  deps: ActivityDeps,
  request: { cluster: string; run: string; nodes: string[] },
): Promise<void> {
  const access = accessCluster(deps, request.cluster);
  const token = tokenOf(request.run, 'release');
  await Promise.allSettled(
    request.nodes.map((node) =>
      withSession(access.agent(node), async (agent) => {
        const { token: owner } = await agent.call('observe', {});
        if (owner?.run !== request.run) return;
        await agent.call('claim', { token });
        await agent.call('forget', { token });
      }),
    ),
  );
}
