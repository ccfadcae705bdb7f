import { WorkflowNotFoundError } from '@temporalio/client';
import { START_WORKER } from '../../cluster/commands';
import { maintenanceStart as startCommand } from '../../cluster/maintenance/commands';
import type { Side } from '../../cluster/maintenance/sides';
import { exitCodes } from '../../failures';
import { maintenanceText } from '../../report/maintenance';
import { Problem } from '../../systems/problem';
import { requireWorker, type TemporalClient } from '../../systems/temporal';
import { parseMaintenanceInput, type MaintenanceInput } from '../../workflows/maintenance-input';
import { maintenanceLockId } from '../../workflows/maintenance-messages';
import type { RunState } from '../../workflows/run-state';
import { renderDetails } from '../../workflows/runbook/details';
import { Attachment } from '../attach';
import { guardedCluster, withTemporal } from '../context';
import { print, printDocument, say, type Cli } from '../io';
import { lost, openRun, RunTrouble, type RunSource } from '../run-source';
import { whoami } from '../who';
import { followToEnd, showDetached, type Rest } from './follow';
import { checkedInput, commonInput, launch, type LaunchOptions } from './launch';

const command = 'veloz-ha maintenance start';

/** Options of `maintenance start`. */
export interface MaintenanceOptions extends LaunchOptions {
  side?: Side;
  node?: string[];
  back?: 'on-request' | 'never';
  hold?: string;
}

/** Options of `maintenance back` and `maintenance finish`. */
export interface WishOptions {
  cluster?: string;
  reason?: string;
  by?: string;
  detach?: boolean;
  /** Milliseconds. */
  timeout?: number;
}

/** `maintenance start`: moves away what is active on a side or on nodes, after a plan and a question, and holds it. */
export function maintenanceStart(cli: Cli, options: MaintenanceOptions): Promise<number> {
  const input = maintenanceInput(cli, options);
  const { side, nodes } = input;
  const typed = startCommand('', { side, nodes }).replace(/ --cluster $/, '');
  return launch(
    cli,
    { workflow: 'maintenance', runbook: 'maintenance', command: typed, input, rest: whenHeld },
    options,
  );
}

/**
 * The input of the run.
 * @throws Problem `BadInput` that names every mistake
 */
export function maintenanceInput(cli: Cli, options: MaintenanceOptions): MaintenanceInput {
  const given: MaintenanceInput = {
    ...commonInput(cli, options),
    side: options.side,
    nodes: options.node,
    back: options.back === 'on-request' ? 'on request' : options.back,
    hold: options.hold,
  };
  return checkedInput(given, parseMaintenanceInput, command);
}

/** `maintenance back`: moves everything back, and follows that to its end. What can't be moved back stays held: exit 5. */
export function maintenanceBack(cli: Cli, options: WishOptions, id?: string): Promise<number> {
  return withTemporal(cli, async (temporal) => {
    const source = await theMaintenance(cli, temporal, options.cluster, id);
    await requireWorker(temporal);
    const answer = await source.decide('move back', decision(cli, options));
    if (cli.format === 'text') say(cli, `${cli.style.colour.green(cli.style.glyphs.done)} ${answer}\n`);
    if (options.detach === true) {
      showDetached(cli, source, 'It is being moved back.');
      return exitCodes.ok;
    }
    const attachment = new Attachment(cli, source);
    const deadline = options.timeout === undefined ? undefined : cli.io.now() + options.timeout;
    try {
      return await followToEnd(cli, source, attachment, deadline, whenHeld);
    } finally {
      attachment.close();
    }
  });
}

/** `maintenance finish`: ends it, and leaves everything where it is. */
export function maintenanceFinish(cli: Cli, options: WishOptions, id?: string): Promise<number> {
  return withTemporal(cli, async (temporal) => {
    const source = await theMaintenance(cli, temporal, options.cluster, id);
    await requireWorker(temporal);
    await source.decide('finish', decision(cli, options));
    const attachment = new Attachment(cli, source);
    try {
      return await followToEnd(cli, source, attachment, undefined);
    } finally {
      attachment.close();
    }
  });
}

/** `maintenance status`: what is moved away, since when, by whom. */
export function maintenanceStatus(cli: Cli, options: { cluster?: string }): Promise<number> {
  return withTemporal(cli, async (temporal) => {
    const cluster = guardedCluster(cli, options.cluster);
    const id = await openMaintenance(temporal, cluster);
    if (id === undefined) {
      if (cli.format === 'json' || cli.format === 'jsonl') printDocument(cli, { version: 1, maintenance: null });
      else say(cli, `No maintenance of ${cluster} is under way. Start one: ${startCommand(cluster, { side: 1 })}`);
      return exitCodes.ok;
    }
    const source = await openRun(temporal, id, cli.io.env);
    let state: RunState;
    try {
      state = await source.status();
    } catch (error) {
      if (!(error instanceof RunTrouble)) throw error;
      throw new Problem('Unreachable', `the maintenance ${id} does not answer`, {
        why: error.message,
        next: START_WORKER,
        cause: error,
      });
    }
    showMaintenance(cli, source, state);
    return exitCodes.ok;
  });
}

/** Waiting ends where a maintenance is held: 0 when everything is moved as it was asked for, else 5. */
const whenHeld: Rest = {
  isReached: (state) => state.phase === 'held',
  show(cli, source, state) {
    showMaintenance(cli, source, state);
    return state.maintenance?.trouble === undefined ? exitCodes.ok : exitCodes.incomplete;
  },
};

function showMaintenance(cli: Cli, source: Pick<RunSource, 'link'>, state: RunState): void {
  switch (cli.format) {
    case 'json':
      printDocument(cli, { version: 1, maintenance: state });
      break;
    case 'jsonl':
      printDocument(cli, { version: 1, event: 'held', maintenance: state });
      break;
    case 'markdown':
      print(cli, renderDetails(state));
      break;
    case 'text':
      if (cli.quiet) print(cli, state.says);
      else print(cli, maintenanceText(state, cli.io.now(), cli.style, source.link));
  }
}

/** The run that a command means: the one that is named, or the one that is under way. */
async function theMaintenance(
  cli: Cli,
  temporal: TemporalClient,
  requested: string | undefined,
  id: string | undefined,
): Promise<RunSource> {
  if (id !== undefined) return openRun(temporal, id, cli.io.env);
  const cluster = guardedCluster(cli, requested);
  const open = await openMaintenance(temporal, cluster);
  if (open !== undefined) return openRun(temporal, open, cli.io.env);
  throw new Problem('Refused', `no maintenance of ${cluster} is under way`, {
    next: startCommand(cluster, { side: 1 }),
  });
}

/** The maintenance of a cluster is whoever holds its lock; the list of runs may lag behind. */
async function openMaintenance(temporal: TemporalClient, cluster: string): Promise<string | undefined> {
  try {
    const handle = temporal.client.workflow.getHandle(maintenanceLockId(cluster));
    const lock = await temporal.connection.withDeadline(Date.now() + 5_000, () => handle.describe());
    return lock.status.name === 'RUNNING' ? (lock.parentExecution?.workflowId ?? undefined) : undefined;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw lost(temporal, error);
  }
}

function decision(cli: Cli, options: WishOptions): { by: string; why?: string } {
  return {
    by: options.by ?? whoami(cli.io.env),
    ...(options.reason === undefined ? {} : { why: options.reason }),
  };
}
