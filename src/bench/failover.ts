import { Command, InvalidArgumentError, Option } from 'commander';
import { formatMs } from '../cluster/duration';
import { exitCodes } from '../failures';
import { Accompaniment } from './accompany';
import { refuseWhatIsThere } from './spare-node';
import { Cleanup } from './cleanup';
import { duringLine, duringNames, fillOf, mistakeOf, nodeToAdd, partOf, type DuringName } from './during';
import { faultNames, faultsOf, type FaultName } from './faults';
import { checkpoint, dropFill, fillTo } from './fill';
import { incident } from './incident';
import { asIsOption, end, outputOption, positive, say, standbysOption, words } from './options';
import { nodesOf, setUpStage, type Stage } from './stage';
import { summariseFailovers, type FailoverBenchRun } from './summary';
import { loadTarget } from './target';

interface Options {
  fault: FaultName;
  runs: number;
  clients: number;
  rate: number;
  standbys: 1 | 2;
  during: DuringName;
  /** MB. */
  fill?: number;
  asIs?: boolean;
  output: 'json' | 'text';
}

async function bench(options: Options): Promise<number> {
  const { fault, runs: wanted, clients, rate, standbys, during } = options;
  const fill = fillOf(during, options.fill);
  const { cluster } = loadTarget();
  const mistake = mistakeOf({ during, fault, standbys, fill }, cluster);
  if (mistake !== undefined) {
    say(`Error: ${mistake} [BadInput]`);
    return exitCodes.usage;
  }
  if (during === 'add-standby') await refuseWhatIsThere(nodeToAdd(cluster) ?? '');
  const cleanup = new Cleanup();
  const runs: FailoverBenchRun[] = [];
  try {
    const stage = await setUpStage(cleanup, { ...options, part: partOf(during) });
    if (fill > 0) await fillUp(cleanup, stage, fill, standbys);
    const companion = during === 'none' ? undefined : new Accompaniment(stage, during);
    if (companion !== undefined) cleanup.defer(() => companion.close());
    const injected = faultsOf(stage.target.cluster)[fault];
    for (let index = 0; index < wanted; index++) {
      const { run } = await incident(stage, injected, companion);
      const accompanied = await companion?.leave();
      runs.push(accompanied === undefined ? run : { ...run, during: accompanied });
      say(`${String(index + 1).padStart(3)}/${wanted} ${lineOf(run)}`);
      if (accompanied !== undefined) say(`        ${duringLine(accompanied)}`);
    }
  } finally {
    await cleanup.run();
  }
  const summary = summariseFailovers(runs);
  const parameters = { fault, runs: wanted, clients, rate, standbys, during, fill };
  const document = { version: 1, bench: 'failover', parameters, runs, summary: { failover: summary } };
  if (options.output === 'json') process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
  say(
    `${fault}: gap median ${words(summary.gapMs)}, failed ${summary.failed} (at most ${summary.failedPerClientMax} a client and fault), lost ${summary.lost} of ${summary.acknowledged}, dual-write moments ${summary.dualWriteMoments}`,
  );
  say(
    `  first sign ${words(summary.firstSignMs)}, detect ${words(summary.detectMs)}, fence ${words(summary.fenceMs)}, promote ${words(summary.promoteMs)}, route ${words(summary.routeMs)}; protected again ${words(summary.protectedAgainMs)}`,
  );
  if (summary.underWay !== undefined) say(`  ${during} was under way at ${summary.underWay} of ${summary.runs} faults`);
  const leftAlone = runs.every(({ during: accompanied }) => accompanied?.helped !== true);
  return summary.lost + summary.dualWriteMoments + summary.helped === 0 && leftAlone ? 0 : 1;
}

/** Makes the database large, before anything is measured. */
async function fillUp(cleanup: Cleanup, { target, guarded }: Stage, mb: number, standbys: 1 | 2): Promise<void> {
  say(`Filling the database up to ${mb} MB …`);
  cleanup.defer(() => dropFill(target));
  await fillTo(target, mb * 1024 ** 2);
  const nodes = nodesOf(target, standbys).map(({ name }) => name);
  await checkpoint(await guarded.calm(), nodes);
}

/** A whole number of MB. */
const megabytes = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 100_000)
    throw new InvalidArgumentError('expected a whole number from 0 to 100000');
  return value;
};

function lineOf(run: FailoverBenchRun): string {
  const ms = (value: number | null) => (value === null ? '–' : formatMs(value));
  const how =
    run.failure === null
      ? 'back in place'
      : `${run.failure}, ${run.outcome ?? 'no report'}, rejoin ${run.rejoin ?? '–'}`;
  return `${run.fault} of ${run.node}: gap ${ms(run.gapMs)}  failed ${run.failed} (max ${run.failedPerClientMax})  lost ${run.lost}  dual ${run.dualWriteMoments}  detect ${ms(run.detectMs)}  fence ${ms(run.fenceMs)}  promote ${ms(run.promoteMs)}  route ${ms(run.routeMs)}  protected again ${ms(run.protectedAgainMs)}  (${how}${run.helped ? ', HELPED' : ''})`;
}

const program = new Command('bench:failover')
  .description('Injects a fault into the primary under load, again and again, and measures what its guard makes of it')
  .addOption(new Option('--fault <which>', 'what goes wrong').choices(faultNames).default('kill'))
  .option('--runs <n>', 'faults', positive, 10)
  .option('--clients <n>', 'writers', positive, 8)
  .option('--rate <n>', 'inserts a second of each writer', positive, 50)
  .addOption(standbysOption())
  .addOption(
    new Option('--during <runbook>', 'what is under way when the fault comes').choices(duringNames).default('none'),
  )
  .option('--fill <MB>', 'size of the database (default: 0, and 512 where a copy is under way)', megabytes)
  .addOption(asIsOption())
  .addOption(outputOption())
  .action((options: Options) => end(bench(options)));

void program.parseAsync();
