import { setTimeout as sleep } from 'node:timers/promises';
import { Command, Option } from 'commander';
import { formatMs } from '../cluster/duration';
import { Cleanup } from './cleanup';
import { faultsOf, type Fault } from './faults';
import { writingAgain } from './incident';
import { asIsOption, end, outputOption, positive, say, words } from './options';
import { nodesOf, setUpStage, type Stage } from './stage';
import { spread } from './summary';

/** Clients write before the fault for this long, and after it once they go on, so that a gap has two ends. */
const AROUND_MS = 1000;

interface Options {
  fault: 'kill' | 'hang' | 'partition';
  runs: number;
  clients: number;
  rate: number;
  asIs?: boolean;
  output: 'json' | 'text';
}

/** One loss of the only standby. Times are lengths in milliseconds. */
interface StandbyBenchRun {
  kind: 'standby';
  fault: string;
  node: string;
  /** Longest time between two acknowledged commits of all writers together. */
  gapMs: number;
  acknowledged: number;
  failed: number;
  lost: number;
  /** From the fault until the ledger said that commits wait for no standby. */
  degradedMs: number;
  /** From the moment at which the standby was there again until the ledger said protected. */
  protectedAgainMs: number;
}

async function loss(stage: Stage, fault: Fault): Promise<StandbyBenchRun> {
  const { guarded, writers, target } = stage;
  const primary = await guarded.calm();
  const node = nodesOf(target, 1).find(({ name }) => name !== primary)?.name;
  if (node === undefined) throw new Error(`${primary} has no standby that could be lost`);
  await sleep(AROUND_MS);
  writers.beginWindow();
  await sleep(AROUND_MS);
  const injectedAt = Date.now();
  await fault.inject(node);
  try {
    const { ledger } = await guarded.until(
      'commits going on alone',
      (state) => state.ledger.state === 'degraded',
      60_000,
    );
    await writingAgain(writers, injectedAt);
    await sleep(AROUND_MS);
    const { gapMs, acknowledged, failed, lost } = await writers.endWindow();
    const healedAt = Date.now();
    await fault.heal(node);
    await guarded.calm();
    return {
      kind: 'standby',
      fault: fault.name,
      node,
      gapMs,
      acknowledged,
      failed,
      lost,
      degradedMs: ledger.since - injectedAt,
      protectedAgainMs: Date.now() - healedAt,
    };
  } finally {
    await fault.heal(node);
  }
}

async function bench(options: Options): Promise<number> {
  const { fault, runs: wanted, clients, rate } = options;
  const cleanup = new Cleanup();
  const runs: StandbyBenchRun[] = [];
  try {
    const stage = await setUpStage(cleanup, { ...options, standbys: 1 });
    for (let index = 0; index < wanted; index++) {
      const run = await loss(stage, faultsOf(stage.target.cluster)[fault]);
      runs.push(run);
      say(
        `${String(index + 1).padStart(3)}/${wanted} ${run.fault} of ${run.node}: gap ${formatMs(run.gapMs)}  degraded after ${formatMs(run.degradedMs)}  failed ${run.failed}  lost ${run.lost}  protected again ${formatMs(run.protectedAgainMs)}`,
      );
    }
  } finally {
    await cleanup.run();
  }
  const of = (value: (run: StandbyBenchRun) => number) => spread(runs.map(value)) ?? null;
  const lost = runs.reduce((total, run) => total + run.lost, 0);
  const summary = {
    lost,
    gapMs: of((run) => run.gapMs),
    degradedMs: of((run) => run.degradedMs),
    protectedAgainMs: of((run) => run.protectedAgainMs),
  };
  const parameters = { fault, runs: wanted, clients, rate };
  if (options.output === 'json')
    process.stdout.write(`${JSON.stringify({ version: 1, bench: 'standby', parameters, runs, summary }, null, 2)}\n`);
  say(
    `${fault} of the only standby: gap median ${words(summary.gapMs)}, degraded after ${words(summary.degradedMs)}, protected again ${words(summary.protectedAgainMs)}, lost ${lost}`,
  );
  return lost === 0 ? 0 : 1;
}

const program = new Command('bench:standby')
  .description(
    'Takes the only standby away under load, again and again, and measures how long no commit is acknowledged',
  )
  .addOption(new Option('--fault <which>', 'what goes wrong').choices(['kill', 'hang', 'partition']).default('kill'))
  .option('--runs <n>', 'faults', positive, 5)
  .option('--clients <n>', 'writers', positive, 8)
  .option('--rate <n>', 'inserts a second of each writer', positive, 50)
  .addOption(asIsOption())
  .addOption(outputOption())
  .action((options: Options) => end(bench(options)));

void program.parseAsync();
