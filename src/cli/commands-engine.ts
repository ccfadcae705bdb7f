import type { actions as allActions } from './actions';
import { clusterOption, type Builder, type HaCommand } from './command';
import { addCommon } from './commands-postgres';

/** `engine …`: what is, and every runbook of the engines. */
export function addEngine(program: HaCommand, build: Builder, actions: typeof allActions): void {
  const engine = build.command(program, 'engine', 'engines and HAProxy: status, switchover, drain, ready', [
    'veloz-ha engine status',
    'veloz-ha engine switchover --plan',
    'veloz-ha engine drain veloz-engine-2',
  ]);
  const status = build.command(engine, 'status', 'engines, their front door, and what is not as it should be', [
    'veloz-ha engine status',
    'veloz-ha engine status -o json',
  ]);
  clusterOption(status);
  build.act(status, actions.engineStatus);

  const move = build.command(engine, 'switchover', 'hand the orders to another engine; requests wait, none fails', [
    'veloz-ha engine switchover --plan',
    'veloz-ha engine switchover                         # shows the plan, asks, shows each step',
    'veloz-ha engine switchover --to veloz-engine-2 --reason "new version" --yes',
  ]);
  move.optionsGroup('What:');
  move.option('--to <engine>', 'engine to become active (default: the first other one that is able to)');
  move.option('--expected-active <engine>', 'refuse unless this engine is the active one now');
  addCommon(move);
  build.act(move, actions.engineSwitchover);

  const drain = build.command(
    engine,
    'drain <engine>',
    'take an engine out of service; an active one hands over first',
    ['veloz-ha engine drain veloz-engine-1 --plan', 'veloz-ha engine drain veloz-engine-1'],
  );
  drain.optionsGroup('What:');
  addCommon(drain);
  build.act(drain, actions.engineDrain);

  const ready = build.command(engine, 'ready <engine>', 'put an engine back into service', [
    'veloz-ha engine ready veloz-engine-1',
  ]);
  ready.optionsGroup('What:');
  addCommon(ready);
  build.act(ready, actions.engineReady);
}
