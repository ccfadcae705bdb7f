import { Argument } from 'commander';
import type { actions as allActions } from './actions';
import { CLUSTER, clusterOption, durationText, oneOf, type Builder, type HaCommand } from './command';

const MODES = ['auto', 'approve', 'off'];

/** `guard …`: who watches the cluster, and what it may do by itself. */
export function addGuard(program: HaCommand, build: Builder, actions: typeof allActions): void {
  const guard = build.command(program, 'guard', 'watch the cluster, keep the ledger, fail over by itself', [
    'veloz-ha guard start',
    'veloz-ha guard status',
    'veloz-ha guard maintenance on --for 30m --reason "kernel update"',
  ]);
  const start = build.command(guard, 'start', 'start the guard; one that runs already goes on', [
    'veloz-ha guard start',
    'veloz-ha guard start --mode approve',
  ]);
  start.addOption(oneOf('--mode <which>', "auto, approve or off (default: the topology's guard.mode)", MODES));
  addWho(start);
  build.act(start, actions.guardStart);

  const status = build.command(guard, 'status', 'what it sees, what it waits for, what it will do next', [
    'veloz-ha guard status',
    'veloz-ha guard status -o json | jq .ledger',
  ]);
  clusterOption(status);
  build.act(status, actions.guardStatus);

  const watch = build.command(guard, 'watch', 'follow what it sees and does, until Ctrl-C', [
    'veloz-ha guard watch',
    'veloz-ha guard watch -o jsonl',
  ]);
  clusterOption(watch);
  build.act(watch, actions.guardWatch);

  const mode = build.command(guard, 'mode', 'auto: it fails over; approve: it plans and asks; off: it only tells', [
    'veloz-ha guard mode approve --reason "release week"',
    'veloz-ha guard mode auto',
  ]);
  mode.addArgument(new Argument('<mode>', 'what it does by itself').choices(MODES));
  addWho(mode);
  build.act(mode, actions.guardMode);

  const maintenance = build.command(guard, 'maintenance', 'on: it watches and keeps its hands off', [
    'veloz-ha guard maintenance on --for 30m --reason "kernel update"',
    'veloz-ha guard maintenance off',
  ]);
  maintenance.addArgument(new Argument('<turn>', 'on or off').choices(['on', 'off']));
  maintenance.option(
    '--for <duration>',
    'ends by itself after this long (default: when it is switched off)',
    durationText,
  );
  addWho(maintenance);
  build.act(maintenance, actions.guardMaintenance);

  const handOver = build.command(guard, 'hand-over', 'begin its history anew, before workers are upgraded', [
    'veloz-ha guard hand-over --reason "upgrade"',
  ]);
  addWho(handOver);
  build.act(handOver, actions.guardHandOver);

  const stop = build.command(guard, 'stop', 'end the guard: nothing fails over by itself from then on', [
    'veloz-ha guard stop --reason "the cluster is taken down"',
  ]);
  addWho(stop);
  build.act(stop, actions.guardStop);
}

function addWho(command: HaCommand): void {
  command.option('--cluster <name>', CLUSTER);
  command.option('--reason <text>', "why; stands in the guard's events");
  command.option('--by <name>', 'who decides (default: user@host)');
}
