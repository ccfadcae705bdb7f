import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client, Connection } from '@temporalio/client';
import { Command, Option } from 'commander';
import { formatMs } from '../cluster/duration';
import type { Report } from '../workflows/run-state';
import type { SwitchoverInput } from '../workflows/switchover-input';
import type { BareResult } from './bare';
import { end, outputOption, positive, say, standbysOption } from './options';
import { Stand } from './stand';
import { summarise, type SwitchoverBenchRun } from './summary';
import { ensureStack, loadTarget } from './target';
import { Writers } from './writers';
import { callInterceptors } from '../systems/temporal-calls';

interface Options {
  runs: number;
  clients: number;
  rate: number;
  protection: 'zero-loss' | 'fast';
  standbys: 1 | 2;
  output: 'json' | 'text';
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
  const target = loadTarget();

  say('Temporal and two workers …');
  const stand = await Stand.start(`veloz-ha-bench-${process.pid}`);
  const writers = new Writers(target.door, target.login, options.clients, options.rate);
  const runs: SwitchoverBenchRun[] = [];
  try {
    await Promise.all([stand.startWorker(), stand.startWorker()]);
    const connection = await Connection.connect({ address: stand.address, interceptors: callInterceptors() });
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
  .addOption(standbysOption())
  .addOption(outputOption())
  .action((options: Options) => end(bench(options)));

void program.parseAsync();
