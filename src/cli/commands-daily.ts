import type { actions as allActions } from './actions';
import { duration, oneOf, wholeNumber, type Builder, type HaCommand } from './command';

/** The commands of daily use: look, move the primary, follow runs, decide. */
export function addDailyCommands(program: HaCommand, build: Builder, actions: typeof allActions): void {
  program.commandsGroup('Look:');
  const status = build.command(program, 'status', 'the whole picture: Temporal, workers, cluster, open runs', [
    'veloz-ha status',
    'veloz-ha status -o json | jq .problems',
  ]);
  status.option('--cluster <name>', "cluster of the topology (default: the topology's)");
  build.act(status, actions.status);

  addPostgres(program, build, actions);
  addRuns(program, build, actions);
}

function addPostgres(program: HaCommand, build: Builder, actions: typeof allActions): void {
  program.commandsGroup('Act:');
  const postgres = build.command(program, 'postgres', 'PostgreSQL: status, planned switchover', [
    'veloz-ha postgres status',
    'veloz-ha postgres switchover --plan',
    'veloz-ha postgres switchover',
  ]);
  const status = build.command(postgres, 'status', 'members of the cluster, and what is not as it should be', [
    'veloz-ha postgres status',
    'veloz-ha postgres status -o json',
  ]);
  status.option('--cluster <name>', "cluster of the topology (default: the topology's)");
  build.act(status, actions.postgresStatus);

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
  move.option('--cluster <name>', "cluster of the topology (default: the topology's)");
  move.option('--plan', 'all checks and a numbered plan; changes nothing');
  move.optionsGroup('Who and why:');
  move.option('-y, --yes', 'do not ask');
  move.option('--reason <text>', 'why; stands in the report');
  move.option('--ticket <id>', 'ticket; stands in the report');
  move.optionsGroup('Limits (durations such as 500ms, 5s, 15m):');
  move.option('--hold-limit <duration>', "hold clients for at most this long (default: the cluster's limits.hold)");
  move.option(
    '--pause-limit <duration>',
    "wait for open transactions for at most this long (default: the cluster's limits.pause)",
  );
  move.option(
    '--soak <duration>',
    "watch the new state for this long before calling it a success (default: the cluster's)",
  );
  move.option('--approval-timeout <duration>', "wait for approval for at most this long (default: the cluster's)");
  move.option('--not-after <time>', 'do nothing when it is later than this: 2025-11-23T04:00:00Z');
  move.optionsGroup('Waiting:');
  move.option('-d, --detach', 'start it and do not wait');
  move.option('--timeout <duration>', 'stop waiting after this long; the run goes on', duration);
  build.act(move, actions.switchover);
}

function addRuns(program: HaCommand, build: Builder, actions: typeof allActions): void {
  program.commandsGroup('Runs:');
  const runs = build.command(program, 'runs', 'the latest runs, open ones first', [
    'veloz-ha runs',
    'veloz-ha runs --open -o json',
  ]);
  runs.option('--limit <number>', 'show at most this many', wholeNumber(1, 1_000), 20);
  runs.option('--open', 'only those that go on');
  build.act(runs, actions.runs);

  const show = build.command(program, 'show [id]', 'report of a run that has ended, state of one that goes on', [
    'veloz-ha show                       # the latest run',
    'veloz-ha show switchover/veloz/20251123T032000Z-9f3a -o markdown',
  ]);
  build.act(show, actions.show);

  const watch = build.command(program, 'watch [id]', 'follow a run to its end; Ctrl-C detaches', [
    'veloz-ha watch                      # the open run',
    'veloz-ha watch switchover/veloz/20251123T032000Z-9f3a --timeout 2m',
  ]);
  watch.option('--timeout <duration>', 'stop waiting after this long; the run goes on', duration);
  build.act(watch, actions.watch);

  const decisions = [
    { name: 'approve', says: 'go on with a run that waits for approval', action: actions.approve },
    { name: 'reject', says: 'end a run that waits for approval; nothing is changed', action: actions.reject },
    { name: 'abort', says: 'stop a run before its point of no return and put everything back', action: actions.abort },
  ] as const;
  for (const { name, says, action } of decisions) {
    const decision = build.command(program, `${name} <id>`, says, [
      `veloz-ha ${name} switchover/veloz/20251123T032000Z-9f3a --why "agreed in the call"`,
    ]);
    decision.option('--why <text>', 'why; stands in the report');
    decision.option('--by <name>', 'who decides (default: user@host)');
    build.act(decision, action);
  }
}
