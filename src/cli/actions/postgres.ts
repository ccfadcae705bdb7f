import { exitCodes } from '../../failures';
import { clusterText } from '../../report/status';
import { Problem } from '../../systems/problem';
import { requireWorker, type TemporalClient } from '../../systems/temporal';
import { TASK_QUEUE } from '../../workflows/messages';
import { parseSwitchoverInput, type SwitchoverInput } from '../../workflows/switchover-input';
import { askYes } from '../ask';
import { Attachment } from '../attach';
import { clusterLabel, clusterName, withTemporal } from '../context';
import { isInteractive, print, printDocument, say, type Cli } from '../io';
import { observe } from '../observe';
import { lost, TemporalRun } from '../run-source';
import { newRunId, whoami } from '../who';
import { finish, followToEnd, showDetached } from './follow';

/** `postgres status`: members of the cluster, and what is not as it should be. */
export async function postgresStatus(cli: Cli, options: { cluster?: string }): Promise<number> {
  const name = clusterName(cli, options.cluster);
  const { members, findings } = await observe(name);
  const healthy = !findings.some((finding) => finding.result === 'refuse');
  const cluster = { name, members, findings };
  if (cli.format === 'json' || cli.format === 'jsonl') printDocument(cli, { version: 1, healthy, cluster });
  else if (cli.quiet) print(cli, healthy ? 'healthy' : 'unhealthy');
  else print(cli, clusterText(cluster, cli.style));
  return healthy ? exitCodes.ok : exitCodes.unhealthy;
}

/** Options of `postgres switchover`. Durations are as people write them; the input's own schema checks them. */
export interface SwitchoverOptions {
  cluster?: string;
  to?: string;
  expectedPrimary?: string;
  protection?: 'zero-loss' | 'fast';
  plan?: boolean;
  yes?: boolean;
  reason?: string;
  ticket?: string;
  soak?: string;
  holdLimit?: string;
  pauseLimit?: string;
  approvalTimeout?: string;
  notAfter?: string;
  detach?: boolean;
  /** Milliseconds. */
  timeout?: number;
}

/** `postgres switchover`: moves the primary, after a plan and a question, or `--yes`. */
export async function switchover(cli: Cli, options: SwitchoverOptions): Promise<number> {
  const input = switchoverInput(cli, options);
  const ask = options.plan !== true && options.yes !== true && options.detach !== true;
  if (ask && !isInteractive(cli)) {
    throw new Problem('BadInput', 'nobody can be asked here', {
      why: cli.format === 'text' ? 'stdin or stdout is no terminal' : `-o ${cli.format} asks no questions`,
      next: 'veloz-ha postgres switchover --yes, or --plan to see what it would do',
    });
  }
  return withTemporal(cli, async (temporal) => {
    await requireWorker(temporal);
    const source = await start(cli, temporal, input, clusterLabel(cli, options.cluster));
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
        ? await askAndFollow(cli, source, attachment, deadline)
        : await followToEnd(cli, source, attachment, deadline);
    } finally {
      attachment.close();
    }
  });
}

/**
 * The input of the run.
 * @throws Problem `BadInput` that names every mistake
 */
export function switchoverInput(cli: Cli, options: SwitchoverOptions): SwitchoverInput {
  const given: SwitchoverInput = {
    cluster: options.cluster,
    target: options.to,
    expectedPrimary: options.expectedPrimary,
    protection: options.protection,
    mode: options.plan === true ? 'plan' : 'run',
    approval: options.yes === true ? 'given' : 'required',
    approvalTimeout: options.approvalTimeout,
    soak: options.soak,
    holdLimit: options.holdLimit,
    pauseLimit: options.pauseLimit,
    notAfter: options.notAfter,
    startedBy: whoami(cli.io.env),
    reason: options.reason,
    ticket: options.ticket,
  };
  const input = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as SwitchoverInput;
  const parsed = parseSwitchoverInput(input);
  if ('request' in parsed) return input;
  throw new Problem('BadInput', parsed.mistake, { next: 'veloz-ha postgres switchover --help' });
}

async function start(
  cli: Cli,
  temporal: TemporalClient,
  input: SwitchoverInput,
  cluster: string,
): Promise<TemporalRun> {
  const workflowId = newRunId('switchover', cluster, cli.io.now());
  try {
    const handle = await temporal.client.workflow.start('switchover', {
      taskQueue: TASK_QUEUE,
      workflowId,
      args: [input],
    });
    return new TemporalRun(temporal, workflowId, handle.firstExecutionRunId, cli.io.env);
  } catch (error) {
    throw lost(temporal, error);
  }
}

/** Follows the run to its plan, asks, hands the answer to the run, and follows it to its end. */
async function askAndFollow(
  cli: Cli,
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
  const plan = attachment.state?.plan;
  const question = plan === undefined ? 'Go on?' : `Move the primary from ${plan.primary} to ${plan.target}?`;
  const yes = await askYes(cli, question, takeBack.signal);
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
  return followToEnd(cli, source, attachment, deadline);
}
