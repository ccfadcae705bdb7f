import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { formatMs } from '../cluster/duration';
import type { GuardEvent } from '../workflows/guard-messages';
import { Cleanup } from './cleanup';
import { CpuMeter } from './cpu-time';
import { freeze } from './faults';
import { failoversSince, Guarded } from './guarded';
import { asIsOption, end, outputOption, positive, say, standbysOption } from './options';
import { nodesOf, setUpStage, setUpWorkers, type Stage } from './stage';
import { burnCpu, burnDisk } from './stress';

interface Options {
  minutes: number;
  idle?: boolean;
  freezeEvery: number;
  burners?: number;
  clients: number;
  rate: number;
  standbys: 1 | 2;
  asIs?: boolean;
  output: 'json' | 'text';
}

const FREEZE_MS = 2000;
/** What the parts use without a guard is measured for this long beforehand. */
const BASELINE_MS = 30_000;

/** How often the guard said what, from events that are looked at before it forgets them. */
class EventCount {
  private last = Date.now();
  readonly counts: Partial<Record<GuardEvent['kind'], number>> = {};
  readonly told: string[] = [];
  /** Workflow ids of the failovers that it started. */
  readonly failovers = new Set<string>();
  private readonly since = Date.now();

  async look(guarded: Guarded): Promise<void> {
    const state = await guarded.state().catch(() => undefined);
    if (state !== undefined) for (const run of failoversSince(state, this.since)) this.failovers.add(run);
    for (const event of state?.events ?? []) {
      if (event.at <= this.last) continue;
      this.counts[event.kind] = (this.counts[event.kind] ?? 0) + 1;
      this.told.push(`${new Date(event.at).toISOString()} ${event.kind}: ${event.says}`);
      say(this.told.at(-1) ?? '');
    }
    this.last = Math.max(this.last, ...(state?.events ?? []).map(({ at }) => at));
  }
}

/** Process ids of what the bench started, by a name for each. */
function pidsOf({ stand, workers }: Pick<Stage, 'stand' | 'workers'>): Record<string, number> {
  const pids: Record<string, number> = {};
  workers.forEach(({ process }, index) => (pids[`worker ${index + 1}`] = process.pid ?? 0));
  if (stand.serverPid !== undefined) pids.temporal = stand.serverPid;
  return pids;
}

/** What the guard costs where nothing happens: CPU, and history. */
async function idle(options: Options): Promise<number> {
  const cleanup = new Cleanup();
  try {
    const stage = await setUpWorkers(cleanup, options);
    const { target, client, stand } = stage;
    const containers = [...nodesOf(target, options.standbys), ...target.cluster.pgbouncer.nodes].map(
      ({ name }) => name,
    );
    say(`Without a guard, for ${formatMs(BASELINE_MS)} …`);
    await sleep(5000);
    const without = await CpuMeter.begin(pidsOf(stage), containers);
    await sleep(BASELINE_MS);
    const cpuWithout = await without.percent();
    const guarded = await Guarded.start(client, stand.taskQueue, target.name);
    await guarded.calm();
    await sleep(5000);
    say(`With the guard, for ${options.minutes} min …`);
    const eventsBefore = await guarded.historyLength();
    const meter = await CpuMeter.begin(pidsOf(stage), containers);
    await sleep(options.minutes * 60_000);
    const cpuWith = await meter.percent();
    const eventsAfter = await guarded.historyLength();
    const total = (percent: Record<string, number>, named: RegExp) =>
      Object.entries(percent).reduce((sum, [name, value]) => sum + (named.test(name) ? value : 0), 0);
    const added = (named: RegExp) => Math.round((total(cpuWith, named) - total(cpuWithout, named)) * 100) / 100;
    const summary = {
      minutes: options.minutes,
      cpuPercentWithout: cpuWithout,
      cpuPercentWith: cpuWith,
      guardCpuPercent: {
        workers: added(/^worker/),
        temporal: added(/^temporal/),
        containers: added(/^(?!worker|temporal)/),
        all: added(/./),
      },
      history: { before: eventsBefore, after: eventsAfter, grewBy: eventsAfter - eventsBefore },
    };
    write(options, summary);
    const { guardCpuPercent: cpu, history } = summary;
    say(
      `guard on an idle cluster: ${cpu.workers} % of a core in the workers (and ${cpu.containers} % in the containers, ${cpu.temporal} % in Temporal); history grew by ${history.grewBy} events in ${options.minutes} min`,
    );
    return 0;
  } finally {
    await cleanup.run();
  }
}

/** Whether anything fails over that is only slow. */
async function loaded(options: Options): Promise<number> {
  const cleanup = new Cleanup();
  try {
    const stage = await setUpStage(cleanup, options);
    const { guarded, writers, target } = stage;
    const primary = await guarded.calm();
    const meter = await CpuMeter.begin(pidsOf(stage), []);
    const events = new EventCount();
    const historyBefore = await guarded.historyLength();
    writers.beginWindow();
    cleanup.defer(burnCpu(options.burners));
    const endDisk = burnDisk(async () => (await guarded.state()).ledger.primary ?? primary);
    cleanup.defer(endDisk);
    say(
      `Cores busy, the primary's disk busy, the guard's worker frozen for 2 s every ${options.freezeEvery} s, for ${options.minutes} min …`,
    );
    let freezes = 0;
    const began = Date.now();
    const until = began + options.minutes * 60_000;
    let nextFreeze = began + options.freezeEvery * 1000;
    while (Date.now() < until) {
      await sleep(1000);
      await events.look(guarded);
      if (Date.now() < nextFreeze) continue;
      nextFreeze += options.freezeEvery * 1000;
      const frozen = await freezeWatcher(stage);
      if (frozen) freezes += 1;
    }
    const seen = await writers.endWindow();
    await events.look(guarded);
    const state = await guarded.state();
    const failovers = events.failovers.size;
    const summary = {
      minutes: options.minutes,
      failovers,
      primaryFailed: events.counts['primary failed'] ?? 0,
      suspicions: events.counts['in doubt'] ?? 0,
      events: events.counts,
      freezes,
      samePrimary: state.ledger.primary === primary,
      acknowledged: seen.acknowledged,
      failed: seen.failed,
      lost: seen.lost,
      gapMs: seen.gapMs,
      cpuPercent: await meter.percent(),
      history: { before: historyBefore, after: await guarded.historyLength() },
      told: events.told,
    };
    write(options, summary);
    say(
      `${options.minutes} min: ${failovers} failovers of ${target.name}, ${summary.suspicions} suspicions, ${freezes} freezes; ${seen.acknowledged} acknowledged, ${seen.failed} failed, ${seen.lost} lost, longest gap ${formatMs(seen.gapMs)}`,
    );
    return failovers === 0 && seen.lost === 0 ? 0 : 1;
  } finally {
    await cleanup.run();
  }
}

/** Freezes the worker that watches now. */
async function freezeWatcher({ guarded, workers }: Stage): Promise<boolean> {
  const identity = await guarded.watcher();
  const worker = workers.find(({ process }) => identity?.startsWith(`${process.pid}@`));
  if (worker === undefined) return false;
  await freeze(worker.process, FREEZE_MS);
  return true;
}

function write(options: Options, steady: object): void {
  const { output, asIs: _, ...parameters } = options;
  if (output !== 'json') return;
  process.stdout.write(
    `${JSON.stringify({ version: 1, bench: 'steady', parameters, summary: { steady } }, null, 2)}\n`,
  );
}

const program = new Command('bench:steady')
  .description('Whether the guard leaves a cluster alone that is only slow; with --idle: what it costs')
  .option('--minutes <n>', 'how long', positive, 30)
  .option('--idle', 'no load at all: measure CPU and history')
  .option('--freeze-every <seconds>', "freeze the guard's worker for 2 s this often", positive, 60)
  .option('--burners <n>', 'processes that keep a core busy each (default: as many as there are cores)', positive)
  .option('--clients <n>', 'writers', positive, 8)
  .option('--rate <n>', 'inserts a second of each writer', positive, 50)
  .addOption(standbysOption())
  .addOption(asIsOption())
  .addOption(outputOption())
  .action((options: Options) => end(options.idle === true ? idle(options) : loaded(options)));

void program.parseAsync();
