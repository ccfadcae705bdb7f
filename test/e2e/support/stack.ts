import { execFile, execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { observeCluster } from '../../../src/activities/observe';
import type { ActivityDeps } from '../../../src/activities/deps';
import { packageRoot } from '../../../src/cli/paths';
import { observeTrading, tradingContainers } from '../../../src/cli/trading';
import { membersOf } from '../../../src/cluster/members';
import type { ObservedCluster } from '../../../src/cluster/observed';
import type { ClusterTopology } from '../../../src/cluster/topology';
import { tradingProblems } from '../../../src/report/trading';
import { createDockerClient } from '../../../src/systems/docker';
import { loadTopology } from '../../../src/systems/topology-file';

export const PRIMARY = 'veloz-postgres-primary';
export const STANDBY = 'veloz-postgres-standby';
export const POOLER = 'veloz-pgbouncer';

const topology = loadTopology();
/** The cluster of the topology that the tests run on. */
export const cluster = clusterOf('veloz');

/** What activities are made of, for a test that calls one without Temporal. */
export const deps: ActivityDeps = {
  topology,
  identity: 'e2e',
  docker: createDockerClient(),
  environment: process.env,
  handoverCost: () => undefined,
  lockHolder: () => Promise.resolve(undefined),
};

function clusterOf(name: string): ClusterTopology {
  const found = topology.clusters[name];
  if (found === undefined) throw new Error(`the topology has no cluster ${name}`);
  return found;
}

/** The whole picture, as the runbooks see it. */
export function look(): Promise<ObservedCluster> {
  return observeCluster(deps, 'veloz');
}

/** What must be the same before and after a refusal: roles, routes, settings, slots, holds. */
export async function fingerprint(): Promise<unknown> {
  const seen = await look();
  return {
    members: membersOf(seen).map(({ name, role, state, timeline, sync, routesTo }) => ({
      name,
      role,
      state,
      timeline,
      sync,
      routesTo,
    })),
    nodes: seen.nodes.map(({ sql, agent }) => ({
      desired: agent?.desired,
      signal: agent?.standbySignal,
      upstream: agent?.upstream,
      names: sql?.settings.synchronous_standby_names,
      slots: sql?.slots.map(({ name, active }) => ({ name, active })),
    })),
    pooler: { paused: seen.pooler.console?.paused, hold: seen.pooler.agent?.holdRun },
  };
}

/** Runs the launcher of the CLI, as a user would. */
export function cli(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(
      join(packageRoot, 'bin', 'veloz-ha'),
      [...args],
      { env: { ...process.env, NO_COLOR: '1', ...env }, maxBuffer: 1 << 24 },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
        resolve({ code, stdout, stderr });
      },
    );
  });
}

/** Runs docker, and returns what it printed. */
export function docker(...args: string[]): string {
  const [verb, ...names] = args;
  if (verb !== 'pause') return run(args);
  // The kernel's freezer gives up now and then when processes of the container are just being started; then once more.
  for (const name of names)
    for (let tries = 1; ; tries++)
      try {
        run(['pause', name]);
        break;
      } catch (error) {
        if (tries === PAUSE_TRIES) throw error;
      }
  return names.join('\n');
}

const PAUSE_TRIES = 5;

function run(args: readonly string[]): string {
  return execFileSync('docker', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/**
 * Sends a signal to a container's first process, its agent, from outside: from within nobody can stop that one, and `docker kill` would
 * have Docker take the container for one that somebody stopped.
 */
export function signalAgent(container: string, signal: 'SIGSTOP' | 'SIGCONT'): void {
  process.kill(Number(docker('inspect', '-f', '{{.State.Pid}}', container).trim()), signal);
}

/**
 * Stops a container's agent so that the guard can't wake it: what tells a stopped process from another one is taken away there. Returns
 * what takes that back, in a container that runs.
 */
export function stopAgentForGood(container: string): () => void {
  const inside = (script: string) => docker('exec', '-u', 'root', container, 'sh', '-c', script);
  inside('g=$(command -v grep); mv "$g" "$g.e2e"');
  signalAgent(container, 'SIGSTOP');
  return () => {
    inside('for g in /bin/grep.e2e /usr/bin/grep.e2e; do [ ! -e "$g" ] || mv "$g" "${g%.e2e}"; done');
    signalAgent(container, 'SIGCONT');
  };
}

/** Runs one SQL statement as superuser inside a node. */
export function psql(node: string, sql: string, database = 'veloz'): string {
  return docker('exec', node, 'psql', '-U', 'postgres', '-d', database, '-Atqc', sql).trim();
}

/** Waits until `holds` does. */
export async function waitUntil(
  what: string,
  holds: () => Promise<boolean> | boolean,
  limitMs = 60_000,
): Promise<void> {
  const started = Date.now();
  for (;;) {
    try {
      if (await holds()) return;
    } catch (error) {
      if (Date.now() - started > limitMs) throw error;
    }
    if (Date.now() - started > limitMs) throw new Error(`${what}: not within ${limitMs} ms`);
    await sleep(100);
  }
}

/**
 * Runs `body`, and `always` after it, whatever happens. Where both fail, what `body` failed with is thrown, and the other failure, which
 * mostly comes of it, is told on stderr: from a `finally` that one alone would be heard of.
 */
export async function thenAlways<T>(body: () => Promise<T>, always: () => unknown): Promise<T> {
  let result: T;
  try {
    result = await body();
  } catch (error) {
    try {
      await always();
    } catch (second) {
      process.stderr.write(`After the test had failed: ${(second as Error).message}\n`);
    }
    throw error;
  }
  await always();
  return result;
}

/**
 * Waits until a node takes writes.
 * @param guarded whose events are told where it does not
 */
export const takesWrites = (node: string, guarded?: { state(): Promise<{ events: unknown }> }): Promise<void> =>
  waitUntil(`${node} taking writes`, async () =>
    (await look()).nodes.some(({ name, sql }) => name === node && sql?.inRecovery === false),
  ).catch(async (error: unknown) => {
    if (guarded === undefined) throw error;
    const { events } = await guarded.state();
    throw new Error(`${(error as Error).message}; the guard: ${JSON.stringify(events, null, 1)}`);
  });

/**
 * Who is primary and who standby, at the first look that tells one of each: a node that answers late, or restarts, tells nothing.
 * @throws Error with what was seen last, where none does within `limitMs`
 */
export async function roles(limitMs = 15_000): Promise<{ primary: string; standby: string }> {
  let seen = 'nothing was seen';
  let found: { primary: string; standby: string } | undefined;
  await waitUntil(
    'one primary and a standby',
    async () => {
      const members = membersOf(await look());
      seen = JSON.stringify(members);
      const [primary, second] = members.filter(({ role }) => role === 'primary');
      const standby = members.find(({ role }) => role === 'standby');
      if (primary === undefined || second !== undefined || standby === undefined) return false;
      found = { primary: primary.name, standby: standby.name };
      return true;
    },
    limitMs,
  ).catch((error: Error) => {
    throw new Error(`${error.message}: ${seen}`);
  });
  return found!;
}

/** Waits until there is one primary, routed to, with a synchronous standby, and nobody holds anything. */
export async function whole(limitMs = 60_000): Promise<void> {
  await waitUntil(
    'the cluster being whole',
    async () => {
      const seen = await look();
      const members = membersOf(seen);
      const primary = members.find((member) => member.role === 'primary');
      return (
        members.filter((member) => member.role === 'primary').length === 1 &&
        members.some((member) => member.role === 'standby' && (member.sync === 'sync' || member.sync === 'quorum')) &&
        members.every((member) => member.kind !== 'pgbouncer' || member.routesTo === `${primary?.name}:5432`) &&
        seen.pooler.console?.paused === false &&
        seen.nodes.every((node) => node.agent === null || node.agent.desired === 'up')
      );
    },
    limitMs,
  );
}

/** Waits until the Sentinels agree on a master that has its replica, and one engine takes orders that the other one could take. */
export async function trading(limitMs = 60_000): Promise<void> {
  let missing = '';
  try {
    await waitUntil(
      'Redis, the engines and HAProxy being as they should',
      async () => {
        const seen = await observeTrading('veloz', cluster, process.env);
        missing = tradingProblems(seen, 'veloz')[0]?.says ?? '';
        return seen.started === true && missing === '';
      },
      limitMs,
    );
  } catch (error) {
    throw new Error(`${(error as Error).message}: ${missing}`);
  }
}

/** Frozen containers go on, ended ones are started. */
export function wake(names: readonly string[]): void {
  for (const name of names) {
    const status = docker('inspect', '-f', '{{.State.Status}}', name).trim();
    if (status === 'paused') docker('unpause', name);
    if (status === 'exited') docker('start', name);
  }
}

/**
 * After a scenario: every container runs, is reachable, and the cluster is whole. What a failed scenario left behind must not fail the
 * next one: where waiting does not help, the stack is made anew.
 * @param tiers `all`: Redis, the engines and HAProxy are waited for too, after a scenario of theirs
 */
export async function recovered(tiers: 'postgres' | 'all' = 'postgres'): Promise<void> {
  const present = (await look()).nodes.filter(({ container }) => container.exists);
  wake([...present.map(({ name }) => name), ...(tiers === 'all' ? tradingContainers(cluster) : [])]);
  try {
    await whole(45_000);
    if (tiers === 'all') await trading(45_000);
  } catch {
    await cli(['stack', 'reset', '--yes']);
    await cli(['stack', 'up']);
    await whole(60_000);
    if (tiers === 'all') await trading(60_000);
  }
}
