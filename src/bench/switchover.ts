import { execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client, Connection } from '@temporalio/client';
import { Command, InvalidArgumentError, Option } from 'commander';
import { packageRoot } from '../cli/paths';
import { formatMs } from '../cluster/duration';
import { selectCluster } from '../cluster/topology';
import { readSecret } from '../systems/secrets';
import { innermost } from '../systems/temporal';
import { loadTopology } from '../systems/topology-file';
import type { Report } from '../workflows/run-state';
import type { SwitchoverInput } from '../workflows/switchover-input';
import type { BareResult } from './bare';
import { Stand } from './stand';
import { summarise, type SwitchoverBenchRun } from './summary';
import { Writers } from './writers';

interface Options {
  runs: number;
  clients: number;
  rate: number;
  protection: 'zero-loss' | 'fast';
  standbys: 1 | 2;
  output: 'json' | 'text';
}

const positive = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 1000)
    throw new InvalidArgumentError('expected a whole number from 1 to 1000');
  return value;
};
const say = (text: string) => process.stderr.write(`${text}\n`);

/** Brings the stack up with one standby or two, and waits until all of it is synchronous. */
async function ensureStack(standbys: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const up = spawn(join(packageRoot, 'bin', 'veloz-ha'), ['stack', 'up', '--standbys', String(standbys), '-q'], {
      stdio: ['ignore', 2, 2],
    });
    up.once('error', reject);
    up.once('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`veloz-ha stack up ended with exit code ${code}`)),
    );
  });
}

async function runByWorkflow(
  client: Client,
  taskQueue: string,
  protection: Options['protection'],
  index: number,
): Promise<Omit<SwitchoverBenchRun, 'gapMs' | 'acknowledged' | 'failed' | 'lost'>> {
  const input: SwitchoverInput = {
    approval: 'given',
    protection,
    soak: '0s',
    startedBy: 'bench:switchover',
    reason: 'bench',
  };
  const began = Date.now();
  const report = (await client.workflow.execute('switchover', {
    taskQueue,
    workflowId: `bench/${process.pid}/${index}`,
    args: [input],
  })) as Report;
  const steps = Object.fromEntries(
    report.steps.flatMap((step) => [
      [step.id, step.ms ?? 0] as const,
      ...(step.subSteps ?? []).map((part) => [`${step.id}.${part.id}`, part.ms] as const),
    ]),
  );
  return {
    kind: 'workflow',
    heldMs: report.heldMs ?? null,
    protectedAgainMs: report.protectedAgainMs ?? 0,
    totalMs: Date.now() - began,
    steps,
  };
}

async function runBare(
  protection: Options['protection'],
): Promise<Omit<SwitchoverBenchRun, 'gapMs' | 'acknowledged' | 'failed' | 'lost'>> {
  const { stdout } = await promisify(execFile)(process.execPath, [join(__dirname, 'bare.js'), protection], {
    maxBuffer: 1 << 20,
  });
  const result = JSON.parse(stdout) as BareResult;
  return {
    kind: 'bare',
    heldMs: result.heldMs,
    protectedAgainMs: result.protectedAgainMs,
    totalMs: result.totalMs,
    steps: result.steps,
  };
}

async function bench(options: Options): Promise<number> {
  say(`Stack with ${options.standbys} standby${options.standbys === 1 ? '' : 's'} …`);
  await ensureStack(options.standbys);
  const selected = selectCluster(loadTopology());
  if ('error' in selected) throw new Error(selected.error);
  const { cluster } = selected;
  const door = cluster.pgbouncer.nodes[0]?.address;
  if (door === undefined) throw new Error('the topology has no PgBouncer');
  const login = {
    user: cluster.postgres.client.user,
    password: readSecret(cluster.postgres.client.passwordFrom, process.env),
    database: cluster.pgbouncer.database ?? cluster.postgres.database,
  };

  say('Temporal and two workers …');
  const stand = await Stand.start(`veloz-ha-bench-${process.pid}`);
  const writers = new Writers(door, login, options.clients, options.rate);
  const runs: SwitchoverBenchRun[] = [];
  try {
    await Promise.all([stand.startWorker(), stand.startWorker()]);
    const connection = await Connection.connect({ address: stand.address });
    const client = new Client({ connection });
    await writers.start();
    for (let index = 0; index < options.runs * 2; index++) {
      const kind = index % 2 === 0 ? 'workflow' : 'bare';
      await new Promise((resolve) => setTimeout(resolve, 300));
      writers.beginWindow();
      const measured =
        kind === 'workflow'
          ? await runByWorkflow(client, stand.taskQueue, options.protection, index)
          : await runBare(options.protection);
      await new Promise((resolve) => setTimeout(resolve, 300));
      const { gapMs, acknowledged, failed, lost, failures } = await writers.endWindow();
      runs.push({ ...measured, gapMs, acknowledged, failed, lost, ...(failures.length > 0 ? { failures } : {}) });
      say(
        `${String(index + 1).padStart(3)}/${options.runs * 2} ${kind.padEnd(8)} gap ${formatMs(gapMs).padStart(8)}  held ${measured.heldMs === null ? '?' : formatMs(measured.heldMs).padStart(8)}  failed ${failed}  lost ${lost}  protected again ${formatMs(measured.protectedAgainMs)}`,
      );
    }
    await connection.close();
  } finally {
    await writers.stop();
    await stand.close();
  }
  const workflow = summarise(runs.filter((run) => run.kind === 'workflow'));
  const bare = summarise(runs.filter((run) => run.kind === 'bare'));
  const ratio =
    workflow.gapMs === undefined || bare.gapMs === undefined
      ? null
      : Math.round((workflow.gapMs.median / bare.gapMs.median) * 100) / 100;
  const { output, ...parameters } = options;
  const document = { version: 1, bench: 'switchover', parameters, runs, summary: { workflow, bare, ratio } };
  if (output === 'json') process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
  say(
    `workflow: gap median ${workflow.gapMs?.median} ms (${workflow.gapMs?.min}–${workflow.gapMs?.max}), failed ${workflow.failed}, lost ${workflow.lost} of ${workflow.acknowledged}; protected again ${workflow.protectedAgainMs?.median} ms`,
  );
  say(
    `bare:     gap median ${bare.gapMs?.median} ms (${bare.gapMs?.min}–${bare.gapMs?.max}), failed ${bare.failed}, lost ${bare.lost} of ${bare.acknowledged}; ratio ${ratio}`,
  );
  return workflow.lost + bare.lost === 0 ? 0 : 1;
}

const program = new Command('bench:switchover')
  .description('Measures planned switchovers under load, by workflow and bare, alternating')
  .option('--runs <n>', 'runs of each kind', positive, 10)
  .option('--clients <n>', 'writers', positive, 8)
  .option('--rate <n>', 'inserts a second of each writer', positive, 50)
  .addOption(
    new Option('--protection <mode>', 'what clients wait for').choices(['zero-loss', 'fast']).default('zero-loss'),
  )
  .addOption(
    new Option('--standbys <n>', 'standbys')
      .choices(['1', '2'])
      .default(1)
      .argParser((text) => (text === '2' ? 2 : 1)),
  )
  .addOption(
    new Option('-o, --output <format>', 'json prints one document on stdout').choices(['json', 'text']).default('text'),
  )
  .action(async (options: Options) => {
    process.exitCode = await bench(options);
    process.exit();
  });

program.parseAsync().catch((error: unknown) => {
  say(`Error: ${innermost(error)}`);
  process.exit(1);
});
