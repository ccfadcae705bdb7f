import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { Command, Option } from 'commander';
import { observeRedis } from '../activities/redis/observe';
import { formatMs } from '../cluster/duration';
import { redisFindings } from '../cluster/redis/health';
import { answeringSentinels, mastersOf, type SentinelState } from '../cluster/redis/observed';
import type { RedisTopology } from '../cluster/topology';
import { createDockerClient } from '../systems/docker';
import { openControl } from '../systems/redis';
import { readSecret } from '../systems/secrets';
import type { GuardState } from '../workflows/guard-messages';
import type { RedisFailoverInput } from '../workflows/redis-input';
import type { Report } from '../workflows/run-state';
import { Cleanup } from './cleanup';
import { Guarded } from './guarded';
import { stepsOf } from './incident';
import { asIsOption, end, outputOption, positive, say, words } from './options';
import { summariseRedis, type RedisBenchRun } from './redis-summary';
import type { RedisDoor } from './redis-writer';
import { RedisWriters } from './redis-writers';
import { docker } from './shell';
import { Stand } from './stand';
import { ensureStack, loadTarget, whole, type Target } from './target';
import { callInterceptors } from '../systems/temporal-calls';

interface Options {
  mode: RedisBenchRun['kind'];
  runs: number;
  clients: number;
  /** Writes a second of each client. */
  rate: number;
  guard: 'on' | 'off';
  output: 'json' | 'text';
  asIs?: boolean;
}

interface Scene {
  target: Target;
  door: RedisDoor;
  look: Parameters<typeof observeRedis>[0];
}

/** The load runs for this long before anything happens, and after it is over. */
const BEFORE_MS = 1500;
const AFTER_MS = 2000;
/** A killed node is started again by the bench this long after clients write again, where no guard does it. */
const START_AFTER_MS = 1000;
const LIMIT_MS = 120_000;
/** The guard may take this long to say that it acts. */
const GUARD_LIMIT_MS = 10_000;

function sceneOf(target: Target): Scene {
  const { redis } = target.cluster;
  if (redis === undefined) throw new Error('the topology has no Redis: add the section redis');
  return {
    target,
    door: { topology: redis, password: readSecret(redis.passwordFrom, process.env) },
    look: { docker: createDockerClient(), environment: process.env },
  };
}

/** Waits until nodes and Sentinels are as they should be. Returns the master. @throws Error that says what is not */
async function healthy({ look, target, door }: Scene): Promise<string> {
  for (const until = Date.now() + LIMIT_MS; ; await sleep(200)) {
    const observed = await observeRedis(look, target.name, door.topology);
    const findings = redisFindings(door.topology, observed);
    const [master] = mastersOf(observed);
    const unready = answeringSentinels(observed).filter(({ state }) => !fitForFailover(state, door.topology));
    if (findings.length === 0 && unready.length === 0 && master !== undefined) return master.name;
    if (Date.now() > until)
      throw new Error(
        `Redis is not healthy after ${formatMs(LIMIT_MS)}: ${[
          ...findings.map(({ says, measured }) => `${says}: ${measured}`),
          ...unready.map(({ name }) => `${name} does not know every node as reachable`),
        ].join('; ')}`,
      );
  }
}

/** It knows the master and every replica, and thinks none of them down. */
const fitForFailover = ({ master, replicas }: SentinelState, topology: RedisTopology): boolean =>
  [master, ...replicas].every(
    (node) => node?.flags.some((flag) => /down|disconnected|failover/.test(flag)) === false,
  ) && replicas.length >= topology.nodes.length - 1;

/** Waits until another node than `source` takes writes. */
async function masterElsewhere({ door }: Scene, source: string): Promise<void> {
  const others = door.topology.nodes.filter(({ name }) => name !== source);
  for (const until = Date.now() + LIMIT_MS; Date.now() < until; await sleep(50)) {
    for (const { address } of others) {
      const redis = await openControl(address, door.password, 500).catch(() => undefined);
      const role = await redis?.role().catch(() => undefined);
      redis?.disconnect();
      if (role?.[0] === 'master') return;
    }
  }
  throw new Error(`no other node is the master ${formatMs(LIMIT_MS)} after ${source} was`);
}

type Happened = Pick<RedisBenchRun, 'heldMs' | 'detectMs' | 'steps'>;
const nothing: Happened = { heldMs: null, detectMs: null, steps: {} };

async function planned(client: Client, taskQueue: string, source: string, id: string): Promise<Happened> {
  const input: RedisFailoverInput = {
    approval: 'given',
    expectedMaster: source,
    soak: '0s',
    startedBy: 'bench:redis',
    reason: 'bench',
  };
  const report = (await client.workflow.execute('redisFailover', {
    taskQueue,
    workflowId: id,
    args: [input],
  })) as Report;
  return { ...nothing, heldMs: report.heldMs ?? null, steps: stepsOf(report) };
}

/** What a person without a runbook types. */
async function bare({ door }: Scene): Promise<Happened> {
  const [sentinel] = door.topology.sentinels;
  if (sentinel === undefined) throw new Error('the topology has no Sentinel');
  const redis = await openControl(sentinel.address, door.password, 1000);
  try {
    await redis.call('SENTINEL', 'FAILOVER', door.topology.master);
  } finally {
    redis.disconnect();
  }
  return nothing;
}

/** @param guarded who starts the killed node again; where nobody does, the bench does it */
async function kill(scene: Scene, source: string, guarded?: Guarded): Promise<Happened> {
  const killedAt = Date.now();
  await docker('kill', source);
  await masterElsewhere(scene, source);
  if (guarded !== undefined) return whatTheGuardDid(guarded, killedAt);
  await sleep(START_AFTER_MS);
  await docker('start', source);
  return nothing;
}

/** When the guard started its failover, and how long each step of that took. */
async function whatTheGuardDid(guarded: Guarded, killedAt: number): Promise<Happened> {
  const startedSince = ({ events }: GuardState) =>
    events.find(({ at, kind, run }) => at >= killedAt && kind === 'redis run' && run !== undefined);
  // The Sentinels may have been quicker; then the guard starts nothing, or has only the rest to repair.
  const state = await guarded
    .until('the guard starting a run', (now) => startedSince(now) !== undefined, GUARD_LIMIT_MS)
    .catch(() => undefined);
  const started = state === undefined ? undefined : startedSince(state);
  if (started?.run === undefined) return nothing;
  return { ...nothing, detectMs: started.at - killedAt, steps: stepsOf(await guarded.report(started.run)) };
}

async function once(
  scene: Scene,
  options: Options,
  index: number,
  move: (source: string) => Promise<Happened>,
): Promise<RedisBenchRun> {
  const source = await healthy(scene);
  const prefix = `veloz:bench:${process.pid}-${Date.now().toString(36)}-${index}`;
  const writers = new RedisWriters(scene.door, prefix, options.clients, options.rate);
  let happened: Happened;
  let wholeAfterMs: number;
  let target: string;
  try {
    await writers.start();
    await sleep(BEFORE_MS);
    const began = performance.now();
    happened = await move(source);
    await masterElsewhere(scene, source);
    target = await healthy(scene);
    wholeAfterMs = Math.round(performance.now() - began);
    await sleep(AFTER_MS);
  } finally {
    await writers.stop();
  }
  const seen = await writers.result(target);
  return { kind: options.mode, source, target, ...seen, ...happened, wholeAfterMs };
}

/** Temporal and two workers of the bench's own. */
async function stand(cleanup: Cleanup): Promise<{ client: Client; taskQueue: string }> {
  say('Temporal and two workers …');
  const own = await Stand.start(`veloz-ha-bench-${process.pid}`);
  cleanup.defer(() => own.close());
  await Promise.all([own.startWorker(), own.startWorker()]);
  const connection = await Connection.connect({ address: own.address, interceptors: callInterceptors() });
  cleanup.defer(() => connection.close());
  return { client: new Client({ connection }), taskQueue: own.taskQueue };
}

/** What happens to the master, and all that it needs. */
async function mover(scene: Scene, { mode, guard }: Options, cleanup: Cleanup) {
  switch (mode) {
    case 'bare':
      return () => bare(scene);
    case 'kill': {
      if (guard === 'off') return (source: string) => kill(scene, source);
      await whole(scene.target, 1);
      const { client, taskQueue } = await stand(cleanup);
      const guarded = await Guarded.start(client, taskQueue, scene.target.name);
      await guarded.calm();
      return (source: string) => kill(scene, source, guarded);
    }
    case 'planned': {
      const { client, taskQueue } = await stand(cleanup);
      let count = 0;
      return (source: string) =>
        planned(client, taskQueue, source, `redis-failover/bench-${process.pid}-${(count += 1)}`);
    }
  }
}

async function bench(options: Options): Promise<number> {
  const scene = sceneOf(loadTarget());
  if (options.asIs !== true) {
    say('Stack …');
    await ensureStack(1);
  }
  const runs: RedisBenchRun[] = [];
  const cleanup = new Cleanup();
  try {
    const move = await mover(scene, options, cleanup);
    for (let index = 0; index < options.runs; index++) {
      const run = await once(scene, options, index, move);
      runs.push(run);
      say(`${String(index + 1).padStart(3)}/${options.runs} ${story(run)}`);
    }
  } finally {
    await cleanup.run();
  }
  const redis = summariseRedis(runs);
  const { output, asIs: _, ...parameters } = options;
  const document = { version: 1, bench: 'redis', parameters, runs, summary: { redis } };
  if (output === 'json') process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
  say(
    `${options.mode}: failed ${redis.failed} of ${redis.attempts}; lost ${redis.lostWaited} with WAIT, ${redis.lostUnwaited} without; double ${redis.duplicates}; gap median ${words(redis.gapMs)}, slowest median ${words(redis.slowestMs)}`,
  );
  return redis.failed + redis.lost === 0 ? 0 : 1;
}

function story(run: RedisBenchRun): string {
  const held = run.heldMs === null ? '' : `, held ${formatMs(run.heldMs)}`;
  return `${run.kind} of ${run.source}: ${run.acknowledged} of ${run.attempts} writes, failed ${run.failed}, lost ${run.lostWaited} with WAIT and ${run.lostUnwaited} without, double ${run.duplicatesWaited} and ${run.duplicatesUnwaited}; gap ${formatMs(run.gapMs)}, slowest ${formatMs(run.slowestMs)}${held}`;
}

const program = new Command('bench:redis')
  .description(
    'Moves or kills the Redis master under clients that find it through the Sentinels and send again; half of them wait with WAIT 1 for a replica. Every acknowledged write is looked up',
  )
  .addOption(
    new Option('--mode <mode>', 'planned: by redisFailover; kill: docker kill; bare: SENTINEL FAILOVER, for comparison')
      .choices(['planned', 'kill', 'bare'])
      .default('planned'),
  )
  .option('--runs <n>', 'runs', positive, 5)
  .option('--clients <n>', 'clients', positive, 8)
  .option('--rate <n>', 'writes a second of each client', positive, 100)
  .addOption(
    new Option('--guard <state>', 'kill: a guard helps, or the Sentinels are alone')
      .choices(['on', 'off'])
      .default('on'),
  )
  .addOption(asIsOption())
  .addOption(outputOption())
  .addHelpText(
    'after',
    '\nIn the summary, "lost" counts what may not be lost: of planned and bare moves every acknowledged write, of a killed master\nthose that a replica had confirmed. "lostWaited" and "lostUnwaited" tell the two apart.',
  )
  .action((options: Options) => end(bench(options)));

void program.parseAsync();
