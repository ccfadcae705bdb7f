import { exitCodes } from '../../failures';
import { planQuestion } from '../../report/runbooks';
import { Problem } from '../../systems/problem';
import { requireWorker, type TemporalClient } from '../../systems/temporal';
import { TASK_QUEUE, WORKFLOW_TASK_TIMEOUT } from '../../workflows/messages';
import { askYes } from '../ask';
import { Attachment } from '../attach';
import { clusterLabel, inCluster, withTemporal } from '../context';
import { isInteractive, say, type Cli } from '../io';
import { lost, TemporalRun } from '../run-source';
import { newRunId, whoami } from '../who';
import { finish, followToEnd, showDetached, type Rest } from './follow';

/** Options of every command that starts a run. Durations are as people write them; the input's own schema checks them. */
export interface LaunchOptions {
  cluster?: string;
  plan?: boolean;
  yes?: boolean;
  reason?: string;
  ticket?: string;
  soak?: string;
  approvalTimeout?: string;
  detach?: boolean;
  /** Milliseconds. */
  timeout?: number;
}

/** A run to be started. */
export interface Launch {
  /** The workflow's type: `addStandby`. */
  workflow: string;
  /** The first part of the run's id: `add-standby`. */
  runbook: string;
  /** What was typed, without options and cluster: `veloz-ha postgres add-standby`. */
  command: string;
  /** The run's input, checked already. */
  input: CommonInput;
  /** What a yes means besides the plan, as a sentence without full stop: "Up to 16.0 MB may be lost". */
  warning?: string;
  /** Where waiting ends although the run goes on. Default: nowhere. */
  rest?: Rest;
}

/** The keys that every runbook's input has. */
export interface CommonInput {
  cluster?: string;
  mode?: 'run' | 'plan';
  approval?: 'required' | 'given';
  approvalTimeout?: string;
  soak?: string;
  startedBy?: string;
  reason?: string;
  ticket?: string;
}

/** The part of a run's input that is the same for every runbook. */
export function commonInput(cli: Cli, options: LaunchOptions): CommonInput {
  return {
    cluster: options.cluster,
    mode: options.plan === true ? 'plan' : 'run',
    approval: options.yes === true ? 'given' : 'required',
    approvalTimeout: options.approvalTimeout,
    soak: options.soak,
    startedBy: whoami(cli.io.env),
    reason: options.reason,
    ticket: options.ticket,
  };
}

/**
 * An input without the keys that were not given, as the run's own schema takes it.
 * @throws Problem `BadInput` that names every mistake
 */
export function checkedInput<Input extends object>(
  given: Input,
  parse: (input: unknown) => { request: unknown } | { mistake: string },
  command: string,
): Input {
  const input = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Input;
  const parsed = parse(input);
  if ('request' in parsed) return input;
  throw new Problem('BadInput', parsed.mistake, { next: `${command} --help` });
}

/** Starts a run, shows its plan, asks unless told not to, and follows it to its end. */
export async function launch(cli: Cli, what: Launch, options: LaunchOptions): Promise<number> {
  const { input, command } = what;
  const ask = options.plan !== true && options.yes !== true && options.detach !== true;
  if (ask && !isInteractive(cli)) {
    throw new Problem('BadInput', 'nobody can be asked here', {
      why: cli.format === 'text' ? 'stdin or stdout is no terminal' : `-o ${cli.format} asks no questions`,
      next: `${inCluster(command, options.cluster)} --yes, or --plan to see what it would do`,
    });
  }
  return withTemporal(cli, async (temporal) => {
    await requireWorker(temporal);
    const source = await start(cli, temporal, what, clusterLabel(cli, options.cluster));
    if (options.detach === true) {
      showDetached(
        cli,
        source,
        input.approval === 'required' ? 'Started: it waits for approval once its plan is made.' : 'Started.',
      );
      return exitCodes.ok;
    }
    if (cli.format === 'text') {
      const { colour } = cli.style;
      say(cli, `${colour.dim('Run ')} ${source.workflowId}\n${colour.dim('Link')} ${source.link}\n`);
    }
    const attachment = new Attachment(cli, source);
    const deadline = options.timeout === undefined ? undefined : cli.io.now() + options.timeout;
    try {
      return ask
        ? await askAndFollow(cli, what, source, attachment, deadline)
        : await followToEnd(cli, source, attachment, deadline, what.rest);
    } finally {
      attachment.close();
    }
  });
}

async function start(cli: Cli, temporal: TemporalClient, what: Launch, cluster: string): Promise<TemporalRun> {
  const workflowId = newRunId(what.runbook, cluster, cli.io.now());
  try {
    const handle = await temporal.client.workflow.start(what.workflow, {
      taskQueue: TASK_QUEUE,
      workflowId,
      workflowTaskTimeout: WORKFLOW_TASK_TIMEOUT,
      args: [what.input],
    });
    return new TemporalRun(temporal, workflowId, handle.firstExecutionRunId, cli.io.env);
  } catch (error) {
    throw lost(temporal, error);
  }
}

/** Follows the run to its plan, asks, hands the answer to the run, and follows it to its end. */
async function askAndFollow(
  cli: Cli,
  what: Launch,
  source: TemporalRun,
  attachment: Attachment,
  deadline: number | undefined,
): Promise<number> {
  const waited = await attachment.until({ deadline, stop: (state) => state.approval.state === 'waiting' });
  if (waited !== 'stopped') return finish(cli, source, attachment, waited);

  // The question is taken back when somebody else decides, when the time for it is over, or when the run ends.
  const takeBack = new AbortController();
  const decidedElsewhere = attachment
    .unseen({ deadline, stop: (state) => state.approval.state !== 'waiting' })
    .then((how) => {
      takeBack.abort();
      return how;
    });
  const question = planQuestion(what.runbook, attachment.state?.plan);
  const warning = what.warning === undefined ? '' : ` ${what.warning}.`;
  const yes = await askYes(cli, `${question}${warning}`, takeBack.signal);
  if (takeBack.signal.aborted) {
    const how = await decidedElsewhere;
    if (how === 'timeout') return finish(cli, source, attachment, how);
    say(cli, 'The question is answered already.');
  } else {
    const why =
      yes === true
        ? 'answered yes at the terminal'
        : yes === false
          ? 'answered no at the terminal'
          : 'the question was interrupted';
    try {
      say(cli, await source.decide(yes === true ? 'approve' : 'reject', { by: whoami(cli.io.env), why }));
    } catch (error) {
      // Somebody was quicker. What the run does now is what counts.
      if (!(error instanceof Problem) || error.type !== 'Refused') throw error;
      say(cli, `${error.message}: ${error.detail.why ?? ''}`);
    }
  }
  say(cli, '');
  return followToEnd(cli, source, attachment, deadline, what.rest);
}
