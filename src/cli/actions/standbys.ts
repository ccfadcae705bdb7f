import {
  parseAddStandbyInput,
  parseRejoinInput,
  parseRemoveStandbyInput,
  parseRepairInput,
  type RejoinInput,
  type RepairInput,
  type StandbyInput,
} from '../../workflows/standby-input';
import type { Cli } from '../io';
import { checkedInput, commonInput, launch, type LaunchOptions } from './launch';

/** Options of `postgres rejoin`. */
export interface RejoinOptions extends LaunchOptions {
  method?: 'auto' | 'copy';
}

const commands = {
  rejoin: 'veloz-ha postgres rejoin',
  add: 'veloz-ha postgres add-standby',
  remove: 'veloz-ha postgres remove-standby',
  repair: 'veloz-ha repair',
} as const;

/** `postgres rejoin [node]`: makes a node that was primary, or fell behind for good, a standby again. */
export function rejoin(cli: Cli, options: RejoinOptions, node?: string): Promise<number> {
  const input = rejoinInput(cli, options, node);
  return launch(cli, { workflow: 'rejoin', runbook: 'rejoin', command: commands.rejoin, input }, options);
}

/** `postgres add-standby [node]`: a node of the topology that is not there yet becomes a standby. */
export function addStandby(cli: Cli, options: LaunchOptions, node?: string): Promise<number> {
  const given: StandbyInput = { ...commonInput(cli, options), node };
  const input = checkedInput(given, parseAddStandbyInput, commands.add);
  return launch(cli, { workflow: 'addStandby', runbook: 'add-standby', command: commands.add, input }, options);
}

/** `postgres remove-standby <node>`: takes a standby out of the cluster. */
export function removeStandby(cli: Cli, options: LaunchOptions, node: string): Promise<number> {
  const given: StandbyInput = { ...commonInput(cli, options), node };
  const input = checkedInput(given, parseRemoveStandbyInput, commands.remove);
  const command = `${commands.remove} ${node}`;
  return launch(cli, { workflow: 'removeStandby', runbook: 'remove-standby', command, input }, options);
}

/** `repair`: looks at what is, and brings it to a right state, with a plan first. */
export function repair(cli: Cli, options: LaunchOptions): Promise<number> {
  const given: RepairInput = commonInput(cli, options);
  const input = checkedInput(given, parseRepairInput, commands.repair);
  return launch(cli, { workflow: 'repair', runbook: 'repair', command: commands.repair, input }, options);
}

/**
 * The input of `rejoin`.
 * @throws Problem `BadInput` that names every mistake
 */
export function rejoinInput(cli: Cli, options: RejoinOptions, node?: string): RejoinInput {
  const given: RejoinInput = { ...commonInput(cli, options), node, method: options.method };
  return checkedInput(given, parseRejoinInput, commands.rejoin);
}
