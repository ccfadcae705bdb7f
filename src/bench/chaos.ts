import { Client, Connection } from '@temporalio/client';
import { Command, InvalidArgumentError } from 'commander';
import { formatMs } from '../cluster/duration';
import { BoundedDisks } from './bounded-disks';
import { chaosSummary, falseClaims, isClean, type Loss, type Round } from './chaos/account';
import { allReports, Applied, drawn, healthy, playRound, type Campaign } from './chaos/campaign';
import { claimOf } from './chaos/claims';
import { Looker } from './chaos/health';
import { help, startOver } from './chaos/help';
import { placesOf } from './chaos/places';
import { Processes } from './chaos/processes';
import { parseActions, type Action } from './chaos/schedule';
import { Watchers, type WatcherOptions } from './chaos/watchers';
import { Cleanup } from './cleanup';
import { Guarded } from './guarded';
import { asIsOption, end, outputOption, positive, say, standbysOption, words } from './options';
import { Stand } from './stand';
import { OwnClocks } from './own-clocks';
import { ensureStack, loadTarget, whole } from './target';
import { callInterceptors } from '../systems/temporal-calls';

interface Options {
  minutes: number;
  rounds?: number;
  round?: number;
  seed: number;
  only: string[];
  do?: Action[];
  clients: number;
  rate: number;
  standbys: 1 | 2;
  postgresOnly?: boolean;
  disks?: boolean;
  clocks?: boolean;
  asIs?: boolean;
  output: 'json' | 'text';
}

/** After a start the guard may take this long until it says protected. */
const CALM_LIMIT_MS = 120_000;

const tell = (text: string): void => say(`${new Date().toISOString().slice(11, 23)} ${text}`);

async function setUp(cleanup: Cleanup, options: Options): Promise<Campaign> {
  // Each starts the containers anew in its own way.
  if (options.disks === true && options.clocks === true)
    throw new Error('--disks and --clocks do not go together. Next: one campaign with each');
  const target = loadTarget();
  const { standbys } = options;
  const whole_ = options.postgresOnly !== true;
  const nodes = target.cluster.postgres.nodes.filter((node) => standbys === 2 || !node.optional);
  if (options.asIs !== true) {
    tell(`stack with ${standbys} standby${standbys === 1 ? '' : 's'} …`);
    await ensureStack(standbys, whole_ ? 'all of it' : 'postgres');
  }
  let disks: BoundedDisks | undefined;
  if (options.disks === true) {
    tell('small disks, with empty databases, for as long as the campaign runs …');
    const names = nodes.map(({ name }) => name);
    const entered = await BoundedDisks.enter(
      names,
      target.cluster.pgbouncer.nodes.map(({ name }) => name),
      standbys,
    );
    cleanup.defer(() => entered.leave());
    disks = entered;
  }
  // An engine takes no orders of another database than its own.
  const redis = whole_ && disks === undefined && target.cluster.redis !== undefined;
  const engines = whole_ && disks === undefined && target.cluster.engines !== undefined;
  let clocks: OwnClocks | undefined;
  if (options.clocks === true) {
    tell('clocks of its own for each container and worker, for as long as the campaign runs …');
    const places = placesOf(target.cluster, standbys, []);
    const taken = (place: string) =>
      (redis || !/redis|sentinel/.test(place)) && (engines || !/engine|haproxy/.test(place));
    const names = Object.keys(places).filter(taken);
    const entered = await OwnClocks.enter(names.map((place) => places[place] ?? ''));
    cleanup.defer(() => entered.leave());
    clocks = entered;
  }
  await whole(target, standbys);
  tell('Temporal, two workers and the guard …');
  const stand = await Stand.start(`veloz-ha-bench-${process.pid}`);
  cleanup.defer(() => stand.close());
  const processes = new Processes(stand, clocks);
  await processes.complete();
  const connection = await Connection.connect({ address: stand.address, interceptors: callInterceptors() });
  cleanup.defer(() => connection.close());
  const client = new Client({ connection });
  const guarded = await Guarded.start(client, stand.taskQueue, target.name);
  await guarded.calm(CALM_LIMIT_MS);
  const means = { redis, engines, disks: disks !== undefined, clocks: clocks !== undefined };
  const looker = new Looker(target, means);
  const { seed, only } = options;
  return { target, client, stand, processes, guarded, looker, standbys, means, disks, clocks, seed, only, tell };
}

async function bench(options: Options): Promise<number> {
  const cleanup = new Cleanup();
  const rounds: Round[] = [];
  const began = Date.now();
  let foundLate: Loss[] = [];
  let reports: Awaited<ReturnType<typeof allReports>> = [];
  let broken: string | undefined;
  const interrupted = () => {
    say('Interrupted. What the rounds came to, without a look at the reports and at all of it once more:');
    for (const line of summaryLines(chaosSummary(rounds, []), 0)) say(line);
  };
  process.once('SIGINT', interrupted);
  try {
    const campaign = await setUp(cleanup, options);
    const { target, means } = campaign;
    const { clients, rate, standbys } = options;
    const watched: WatcherOptions = { clients, rate, standbys, orders: means.engines, redis: means.redis };
    const watch = async (): Promise<Watchers> => {
      const started = new Watchers(target, watched, `${process.pid}-${Date.now().toString(36)}`);
      cleanup.defer(() => started.stop());
      await started.start();
      return started;
    };
    let watchers = await watch();
    const applied = new Applied();
    cleanup.defer(() => applied.close(tell));
    const containers = Object.values(placesOf(target.cluster, standbys, []));

    const first = await healthy(campaign, watchers);
    if ('amiss' in first)
      throw new Error(`the cluster is not healthy before the first round: ${first.amiss.join('; ')}`);
    const until = Date.now() + options.minutes * 60_000;
    const isOver = () => (options.rounds === undefined ? Date.now() > until : rounds.length >= options.rounds);
    for (let number = options.round ?? 1; !isOver(); number += options.round === undefined ? 1 : 0) {
      const actions = options.do ?? drawn(campaign, number);
      let isBeyondHelp = false;
      const now = watchers;
      const played = await playRound(campaign, now, applied, number, actions, async () => {
        const helped = await help(campaign, now, containers);
        isBeyondHelp = helped === undefined;
        return helped ?? 'nothing';
      });
      rounds.push(played);
      if (!isClean(chaosSummary([played], []))) await tellHowToRepeat(campaign, options, played);
      if (!isBeyondHelp) continue;
      if (campaign.disks !== undefined) {
        broken = `round ${number} left a cluster that neither repair nor a start of every container mended`;
        break;
      }
      tell('  nothing helped: the stack is emptied and started anew');
      await now.stop();
      campaign.guarded = await startOver(campaign);
      watchers = await watch();
    }
    foundLate = await watchers.lookUpAll();
    for (const { says } of foundLate.slice(0, 10)) tell(`LOST, found at the end: ${says}`);
    reports = await allReports(campaign, began);
  } finally {
    await cleanup.run();
    process.off('SIGINT', interrupted);
  }
  const claims = reports.flatMap((report) => claimOf(report) ?? []);
  const chaos = chaosSummary(rounds, claims, foundLate);
  const told = falseClaims(claims, [...rounds.flatMap(({ lost, aloneLost }) => [...lost, ...aloneLost]), ...foundLate]);
  for (const { run, says } of told) tell(`FALSELY TOLD by ${run}: ${says}`);
  const { output, asIs: _, do: given, ...rest } = options;
  const document = {
    version: 1,
    bench: 'chaos',
    parameters: { ...rest, ...(given === undefined ? {} : { do: given }) },
    rounds,
    claims: claims.length,
    falselyTold: told,
    summary: { chaos },
    ...(broken === undefined ? {} : { broken }),
  };
  if (output === 'json') process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
  for (const line of summaryLines(chaos, claims.length)) say(line);
  if (broken !== undefined) say(`Error: ${broken}`);
  return isClean(chaos) && broken === undefined ? 0 : 1;
}

/** A campaign's end in words, for people. */
function summaryLines(chaos: ReturnType<typeof chaosSummary>, claims: number): string[] {
  return [
    `${chaos.rounds} rounds, ${chaos.faults} faults: ${chaos.acknowledged} rows acknowledged, lost ${chaos.lost}, dual ${chaos.dualWrites}; ${chaos.ordersAcknowledged} orders, lost ${chaos.ordersLost}, double ${chaos.ordersDouble}; ${chaos.redisAcknowledged} writes to Redis, lost ${chaos.redisLost}; falsely told ${chaos.falselyTold} of ${claims}; needed help ${chaos.needsHelp}; SQLSTATE 25006 ${chaos.readOnlyErrors}`,
    `  worst gap ${formatMs(chaos.worstGapMs)}, protected again ${words(chaos.protectedAgainMs)}`,
  ];
}

/** Says of a round that was not clean how it is played again alone, and what the guard said meanwhile. */
async function tellHowToRepeat(
  { guarded }: Campaign,
  { seed, standbys, postgresOnly, disks, clocks }: Options,
  { round, began, did, runs }: Round,
): Promise<void> {
  const state = await guarded.state().catch(() => undefined);
  for (const { at, kind, says } of state?.events.filter((event) => event.at >= began) ?? [])
    tell(`  guard ${new Date(at).toISOString().slice(11, 23)} ${kind}: ${says}`);
  for (const run of runs) tell(`  run ${run}`);
  const further = `${standbys === 2 ? ' --standbys 2' : ''}${postgresOnly === true ? ' --postgres-only' : ''}${disks === true ? ' --disks' : ''}${clocks === true ? ' --clocks' : ''}`;
  tell(`  again: npm run -s bench:chaos -- --rounds 1 --seed ${seed} --round ${round}${further}`);
  tell(`  or:    npm run -s bench:chaos -- --rounds 1 --do ${did}${further}`);
}

const whole0 = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError('expected a whole number');
  return value;
};
const names = (text: string): string[] => text.split(',').map((name) => name.trim());
const actions = (text: string): Action[] => {
  try {
    return parseActions(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
};

const program = new Command('bench:chaos')
  .description(
    'Random faults and runbooks, one to three at a time, on every tier, the workers and Temporal, under clients of every tier. Every acknowledged write is looked up',
  )
  .option('--minutes <n>', 'rounds are begun for this long', positive, 10)
  .option('--rounds <n>', 'this many rounds, instead of --minutes', positive)
  .option('--seed <n>', 'the same seed draws the same sequence', whole0, 1)
  .option('--round <n>', 'only this round of the seed, again and again', positive)
  .option('--only <names>', 'draw from these alone: "kill,freeze:standby,switchover:terminated"', names, [])
  .option(
    '--do <actions>',
    'do exactly this in every round: "kill:primary@0+5000,freeze:pooler@800+3000" (ms)',
    actions,
  )
  .option('--clients <n>', 'writers through the pooler', positive, 4)
  .option('--rate <n>', 'rows a second of each of them', positive, 20)
  .option('--postgres-only', 'leave Redis, the engines and HAProxy alone, and unwatched')
  .option(
    '--disks',
    'small disks of the bench for PostgreSQL, which are filled and made to hang; implies --postgres-only',
  )
  .option('--clocks', 'wall clocks of its own for each container and worker, which are stepped ahead and back')
  .addOption(standbysOption())
  .addOption(asIsOption())
  .addOption(outputOption())
  .action((options: Options) => end(bench(options)));

void program.parseAsync();
