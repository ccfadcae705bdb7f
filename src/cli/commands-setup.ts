import type { actions as allActions } from './actions';
import { duration, oneOf, wholeNumber, workerName, type Builder, type HaCommand } from './command';

/** The commands that bring up what runs need: the stack, Temporal, workers. */
export function addSetUpCommands(program: HaCommand, build: Builder, actions: typeof allActions): void {
  program.commandsGroup('Set-up:');
  addStack(program, build, actions);
  addTemporal(program, build, actions);
  addWorker(program, build, actions);
}

function addStack(program: HaCommand, build: Builder, actions: typeof allActions): void {
  const stack = build.command(program, 'stack', 'the containers: PostgreSQL, PgBouncer, Redis, engines, HAProxy', [
    'veloz-ha stack up',
    'veloz-ha stack up --only postgres',
    'veloz-ha stack logs -f veloz-postgres-primary',
  ]);
  const up = build.command(stack, 'up', 'start the stack, and wait until all of it is healthy', [
    'veloz-ha stack up',
    'veloz-ha stack up --only postgres         # PostgreSQL and PgBouncer alone; what runs already goes on',
    'veloz-ha stack up --standbys 2 --timeout 5m',
    'veloz-ha stack up --recreate              # an outage: all that has a new image is made anew at once',
  ]);
  up.addOption(oneOf('--only <part>', 'start this part alone; wait for no other one', ['postgres']));
  up.option('--standbys <number>', 'PostgreSQL standbys: 1 or 2', wholeNumber(1, 2), 1);
  up.option('--recreate', 'make anew what runs with an older image or other settings, all at once');
  up.option('--timeout <duration>', 'wait for at most this long, such as 90s (default: 3m)', duration);
  build.act(up, actions.stackUp);

  const down = build.command(stack, 'down', 'remove the containers and the network; the data stays', [
    'veloz-ha stack down',
  ]);
  build.act(down, actions.stackDown);

  const reset = build.command(
    stack,
    'reset',
    "remove the containers and this project's volumes: all data of the stack",
    ['veloz-ha stack reset', 'veloz-ha stack reset --yes'],
  );
  reset.option('-y, --yes', 'do not ask');
  build.act(reset, actions.stackReset);

  const logs = build.command(stack, 'logs [container...]', 'logs of the containers', [
    'veloz-ha stack logs --tail 50',
    'veloz-ha stack logs -f veloz-engine-1 veloz-engine-2',
  ]);
  logs.option('-f, --follow', 'go on as they are written');
  logs.option('--tail <lines>', 'only the last lines of each container', wholeNumber(0, 1_000_000));
  build.act(logs, actions.stackLogs);
}

function addTemporal(program: HaCommand, build: Builder, actions: typeof allActions): void {
  const temporal = build.command(program, 'temporal', 'a Temporal server for one machine, its hand-overs tuned', [
    'veloz-ha temporal',
    'veloz-ha temporal --detach',
    'veloz-ha temporal stop',
  ]);
  temporal.option('--port <port>', 'port of the server', wholeNumber(1, 65_535), 7233);
  temporal.option('--ui-port <port>', 'port of the Web UI (default: port + 1000)', wholeNumber(1, 65_535));
  temporal.option('-d, --detach', 'leave it running in the background');
  build.act(temporal, actions.temporal);
  const stop = build.command(temporal, 'stop', 'end the server in the background; its database stays', [
    'veloz-ha temporal stop',
  ]);
  build.act(stop, actions.temporalStop);
  const status = build.command(temporal, 'status', 'whether the server answers, and where', [
    'veloz-ha temporal status',
  ]);
  build.act(status, actions.temporalStatus);
}

function addWorker(program: HaCommand, build: Builder, actions: typeof allActions): void {
  const worker = build.command(program, 'worker', 'carry out runs, until told to stop', [
    'veloz-ha worker',
    'veloz-ha worker --detach',
    'veloz-ha worker --detach --name worker-2   # takes over when the first one dies',
    'veloz-ha worker stop',
  ]);
  worker.option('--task-queue <name>', 'task queue (default: veloz-ha)');
  worker.option('--identity <name>', 'name in Temporal (default: pid@host)');
  worker.option(
    '--health-port <port>',
    'port of the health endpoints; 0: a free one (default: 9464)',
    wholeNumber(0, 65_535),
  );
  worker.option(
    '--metrics-port <port>',
    'port of the Prometheus metrics; 0: none (default: 9465)',
    wholeNumber(0, 65_535),
  );
  worker.option('-d, --detach', 'leave it running in the background');
  worker.option('--name <name>', 'tells several workers in the background apart', workerName, 'worker');
  build.act(worker, (options) =>
    'detach' in options && options.detach === true ? actions.workerDetached() : actions.worker(),
  );
  const stop = build.command(worker, 'stop', 'let the worker in the background finish its step, and end it', [
    'veloz-ha worker stop',
    'veloz-ha worker stop --name worker-2',
  ]);
  build.act(stop, actions.workerStop);
}
