import { InvalidArgumentError } from 'commander';
import type { actions as allActions } from './actions';
import { CLUSTER, clusterOption, duration, durationText, oneOf, type Builder, type HaCommand } from './command';

/** `maintenance …`: clears a side of the cluster, holds it, and moves everything back. */
export function addMaintenance(program: HaCommand, build: Builder, actions: typeof allActions): void {
  const maintenance = build.command(
    program,
    'maintenance',
    'clear a side or nodes of everything active, hold it, move it back',
    ['veloz-ha maintenance start --side 1 --plan', 'veloz-ha maintenance status', 'veloz-ha maintenance back'],
  );
  addStart(maintenance, build, actions);

  const back = build.command(maintenance, 'back [id]', 'move everything back to where it was', [
    'veloz-ha maintenance back',
    'veloz-ha maintenance back --reason "kernel is updated"',
  ]);
  addWhoAndWhere(back);
  back.option('-d, --detach', 'ask for it and do not wait');
  back.option('--timeout <duration>', 'stop waiting after this long; the run goes on', duration);
  build.act(back, actions.maintenanceBack);

  const finish = build.command(maintenance, 'finish [id]', 'end it; everything stays where it is', [
    'veloz-ha maintenance finish --reason "the new side is the better one"',
  ]);
  addWhoAndWhere(finish);
  build.act(finish, actions.maintenanceFinish);

  const status = build.command(maintenance, 'status', 'what is moved away, since when, by whom', [
    'veloz-ha maintenance status',
    'veloz-ha maintenance status -o json',
  ]);
  clusterOption(status);
  build.act(status, actions.maintenanceStatus);
}

function addStart(maintenance: HaCommand, build: Builder, actions: typeof allActions): void {
  const start = build.command(maintenance, 'start', 'move away whatever is active there, one tier after the other', [
    'veloz-ha maintenance start --side 1 --plan',
    'veloz-ha maintenance start --side 1                # shows the plan, asks, shows each move, holds',
    'veloz-ha maintenance start --node veloz-postgres-primary --node veloz-engine-1 --yes',
  ]);
  start.optionsGroup('What:');
  start.option('--side <number>', 'everything on side 1, or on side 2, of the topology', side);
  start.option('--node <name...>', 'these nodes, instead of a side');
  start.addOption(
    oneOf('--back <when>', 'on-request: hold it until asked; never: end when all is moved (default: on-request)', [
      'on-request',
      'never',
    ]),
  );
  start.option(
    '--hold <duration>',
    'hold it for at most this long; then it ends as it is (default: no end)',
    durationText,
  );
  start.option('--cluster <name>', CLUSTER);
  start.option('--plan', "all checks and every tier's plan; changes nothing");
  start.optionsGroup('Who and why:');
  start.option('-y, --yes', 'do not ask');
  start.option('--reason <text>', 'why; stands in the report');
  start.option('--ticket <id>', 'ticket; stands in the report');
  start.optionsGroup('Limits (durations such as 500ms, 5s, 15m):');
  start.option('--soak <duration>', "watch each move's new state for this long (default: the cluster's)");
  start.option('--approval-timeout <duration>', "wait for approval for at most this long (default: the cluster's)");
  start.optionsGroup('Waiting:');
  start.option('-d, --detach', 'start it and do not wait');
  start.option('--timeout <duration>', 'stop waiting after this long; the run goes on', duration);
  build.act(start, actions.maintenanceStart);
}

function addWhoAndWhere(command: HaCommand): void {
  clusterOption(command);
  command.option('--reason <text>', 'why; stands in the report');
  command.option('--by <name>', 'who decides (default: user@host)');
}

function side(text: string): 1 | 2 {
  if (text === '1') return 1;
  if (text === '2') return 2;
  throw new InvalidArgumentError('Expected 1 or 2.');
}
