import type { actions as allActions } from './actions';
import { clusterOption, duration, wholeNumber, type Builder, type HaCommand } from './command';
import { addEngine } from './commands-engine';
import { addGuard } from './commands-guard';
import { addMaintenance } from './commands-maintenance';
import { addPostgres, addRepair } from './commands-postgres';
import { addRedis } from './commands-redis';

/** The commands of daily use: look, act, guard, follow runs, decide. */
export function addDailyCommands(program: HaCommand, build: Builder, actions: typeof allActions): void {
  program.commandsGroup('Look:');
  const status = build.command(program, 'status', 'the whole picture: Temporal, workers, cluster, guard, open runs', [
    'veloz-ha status',
    'veloz-ha status --watch',
    'veloz-ha status -o json | jq .problems',
  ]);
  clusterOption(status);
  status.option('-w, --watch', 'look again every second, until Ctrl-C');
  build.act(status, actions.status);

  program.commandsGroup('Act:');
  addPostgres(program, build, actions);
  addRedis(program, build, actions);
  addEngine(program, build, actions);
  addMaintenance(program, build, actions);
  addRepair(program, build, actions);
  program.commandsGroup('Guard:');
  addGuard(program, build, actions);
  addRuns(program, build, actions);
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
    {
      name: 'abort',
      says: 'stop a run before its point of no return and put back what a move has changed',
      action: actions.abort,
    },
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
