import { UNLIMITED_LOSS } from '../../cluster/failover/commands';
import { formatBytes } from '../../report/words';
import { Problem } from '../../systems/problem';
import { parseFailoverInput, type DataLoss, type FailoverInput } from '../../workflows/failover-input';
import { inCluster } from '../context';
import type { Cli } from '../io';
import { whoami } from '../who';
import { checkedInput, commonInput, launch, type LaunchOptions } from './launch';

const command = 'veloz-ha postgres promote';

/** Options of `postgres promote`. */
export interface PromoteOptions extends LaunchOptions {
  to?: string;
  expectedPrimary?: string;
  /** Bytes. */
  allowDataLoss?: number;
  by?: string;
  oldPrimary?: 'rejoin' | 'leave';
}

/** `postgres promote`: the unplanned failover, by hand. */
export function promote(cli: Cli, options: PromoteOptions): Promise<number> {
  const input = promoteInput(cli, options);
  const loss = input.allowDataLoss;
  return launch(
    cli,
    {
      workflow: 'failover',
      runbook: 'failover',
      command,
      input,
      ...(loss === undefined ? {} : { warning: lossWarning(loss.maxBytes) }),
    },
    options,
  );
}

/**
 * The input of the run.
 * @throws Problem `BadInput` that names every mistake; also for a loss that is accepted without a reason
 */
export function promoteInput(cli: Cli, options: PromoteOptions): FailoverInput {
  const given: FailoverInput = {
    ...commonInput(cli, options),
    target: options.to,
    expectedPrimary: options.expectedPrimary,
    allowDataLoss: dataLoss(cli, options),
    oldPrimary: options.oldPrimary,
  };
  return checkedInput(given, parseFailoverInput, command);
}

/** What a yes means besides the plan. */
function lossWarning(maxBytes: number): string {
  return maxBytes >= UNLIMITED_LOSS ? 'Whatever is missing is lost' : `Up to ${formatBytes(maxBytes)} may be lost`;
}

/** Nobody accepts a loss by accident: it takes a bound, a reason and a name (E8). */
function dataLoss(cli: Cli, options: PromoteOptions): DataLoss | undefined {
  const { allowDataLoss: maxBytes, reason, by } = options;
  if (maxBytes === undefined) {
    if (by === undefined) return undefined;
    throw new Problem('BadInput', '--by names who accepts a loss, and no loss is accepted here', {
      next: `${command} --help`,
    });
  }
  // The commands that checks name leave the reason to whoever runs them: `--reason "…"` is none.
  if (reason === undefined || !/[\p{L}\p{N}]/u.test(reason)) {
    throw new Problem('BadInput', 'a loss is accepted only with a reason', {
      why:
        reason === undefined
          ? '--allow-data-loss was given without --reason (E8)'
          : `--reason "${reason}" says nothing (E8; limit: a letter or a digit)`,
      next: `${inCluster(command, options.cluster)} --allow-data-loss BYTES --reason "why it has to be"`,
    });
  }
  return { maxBytes, reason, by: by ?? whoami(cli.io.env) };
}
