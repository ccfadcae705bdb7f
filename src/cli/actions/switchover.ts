import { parseSwitchoverInput, type SwitchoverInput } from '../../workflows/switchover-input';
import type { Cli } from '../io';
import { checkedInput, commonInput, launch, type LaunchOptions } from './launch';

const command = 'veloz-ha postgres switchover';

/** Options of `postgres switchover`. Durations are as people write them; the input's own schema checks them. */
export interface SwitchoverOptions extends LaunchOptions {
  to?: string;
  expectedPrimary?: string;
  protection?: 'zero-loss' | 'fast';
  holdLimit?: string;
  pauseLimit?: string;
  notAfter?: string;
}

/** `postgres switchover`: moves the primary, after a plan and a question, or `--yes`. */
export function switchover(cli: Cli, options: SwitchoverOptions): Promise<number> {
  const input = switchoverInput(cli, options);
  return launch(cli, { workflow: 'switchover', runbook: 'switchover', command, input }, options);
}

/**
 * The input of the run.
 * @throws Problem `BadInput` that names every mistake
 */
export function switchoverInput(cli: Cli, options: SwitchoverOptions): SwitchoverInput {
  const given: SwitchoverInput = {
    ...commonInput(cli, options),
    target: options.to,
    expectedPrimary: options.expectedPrimary,
    protection: options.protection,
    holdLimit: options.holdLimit,
    pauseLimit: options.pauseLimit,
    notAfter: options.notAfter,
  };
  return checkedInput(given, parseSwitchoverInput, command);
}
