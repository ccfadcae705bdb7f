import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import { packageRoot } from '../../../src/cli/paths';
import type { ErrorDocument } from '../../../src/cli/errors';
import type { WindowResult } from '../../../src/bench/writers';
import type { Report } from '../../../src/workflows/run-state';
import { frontDoorWriters, type Rig } from './rig';
import { cli, fingerprint, thenAlways, whole } from './stack';

/** What a person reads of a refusal. */
export interface Refusal {
  report: Report;
  /** The check that refused first: `B2`. */
  id: string;
  /** What is wrong, what was measured, and the limit: everything before "Nothing was changed". */
  sentence: string;
  /** The command that it ends with. */
  next: string;
}

/** `B2: what is wrong: what was measured (limit: …). Also refused: B8. Nothing was changed. Next: command` */
const refusalPattern =
  /^(?<sentence>(?<id>[A-M]\d+): .+ \(limit: .+\))\.(?: Also refused: [A-M0-9, ]+\.)? Nothing was changed\. Next: (?<next>.+)$/s;

/** Asks for a switchover as a user would, and expects it to be refused by a check, and the stack to be exactly as before. */
export async function refused(rig: Rig, ...args: string[]): Promise<Refusal> {
  const { code, report } = await cameToNothing(rig, ...args);
  expect({ code, outcome: report.outcome }).toEqual({ code: 3, outcome: 'refused' });
  const { id = '', sentence = '', next = '' } = refusalPattern.exec(report.says)?.groups ?? {};
  if (id === '') throw new Error(`not what, measured, limit and next command: ${report.says}`);
  expect(report.next[0]?.command).toBe(next);
  return { report, id, sentence, next };
}

/** Asks for a switchover that does not begin a single step, and leaves the stack exactly as it was. */
export async function cameToNothing(rig: Rig, ...args: string[]): Promise<{ code: number; report: Report }> {
  const { code, document } = await untouched(() => asked(rig, 'postgres', 'switchover', '--yes', ...args));
  const report = document as Report;
  if (typeof report.outcome !== 'string') throw new Error(`no report: ${JSON.stringify(document)}`);
  expect(report.steps.filter((step) => step.state !== 'pending')).toEqual([]);
  return { code, report };
}

/** The same for a command that ends with an error instead of a report. */
export async function failedCommand(
  rig: Rig,
  args: readonly string[],
): Promise<{ code: number; error: ErrorDocument['error'] }> {
  const { code, document } = await untouched(() => asked(rig, ...args));
  const { error } = document as Partial<ErrorDocument>;
  if (error === undefined) throw new Error(`no error: ${JSON.stringify(document)}`);
  return { code, error };
}

/** Runs the CLI with `-o json`. */
export async function asked(rig: Rig, ...args: string[]): Promise<{ code: number; document: unknown }> {
  const { code, stdout, stderr } = await cli([...args, '-o', 'json'], rig.env);
  try {
    return { code, document: JSON.parse(stdout) as unknown };
  } catch {
    throw new Error(`exit code ${code}, and no JSON: ${stdout}${stderr}`);
  }
}

/** Expects the stack to be after `body` exactly as it was before. */
export async function untouched<T>(body: () => Promise<T>): Promise<T> {
  const before = await fingerprint();
  const result = await body();
  expect(await fingerprint()).toEqual(before);
  return result;
}

/** Something is wrong while `body` runs. Taken away whatever happens, and the cluster is whole afterwards. */
export async function withFault<T>(
  { inject, takeAway }: { inject: () => unknown; takeAway: () => unknown },
  body: () => Promise<T>,
): Promise<T> {
  return thenAlways(
    async () => {
      await inject();
      return body();
    },
    async () => {
      await takeAway();
      await whole();
    },
  );
}

/** Clients write at the front door while `body` runs: they may wait, but none sees an error, and no row is lost. */
export async function whileClientsWrite(body: () => Promise<unknown>): Promise<WindowResult> {
  const writers = frontDoorWriters(2, 25);
  try {
    await writers.start();
    writers.beginWindow();
    await body();
    await sleep(200);
    const seen = await writers.endWindow();
    expect({ failed: seen.failed, lost: seen.lost, failures: seen.failures }).toEqual({
      failed: 0,
      lost: 0,
      failures: [],
    });
    expect(seen.acknowledged).toBeGreaterThan(0);
    return seen;
  } finally {
    await writers.stop();
  }
}

/** Does what a refusal says to do next, in a shell, as it is printed. */
export function obey(command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, PATH: `${join(packageRoot, 'bin')}${delimiter}${process.env.PATH}` };
    execFile('sh', ['-c', command], { env, timeout: 60_000 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${command}: ${error.message} ${stderr}`));
    });
  });
}

/** The parts of a topology file that the tests change. */
export interface TopologyDocument {
  default?: string;
  docker?: { socketPath: string };
  clusters: Record<
    string,
    {
      limits?: Record<string, string | number>;
      postgres: { nodes: { name: string; address: { host: string; port: unknown }; promotable?: boolean }[] };
      pgbouncer: { nodes: { name: string; address: { host: string; port: number } }[] };
    }
  >;
}

let copies = 0;

/** Writes a changed copy of the topology file. Returns the environment with which a command reads it. */
export function topologyWith(rig: Rig, change: (topology: TopologyDocument) => void): NodeJS.ProcessEnv {
  return topologyText(rig, (text) => {
    const topology = parse(text) as TopologyDocument;
    change(topology);
    return stringify(topology);
  });
}

/** Adds a second cluster, `elsewhere`: PostgreSQL and PgBouncer alone, at the same addresses under other names. */
export function addElsewhere(document: TopologyDocument): void {
  const { veloz } = document.clusters;
  if (veloz === undefined) throw new Error('the topology has no cluster veloz');
  const { postgres, pgbouncer } = structuredClone(veloz);
  for (const node of [...postgres.nodes, ...pgbouncer.nodes]) node.name = `b-${node.name}`;
  document.clusters.elsewhere = { postgres, pgbouncer };
}

/** The same for a change of the text itself. */
export function topologyText(rig: Rig, change: (text: string) => string): NodeJS.ProcessEnv {
  const path = join(rig.stand.folder, `topology-${++copies}.yaml`);
  writeFileSync(path, change(readFileSync(join(packageRoot, 'topology.yaml'), 'utf8')));
  return { VELOZ_HA_TOPOLOGY: path };
}
