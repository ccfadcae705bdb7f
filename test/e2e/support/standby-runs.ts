import { execFileSync } from 'node:child_process';
import { routeByHand } from '../../../src/cluster/commands';
import { openPostgresAgent, type AgentJob } from '../../../src/systems/agent';
import { createDockerClient } from '../../../src/systems/docker';
import type { Report } from '../../../src/workflows/run-state';
import type { RejoinInput, StandbyInput } from '../../../src/workflows/standby-input';
import { obey } from './refusal';
import { type Rig } from './rig';
import { docker, POOLER, psql, roles, thenAlways } from './stack';

let counter = 0;

/** Starts a runbook about one standby, without approval and without soak. */
export function startRun(
  rig: Rig,
  workflow: 'rejoin' | 'addStandby' | 'removeStandby',
  input: RejoinInput & StandbyInput = {},
) {
  return rig.client.workflow.start(workflow, {
    taskQueue: rig.stand.taskQueue,
    workflowId: `e2e/${workflow}/${process.pid}/${++counter}/${Date.now()}`,
    args: [{ approval: 'given', soak: '0s', startedBy: 'e2e', ...input }],
  });
}

/** The same, until its end. */
export async function run(rig: Rig, ...rest: Parameters<typeof startRun> extends [Rig, ...infer Rest] ? Rest : never) {
  return (await (await startRun(rig, ...rest)).result()) as Report;
}

/**
 * `before` happens to the old primary, the standby is promoted by hand, `meanwhile` happens to the old primary, and clients are sent to
 * the new one.
 */
export async function promotedByHand(
  meanwhile: (old: string) => unknown,
  before: (old: string) => unknown = () => undefined,
): Promise<{ old: string; now: string }> {
  const { primary: old, standby: now } = await roles();
  relax(now);
  await before(old);
  psql(now, 'SELECT pg_promote()');
  await meanwhile(old);
  await obey(routeByHand(POOLER, { host: now, port: 5432 }));
  return { old, now };
}

/** The container and the volume of a node are deleted, where there are any. */
export function deleteNode(node: string): void {
  docker('rm', '--force', node);
  if (docker('volume', 'ls', '--quiet', '--filter', `name=^${node}$`).trim() !== '') docker('volume', 'rm', node);
}

/** Commits of this node wait for nobody. */
export function relax(node: string): void {
  psql(node, `ALTER SYSTEM SET synchronous_standby_names = ''`);
  psql(node, 'SELECT pg_reload_conf()');
}

/** Runs a shell command on the volume of a node whose container does not run. */
export function onVolume(node: string, command: string): string {
  const image = docker('inspect', '-f', '{{.Image}}', node).trim();
  return docker('run', '--rm', '--volumes-from', node, '--entrypoint', 'sh', image, '-c', command);
}

/** A tool in a stopped container fails while `body` runs. */
export async function withBrokenTool<T>(node: string, tool: string, body: () => Promise<T>): Promise<T> {
  const path = `/usr/lib/postgresql/17/bin/${tool}`;
  const original = execFileSync('docker', ['cp', `${node}:${path}`, '-'], { maxBuffer: 1 << 26 });
  put(node, path, '#!/bin/sh\necho "this tool is broken" >&2\nexit 1\n');
  return thenAlways(body, () => {
    execFileSync('docker', ['cp', '-', `${node}:/usr/lib/postgresql/17/bin`], { input: original });
  });
}

function put(node: string, path: string, content: string): void {
  const script = 'f=$(mktemp -d)/tool; cat > "$f"; chmod 755 "$f"; docker cp "$f" "$1"; rm -r "$(dirname "$f")"';
  execFileSync('sh', ['-c', script, 'sh', `${node}:${path}`], { input: content });
}

/** What the agent of a node rewinds or copies, or did last. */
export async function jobOf(node: string): Promise<AgentJob | null> {
  const agent = await openPostgresAgent(createDockerClient(), node);
  try {
    return (await agent.call('observe', {})).job;
  } finally {
    agent.close();
  }
}

/** Slots of a node, by name. */
export const slotsOf = (node: string): string[] =>
  psql(node, 'SELECT slot_name FROM pg_replication_slots ORDER BY 1')
    .split('\n')
    .filter((name) => name !== '');

/** The sync state of each standby of a primary, by its slot. */
export const syncStates = (primary: string): string[] =>
  psql(
    primary,
    `SELECT slot_name || ' ' || sync_state FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid ORDER BY 1`,
  ).split('\n');
