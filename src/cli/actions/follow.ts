import { splitNext } from '../../cluster/check';
import { exitCodes, type FailureType } from '../../failures';
import { reportMarkdown } from '../../report/markdown';
import { reportLine, reportText } from '../../report/report';
import { clusterOfId, commandOf, movesPostgres, runbookOfId } from '../../report/runbooks';
import { Problem } from '../../systems/problem';
import type { RunState } from '../../workflows/run-state';
import type { Attachment, Waited } from '../attach';
import { inCluster } from '../context';
import { print, printDocument, say, type Cli } from '../io';
import type { RunEnd } from '../run-end';
import type { RunSource } from '../run-source';

/** A state in which a run goes on for as long as people want, so that nobody has to wait for its end. */
export interface Rest {
  isReached(state: RunState): boolean;
  /** Shows it, and returns the exit code. */
  show(cli: Cli, source: RunSource, state: RunState): number;
}

/**
 * Waits for the end of a run and shows it. Ctrl-C and the deadline end the waiting, never the run.
 * @param rest ends the waiting too, where it is reached
 */
export async function followToEnd(
  cli: Cli,
  source: RunSource,
  attachment: Attachment,
  deadline: number | undefined,
  rest?: Rest,
): Promise<number> {
  const waited = await attachment.until({
    deadline,
    stop: rest === undefined ? undefined : (now) => rest.isReached(now),
  });
  const { state } = attachment;
  if (waited === 'stopped' && rest !== undefined && state !== undefined) return rest.show(cli, source, state);
  return finish(cli, source, attachment, waited);
}

/** Shows how waiting ended, and returns the exit code. */
export function finish(cli: Cli, source: RunSource, attachment: Attachment, waited: Waited): number {
  switch (waited) {
    case 'ended':
      if (attachment.end === undefined) throw new Problem('Failed', 'the run ended without an end');
      return showEnd(cli, source, attachment.end);
    case 'timeout':
      throw new Problem('Incomplete', `the time limit ended the waiting, not the run: ${source.workflowId} goes on`, {
        why:
          attachment.state === undefined
            ? 'no worker has told of it yet'
            : `it is ${attachment.state.phase}: ${attachment.state.says}`,
        next: `veloz-ha watch ${source.workflowId}`,
      });
    case 'stopped':
    case 'detached': {
      showDetached(cli, source, 'Detached: the run goes on.', attachment.state);
      return exitCodes.interrupted;
    }
  }
}

/** The id, the link and the way back, for somebody who does not wait. */
export function showDetached(cli: Cli, source: RunSource, says: string, state?: RunState): void {
  if (cli.format === 'json' || cli.format === 'jsonl') {
    printDocument(cli, {
      version: 1,
      ...(cli.format === 'jsonl' ? { event: 'detached' } : {}),
      run: {
        workflowId: source.workflowId,
        runId: source.runId,
        link: source.link,
        watch: `veloz-ha watch ${source.workflowId}`,
      },
    });
    return;
  }
  if (cli.quiet) {
    print(cli, source.workflowId);
    return;
  }
  const { colour } = cli.style;
  const fact = (name: string, value: string) => `  ${colour.dim(name.padEnd(9))}  ${value}`;
  const lines = [says, fact('Run', source.workflowId), fact('Link', source.link)];
  if (state !== undefined) lines.push(fact('Now', state.says));
  lines.push(fact('Come back', colour.cyan(`veloz-ha watch ${source.workflowId}`)));
  if (state?.approval.state === 'waiting')
    lines.push(fact('Approve', colour.cyan(`veloz-ha approve ${source.workflowId}`)));
  if (state?.pointOfNoReturnPassed !== true)
    lines.push(fact('Stop it', colour.cyan(`veloz-ha abort ${source.workflowId}`)));
  print(cli, lines.join('\n'));
}

/** What a run that left no report is followed by. One that was ended in its middle still has what it had taken, and gives nothing back. */
function afterNoReport(workflowId: string, type: FailureType): string {
  const cluster = clusterOfId(workflowId);
  const repairs = type === 'Incomplete' && movesPostgres(runbookOfId(workflowId));
  return repairs ? inCluster('veloz-ha repair --plan', cluster) : inCluster('veloz-ha status', cluster);
}

/**
 * Shows the end of a run.
 * @throws Problem of the run's own failure type when it left no report
 */
export function showEnd(cli: Cli, source: Pick<RunSource, 'workflowId' | 'link'>, end: RunEnd): number {
  if (end.kind === 'no report' && end.type === 'BadInput') {
    const { what, next } = splitNext(end.says);
    throw new Problem('BadInput', what, {
      next: next ?? `${commandOf(runbookOfId(source.workflowId) ?? 'switchover')} --help`,
    });
  }
  if (end.kind === 'no report') {
    throw new Problem(end.type, `the run ${source.workflowId} left no report`, {
      why: `${end.says}; what it did: ${source.link}`,
      next: afterNoReport(source.workflowId, end.type),
    });
  }
  const { report } = end;
  switch (cli.format) {
    case 'json':
      printDocument(cli, report);
      break;
    case 'jsonl':
      printDocument(cli, { version: 1, event: 'report', report });
      break;
    case 'markdown':
      print(cli, reportMarkdown(report, source.link));
      break;
    case 'text':
      if (cli.quiet) print(cli, reportLine(report, cli.style));
      else say(cli, `\n${reportText(report, cli.style, source.link)}`);
  }
  return end.exitCode;
}
