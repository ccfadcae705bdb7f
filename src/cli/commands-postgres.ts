import type { actions as allActions } from './actions';
import { CLUSTER, clusterOption, dataLoss, duration, oneOf, type Builder, type HaCommand } from './command';

/** `postgres …`: what is, and every runbook of PostgreSQL. */
export function addPostgres(program: HaCommand, build: Builder, actions: typeof allActions): void {
  const postgres = build.command(program, 'postgres', 'PostgreSQL: status, switchover, failover, rejoin, standbys', [
    'veloz-ha postgres status',
    'veloz-ha postgres switchover --plan',
    'veloz-ha postgres promote --plan',
  ]);
  const status = build.command(postgres, 'status', 'members of the cluster, and what is not as it should be', [
    'veloz-ha postgres status',
    'veloz-ha postgres status -o json',
  ]);
  clusterOption(status);
  build.act(status, actions.postgresStatus);
  addSwitchover(postgres, build, actions);
  addPromote(postgres, build, actions);
  addRejoin(postgres, build, actions);
  addStandbys(postgres, build, actions);
}

/** `repair`: for a run that was terminated in its middle. */
export function addRepair(program: HaCommand, build: Builder, actions: typeof allActions): void {
  const repair = build.command(program, 'repair', 'look at what is, and bring every system to a right state', [
    'veloz-ha repair --plan',
    'veloz-ha repair                    # after a run was terminated: shows the plan, asks, repairs',
  ]);
  repair.optionsGroup('What:');
  addWhat(repair);
  addWho(repair);
  addLimits(repair);
  addWaiting(repair);
  build.act(repair, actions.repair);
}

function addSwitchover(postgres: HaCommand, build: Builder, actions: typeof allActions): void {
  const move = build.command(postgres, 'switchover', 'move the primary to a standby; clients wait, none fails', [
    'veloz-ha postgres switchover --plan',
    'veloz-ha postgres switchover                       # shows the plan, asks, shows each step',
    'veloz-ha postgres switchover --to veloz-postgres-standby --reason "kernel update" --ticket OPS-1',
    'veloz-ha postgres switchover --yes -o json',
  ]);
  move.optionsGroup('What:');
  move.option('--to <node>', "standby to promote (default: the synchronous one, of several the topology's first)");
  move.option('--expected-primary <node>', 'refuse unless this node is the primary now');
  move.addOption(oneOf('--protection <which>', "zero-loss or fast (default: the cluster's)", ['zero-loss', 'fast']));
  addWhat(move);
  addWho(move);
  addLimits(move);
  move.option('--hold-limit <duration>', "hold clients for at most this long (default: the cluster's limits.hold)");
  move.option(
    '--pause-limit <duration>',
    "wait for open transactions for at most this long (default: the cluster's limits.pause)",
  );
  move.option('--not-after <time>', 'do nothing when it is later than this: 2025-11-23T04:00:00Z');
  addWaiting(move);
  build.act(move, actions.switchover);
}

function addPromote(postgres: HaCommand, build: Builder, actions: typeof allActions): void {
  const promote = build.command(postgres, 'promote', 'failover: fence a primary that failed and promote a standby', [
    'veloz-ha postgres promote --plan',
    'veloz-ha postgres promote                          # shows the plan, asks, shows each step',
    'veloz-ha postgres promote --expected-primary veloz-postgres-primary --yes',
    'veloz-ha postgres promote --allow-data-loss 16MB --reason "the disk of the old primary is gone"',
  ]);
  promote.optionsGroup('What:');
  promote.option('--to <node>', 'standby to promote (default: the most advanced one that may be promoted)');
  promote.option('--expected-primary <node>', 'refuse unless this node was the primary');
  promote.addOption(
    oneOf('--old-primary <what>', 'rejoin: make it a standby again; leave: leave it fenced (default: rejoin)', [
      'rejoin',
      'leave',
    ]),
  );
  addWhat(promote);
  promote.optionsGroup('Loss of data (without these a failover that could lose a commit is refused):');
  promote.option('--allow-data-loss <bytes>', 'accept a loss of so many bytes of WAL: 16MB, or unlimited', dataLoss);
  promote.option('--by <name>', 'who accepts the loss (default: user@host)');
  addWho(promote);
  addLimits(promote);
  addWaiting(promote);
  build.act(promote, actions.promote);
}

function addRejoin(postgres: HaCommand, build: Builder, actions: typeof allActions): void {
  const rejoin = build.command(postgres, 'rejoin [node]', 'make a node that was primary a standby again', [
    'veloz-ha postgres rejoin --plan',
    'veloz-ha postgres rejoin                           # the only node that is not what it should be',
    'veloz-ha postgres rejoin veloz-postgres-primary --method copy',
  ]);
  rejoin.optionsGroup('What:');
  rejoin.addOption(
    oneOf('--method <which>', 'auto: as its history says, a rewind that fails becomes a copy; copy (default: auto)', [
      'auto',
      'copy',
    ]),
  );
  addCommon(rejoin);
  build.act(rejoin, actions.rejoin);
}

function addStandbys(postgres: HaCommand, build: Builder, actions: typeof allActions): void {
  const add = build.command(
    postgres,
    'add-standby [node]',
    'add a standby of the topology, and wait until it follows',
    [
      'veloz-ha postgres add-standby --plan',
      "veloz-ha postgres add-standby                      # the topology's first that is not there",
      'veloz-ha postgres add-standby veloz-postgres-standby-2 --yes',
    ],
  );
  add.optionsGroup('What:');
  addCommon(add);
  build.act(add, actions.addStandby);

  const remove = build.command(postgres, 'remove-standby <node>', 'take a standby out: synchronous names, slot, node', [
    'veloz-ha postgres remove-standby veloz-postgres-standby-2 --plan',
    'veloz-ha postgres remove-standby veloz-postgres-standby-2',
  ]);
  remove.optionsGroup('What:');
  addCommon(remove);
  build.act(remove, actions.removeStandby);
}

/** Options that every runbook has, in the order in which help shows them. */
export function addCommon(command: HaCommand): void {
  addWhat(command);
  addWho(command);
  addLimits(command);
  addWaiting(command);
}

function addWhat(command: HaCommand): void {
  command.option('--cluster <name>', CLUSTER);
  command.option('--plan', 'all checks and a numbered plan; changes nothing');
}

function addWho(command: HaCommand): void {
  command.optionsGroup('Who and why:');
  command.option('-y, --yes', 'do not ask');
  command.option('--reason <text>', 'why; stands in the report');
  command.option('--ticket <id>', 'ticket; stands in the report');
}

function addLimits(command: HaCommand): void {
  command.optionsGroup('Limits (durations such as 500ms, 5s, 15m):');
  command.option(
    '--soak <duration>',
    "watch the new state for this long before calling it a success (default: the cluster's)",
  );
  command.option('--approval-timeout <duration>', "wait for approval for at most this long (default: the cluster's)");
}

function addWaiting(command: HaCommand): void {
  command.optionsGroup('Waiting:');
  command.option('-d, --detach', 'start it and do not wait');
  command.option('--timeout <duration>', 'stop waiting after this long; the run goes on', duration);
}
