import { Command } from 'commander';
import { formatMs } from '../cluster/duration';
import { formatSize } from '../cluster/size';
import { Cleanup } from './cleanup';
import { faultsOf, type Fault } from './faults';
import { dropFill, fillTo, insertRows } from './fill';
import { incident, stepsOf } from './incident';
import { asIsOption, end, outputOption, positive, say, words } from './options';
import { docker } from './shell';
import { nodesOf, setUpStage } from './stage';
import { summariseRejoins, type RejoinBenchRun } from './summary';
import type { Target } from './target';

interface Options {
  runs: number;
  sizeMb: number;
  clients: number;
  rate: number;
  asIs?: boolean;
  output: 'json' | 'text';
}

/** 48 MB of rows. */
const DIVERGED_ROWS = 48_000;
const BACKUP = '/var/lib/postgresql/veloz-bench-backup';

/**
 * The primary is killed with rows of its own: committed by itself alone while the standby's receiver was stopped, more of them than
 * sockets buffer. Nobody was told that they are synchronous; a rewind has to undo them.
 */
function killDiverged(target: Target): Fault {
  const { kill } = faultsOf(target.cluster);
  const psql = async (node: string, sql: string) =>
    (
      await docker('exec', node, 'psql', '-U', 'postgres', '-d', target.cluster.postgres.database, '-XAtqc', sql)
    ).trim();
  return {
    ...kill,
    says: 'its container is killed, with rows that no standby has',
    async inject(node) {
      const standby = nodesOf(target, 1).find(({ name }) => name !== node)?.name ?? '';
      const receiver = await psql(standby, 'SELECT pid FROM pg_stat_wal_receiver');
      const signal = (name: string) => docker('exec', standby, 'sh', '-c', `kill -${name} ${receiver}`);
      await signal('STOP');
      try {
        await psql(node, `SET synchronous_commit = local; ${insertRows(DIVERGED_ROWS)}`);
        await kill.inject(node);
      } finally {
        // The standby's agent may have woken it by now, and its promotion ended it.
        await signal('CONT').catch(() => undefined);
      }
    },
  };
}

/** `pg_basebackup` alone, as the agent calls it, from the primary onto the other node's volume. Returns milliseconds. */
async function baseBackup(primary: string, node: string): Promise<number> {
  const inside = (script: string) => docker('exec', '--user', 'postgres', node, 'sh', '-c', script);
  await inside(`rm -rf ${BACKUP}`);
  const began = performance.now();
  await inside(
    `pg_basebackup -d "host=${primary} port=5432 user=$VELOZ_PG_REPL_USER" -D ${BACKUP} -X stream -c fast -w`,
  );
  const ms = Math.round(performance.now() - began);
  await inside(`rm -rf ${BACKUP}`);
  return ms;
}

async function bench(options: Options): Promise<number> {
  const cleanup = new Cleanup();
  const runs: RejoinBenchRun[] = [];
  let databaseBytes = 0;
  let lost = 0;
  try {
    const stage = await setUpStage(cleanup, { ...options, standbys: 1 });
    const { target, guarded } = stage;
    say(`Filling the database up to ${options.sizeMb} MB …`);
    cleanup.defer(() => dropFill(target));
    databaseBytes = await fillTo(target, options.sizeMb * 1024 ** 2);
    const fault = killDiverged(target);
    const tell = (run: RejoinBenchRun) => {
      runs.push(run);
      say(
        `${run.kind.padEnd(13)} of ${run.node}: ${formatMs(run.ms)}${run.protectedAgainMs === null ? '' : `, protected again after ${formatMs(run.protectedAgainMs)}`}${run.bytes === null ? '' : `, ${formatSize(run.bytes)}`}${run.method === null || run.method === run.kind ? '' : ` (by ${run.method})`}`,
      );
    };
    for (let index = 0; index < options.runs; index++) {
      const { run, report } = await incident(stage, fault);
      lost += run.lost;
      const back = report?.rejoin;
      tell({
        kind: 'rewind',
        node: run.node,
        ms: back?.ms ?? run.totalMs,
        protectedAgainMs: run.protectedAgainMs,
        bytes: back?.bytes ?? null,
        method: back?.method ?? null,
        steps: stepsOf(report),
      });

      const primary = await guarded.calm();
      tell({
        kind: 'pg_basebackup',
        node: run.node,
        ms: await baseBackup(primary, run.node),
        protectedAgainMs: null,
        bytes: databaseBytes,
        method: null,
        steps: {},
      });

      const began = Date.now();
      const copied = await guarded.rejoin({ node: run.node, method: 'copy' });
      if (copied?.outcome.startsWith('completed') !== true)
        throw new Error(`the copy did not end well: ${copied?.says ?? 'it left no report'}`);
      await guarded.calm();
      tell({
        kind: 'copy',
        node: run.node,
        ms: copied.rejoin?.ms ?? Date.now() - began,
        protectedAgainMs: copied.protectedAgainMs ?? Date.now() - began,
        bytes: copied.rejoin?.bytes ?? null,
        method: copied.rejoin?.method ?? null,
        steps: stepsOf(copied),
      });
    }
  } finally {
    await cleanup.run();
  }
  const summary = summariseRejoins(runs);
  const { output, asIs: _, ...parameters } = options;
  const document = {
    version: 1,
    bench: 'rejoin',
    parameters: { ...parameters, databaseBytes },
    runs,
    summary: { ...summary, lost },
  };
  if (output === 'json') process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
  const { rewind, copy, pgBasebackup, ratio } = summary;
  say(`database of ${formatSize(databaseBytes)}`);
  say(`rewind: ${words(rewind.ms)}, protected again ${words(rewind.protectedAgainMs)} after the kill, lost ${lost}`);
  say(
    `copy:   ${words(copy.ms)}, protected again ${words(copy.protectedAgainMs)}; pg_basebackup alone ${words(pgBasebackup.ms)}, ratio ${ratio}`,
  );
  return lost === 0 ? 0 : 1;
}

const program = new Command('bench:rejoin')
  .description('Measures how a killed primary comes back: by rewind, and by a full copy beside pg_basebackup alone')
  .option('--runs <n>', 'runs of each kind', positive, 5)
  .option('--size-mb <n>', 'size of the database in MB', (text) => Number(text), 1024)
  .option('--clients <n>', 'writers', positive, 8)
  .option('--rate <n>', 'inserts a second of each writer', positive, 50)
  .addOption(asIsOption())
  .addOption(outputOption())
  .action((options: Options) => end(bench(options)));

void program.parseAsync();
