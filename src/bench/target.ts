import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { observe } from '../cli/observe';
import { packageRoot } from '../cli/paths';
import { selectCluster, type ClusterTopology, type Endpoint } from '../cluster/topology';
import type { Login } from '../systems/postgres';
import { readSecret } from '../systems/secrets';
import { loadTopology } from '../systems/topology-file';
import type { Member } from '../workflows/run-state';

/** The cluster that is measured: the topology's default one. */
export interface Target {
  name: string;
  cluster: ClusterTopology;
  /** PgBouncer: where clients connect. */
  door: Endpoint;
  /** An ordinary client. */
  login: Login;
}

/** Reads the topology. @throws Error when it has no cluster to measure */
export function loadTarget(): Target {
  const selected = selectCluster(loadTopology());
  if ('error' in selected) throw new Error(selected.error);
  const { name, cluster } = selected;
  const door = cluster.pgbouncer.nodes[0]?.address;
  if (door === undefined) throw new Error('the topology has no PgBouncer');
  return {
    name,
    cluster,
    door,
    login: {
      user: cluster.postgres.client.user,
      password: readSecret(cluster.postgres.client.passwordFrom, process.env),
      database: cluster.pgbouncer.database ?? cluster.postgres.database,
    },
  };
}

/**
 * Brings the stack up with one standby or two, and waits until all of it is synchronous.
 * @param part what has to run; what runs besides goes on. Default: what a bench of PostgreSQL needs
 */
export async function ensureStack(standbys: number, part: 'postgres' | 'all of it' = 'postgres'): Promise<void> {
  const only = part === 'postgres' ? ['--only', 'postgres'] : [];
  // What is measured is what was built.
  const args = ['stack', 'up', '--recreate', '--standbys', String(standbys), ...only, '-q'];
  await new Promise<void>((resolve, reject) => {
    const up = spawn(join(packageRoot, 'bin', 'veloz-ha'), args, { stdio: ['ignore', 2, 2] });
    up.once('error', reject);
    up.once('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`veloz-ha stack up ended with exit code ${code}`)),
    );
  });
}

/** The members of the cluster as they are now, asked directly. */
export async function membersNow(target: Target): Promise<Member[]> {
  return (await observe(target.name)).members;
}

/** Why the cluster is not whole: one primary, routed to, and every standby streaming, one of them synchronous. */
export function whatIsMissing(members: readonly Member[], standbys: number): string | undefined {
  const primaries = members.filter((member) => member.role === 'primary');
  if (primaries.length !== 1) return `${primaries.length} primaries`;
  const streaming = members.filter((member) => member.role === 'standby' && member.state === 'streaming');
  if (streaming.length < standbys) return `${streaming.length} of ${standbys} standbys are streaming`;
  if (!streaming.some((member) => member.sync === 'sync' || member.sync === 'quorum'))
    return 'no standby is synchronous';
  const pooler = members.find((member) => member.kind === 'pgbouncer');
  if (pooler?.routesTo?.startsWith(`${primaries[0]?.name}:`) !== true) return `clients are sent to ${pooler?.routesTo}`;
  return undefined;
}

/** Waits until the cluster is whole. Returns its primary. @throws Error that says what is missing */
export async function whole(target: Target, standbys: number, limitMs = 120_000): Promise<string> {
  const until = Date.now() + limitMs;
  for (;;) {
    const members = await membersNow(target).catch((error: unknown) => (error as Error).message);
    const missing = typeof members === 'string' ? members : whatIsMissing(members, standbys);
    if (missing === undefined && typeof members !== 'string')
      return members.find((member) => member.role === 'primary')?.name ?? '';
    if (Date.now() > until) throw new Error(`the cluster is not whole after ${limitMs / 1000} s: ${missing}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
