import { Command, Option } from 'commander';
import { formatMs } from '../cluster/duration';
import { Cleanup } from './cleanup';
import { faultNames, faultsOf, type FaultName } from './faults';
import { incident } from './incident';
import { asIsOption, end, outputOption, positive, say, standbysOption, words } from './options';
import { setUpStage } from './stage';
import { summariseFailovers, type FailoverBenchRun } from './summary';

interface Options {
  fault: FaultName;
  runs: number;
  clients: number;
  rate: number;
  standbys: 1 | 2;
  asIs?: boolean;
  output: 'json' | 'text';
}

async function bench(options: Options): Promise<number> {
  const { fault, runs: wanted, clients, rate, standbys } = options;
  const cleanup = new Cleanup();
  const runs: FailoverBenchRun[] = [];
  try {
    const stage = await setUpStage(cleanup, options);
    const injected = faultsOf(stage.target.cluster)[fault];
    for (let index = 0; index < wanted; index++) {
      const { run } = await incident(stage, injected);
      runs.push(run);
      say(`${String(index + 1).padStart(3)}/${wanted} ${lineOf(run)}`);
    }
  } finally {
    await cleanup.run();
  }
  const summary = summariseFailovers(runs);
  const parameters = { fault, runs: wanted, clients, rate, standbys };
  const document = { version: 1, bench: 'failover', parameters, runs, summary: { failover: summary } };
  if (options.output === 'json') process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
  say(
    `${fault}: gap median ${words(summary.gapMs)}, failed ${summary.failed} (at most ${summary.failedPerClientMax} a client and fault), lost ${summary.lost} of ${summary.acknowledged}, dual-write moments ${summary.dualWriteMoments}`,
  );
  say(
    `  first sign ${words(summary.firstSignMs)}, detect ${words(summary.detectMs)}, fence ${words(summary.fenceMs)}, promote ${words(summary.promoteMs)}, route ${words(summary.routeMs)}; protected again ${words(summary.protectedAgainMs)}`,
  );
  return summary.lost + summary.dualWriteMoments + summary.helped === 0 ? 0 : 1;
}

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
  .addOption(asIsOption())
  .addOption(outputOption())
  .action((options: Options) => end(bench(options)));

void program.parseAsync();
