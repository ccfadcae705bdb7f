import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { Command, Option } from 'commander';
import { formatMs } from '../cluster/duration';
import type { EnginesTopology, HaproxyTopology } from '../cluster/topology';
import { createEngineClient, type EngineHealthAnswer } from '../systems/engine';
import { readSecret } from '../systems/secrets';
import type { EngineSwitchoverInput } from '../workflows/engine-input';
import type { SwitchoverInput } from '../workflows/switchover-input';
import type { Report } from '../workflows/run-state';
import { summariseEngines, type EngineBenchRun } from './engine-summary';
import { asIsOption, end, outputOption, positive, say, words } from './options';
import { OrderLoad, ordersOf } from './order-load';
import { docker, inspect } from './shell';
import { Stand } from './stand';
import { ensureStack, loadTarget, type Target } from './target';
import { callInterceptors } from '../systems/temporal-calls';

interface Options {
  mode: EngineBenchRun['kind'];
  runs: number;
  rate: number;
  /** Seconds for which an engine is frozen. */
  freeze: number;
  output: 'json' | 'text';
  asIs?: boolean;
}

interface Scene {
  target: Target;
  engines: EnginesTopology;
  haproxy: HaproxyTopology;
}

/** The load runs for this long before anything happens, and after it is over. */
const BEFORE_MS = 1500;
const AFTER_MS = 3000;
const WHOLE_LIMIT_MS = 60_000;

function sceneOf(target: Target): Scene {
  const { engines, haproxy } = target.cluster;
  if (engines === undefined || haproxy === undefined)
    throw new Error('the topology has no engines behind a HAProxy: add the sections engines and haproxy');
  return { target, engines, haproxy };
}

const token = () => readSecret('VELOZ_ENGINE_ADMIN_TOKEN', process.env);

function healths({ engines }: Scene): Promise<(EngineHealthAnswer | undefined)[]> {
  return Promise.all(
    engines.nodes.map(({ address }) =>
      createEngineClient(address, token)
        .health()
        .catch(() => undefined),
    ),
  );
}

/** Who is active and in which epoch, once one is and another one could take over. */
async function whole(scene: Scene): Promise<{ active: EngineHealthAnswer; standby: EngineHealthAnswer }> {
  for (const until = performance.now() + WHOLE_LIMIT_MS; ; await sleep(100)) {
    const seen = (await healths(scene)).filter((health) => health !== undefined);
    const [active, ...more] = seen.filter(({ role }) => role === 'active');
    const standby = seen.find(({ role, httpStatus }) => role === 'standby' && httpStatus === 200);
    if (active !== undefined && more.length === 0 && standby !== undefined) return { active, standby };
    if (performance.now() > until)
      throw new Error(
        `the engines are not whole after ${formatMs(WHOLE_LIMIT_MS)}: ${seen.map(({ node, role, status }) => `${node} ${role}, ${status}`).join('; ') || 'none answers'}`,
      );
  }
}

/** Milliseconds until another engine than `source` is active. */
async function activeElsewhere(scene: Scene, source: string, epoch: number): Promise<number | null> {
  const began = performance.now();
  const others = { ...scene, engines: { nodes: scene.engines.nodes.filter(({ name }) => name !== source) } };
  while (performance.now() - began < WHOLE_LIMIT_MS) {
    const seen = await healths(others);
    if (seen.some((health) => health?.role === 'active' && health.epoch > epoch))
      return Math.round(performance.now() - began);
    await sleep(10);
  }
  return null;
}

type Happened = Pick<EngineBenchRun, 'heldMs' | 'activeAfterMs' | 'staleWrites' | 'steps'>;
const nothing: Happened = { heldMs: null, activeAfterMs: null, staleWrites: null, steps: {} };

const stepsOf = (report: Report) =>
  Object.fromEntries(
    report.steps.flatMap((step) => [
      [step.id, step.ms ?? 0] as const,
      ...(step.subSteps ?? []).map((part) => [`${step.id}.${part.id}`, part.ms] as const),
    ]),
  );

async function planned(client: Client, taskQueue: string, source: string, to: string, id: string): Promise<Happened> {
  const input: EngineSwitchoverInput = {
    approval: 'given',
    target: to,
    expectedActive: source,
    soak: '0s',
    startedBy: 'bench:engine',
    reason: 'bench',
  };
  const report = (await client.workflow.execute('engineSwitchover', {
    taskQueue,
    workflowId: id,
    args: [input],
  })) as Report;
  return { ...nothing, heldMs: report.heldMs ?? null, steps: stepsOf(report) };
}

/** A switchover of PostgreSQL under the same orders. */
async function postgres(client: Client, taskQueue: string, id: string): Promise<Happened> {
  const input: SwitchoverInput = { approval: 'given', soak: '0s', startedBy: 'bench:engine', reason: 'bench' };
  const report = (await client.workflow.execute('switchover', { taskQueue, workflowId: id, args: [input] })) as Report;
  return { ...nothing, heldMs: report.heldMs ?? null, steps: stepsOf(report) };
}

async function kill(scene: Scene, source: string, epoch: number): Promise<Happened> {
  const elsewhere = activeElsewhere(scene, source, epoch);
  await docker('kill', '--signal', 'KILL', source);
  const activeAfterMs = await elsewhere;
  await sleep(1000);
  await docker('start', source);
  return { ...nothing, activeAfterMs };
}

async function freeze(scene: Scene, source: string, epoch: number, seconds: number): Promise<Happened> {
  const { door, login } = scene.target;
  const elsewhere = activeElsewhere(scene, source, epoch);
  await docker('pause', source);
  let before: number;
  let activeAfterMs: number | null;
  try {
    activeAfterMs = await elsewhere;
    await sleep(Math.max(1000, seconds * 1000 - (activeAfterMs ?? 0)));
    before = await ordersOf(door, login, source, epoch);
  } finally {
    if ((await inspect(source, '{{.State.Paused}}')) === 'true') await docker('unpause', source);
  }
  await sleep(2000);
  return { ...nothing, activeAfterMs, staleWrites: (await ordersOf(door, login, source, epoch)) - before };
}

async function once(
  scene: Scene,
  options: Options,
  index: number,
  move: (source: string, to: string, epoch: number) => Promise<Happened>,
): Promise<EngineBenchRun> {
  const { target, haproxy } = scene;
  const { active, standby } = await whole(scene);
  const load = new OrderLoad(haproxy.address, `bench-${process.pid}-${Date.now().toString(36)}-${index}`, options.rate);
  load.start();
  let happened: Happened;
  try {
    await sleep(BEFORE_MS);
    happened = await move(active.node, standby.node, active.epoch);
    await sleep(AFTER_MS);
  } finally {
    await load.stop();
  }
  const result = await load.result(target.door, target.login);
  return { kind: options.mode, source: active.node, target: standby.node, ...result, ...happened };
}

async function bench(options: Options): Promise<number> {
  const scene = sceneOf(loadTarget());
  if (options.asIs !== true) {
    say('Stack …');
    await ensureStack(1, 'all of it');
  }
  await whole(scene);
  const runs: EngineBenchRun[] = [];
  let stand: Stand | undefined;
  let connection: Connection | undefined;
  try {
    let move: (source: string, to: string, epoch: number, index: number) => Promise<Happened>;
    if (options.mode === 'planned' || options.mode === 'postgres') {
      say('Temporal and two workers …');
      stand = await Stand.start(`veloz-ha-bench-${process.pid}`);
      const { taskQueue } = stand;
      await Promise.all([stand.startWorker(), stand.startWorker()]);
      connection = await Connection.connect({ address: stand.address, interceptors: callInterceptors() });
      const client = new Client({ connection });
      const id = (runbook: string, index: number) => `${runbook}/bench-${process.pid}-${index}`;
      move =
        options.mode === 'planned'
          ? (source, to, _epoch, index) => planned(client, taskQueue, source, to, id('engine-switchover', index))
          : (_source, _to, _epoch, index) => postgres(client, taskQueue, id('switchover', index));
    } else if (options.mode === 'kill') move = (source, _to, epoch) => kill(scene, source, epoch);
    else move = (source, _to, epoch) => freeze(scene, source, epoch, options.freeze);
    for (let index = 0; index < options.runs; index++) {
      const run = await once(scene, options, index, (source, to, epoch) => move(source, to, epoch, index));
      runs.push(run);
      say(
        `${String(index + 1).padStart(3)}/${options.runs} ${run.kind} of ${run.source}: ${run.acknowledged} of ${run.attempts} orders, failed ${run.failed}, lost ${run.lost}, double ${run.duplicates}; gap ${formatMs(run.gapMs)}, slowest ${formatMs(run.slowestMs)}${run.heldMs === null ? '' : `, held ${formatMs(run.heldMs)}`}${run.staleWrites === null ? '' : `, written after waking ${run.staleWrites}`}`,
      );
    }
  } finally {
    await connection?.close();
    await stand?.close();
  }
  const engine = summariseEngines(runs);
  const { output, asIs: _, ...parameters } = options;
  const document = { version: 1, bench: 'engine', parameters, runs, summary: { engine } };
  if (output === 'json') process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
  say(
    `${options.mode}: failed ${engine.failed} of ${engine.attempts}, lost ${engine.lost}, double ${engine.duplicates}; gap median ${words(engine.gapMs)}, slowest median ${words(engine.slowestMs)}`,
  );
  return engine.failed + engine.lost + engine.duplicates + engine.staleWrites === 0 ? 0 : 1;
}

const program = new Command('bench:engine')
  .description('Moves, kills or freezes the active engine under orders through HAProxy, and looks every order up')
  .addOption(
    new Option('--mode <mode>', 'what happens to the active engine; postgres: a switchover of PostgreSQL instead')
      .choices(['planned', 'kill', 'freeze', 'postgres'])
      .default('planned'),
  )
  .option('--runs <n>', 'runs', positive, 5)
  .option('--rate <n>', 'orders a second', positive, 500)
  .option('--freeze <seconds>', 'how long an engine is frozen', positive, 60)
  .addOption(asIsOption())
  .addOption(outputOption())
  .action((options: Options) => end(bench(options)));

void program.parseAsync();
