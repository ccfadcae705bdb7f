import { guardCommand } from '../../cluster/commands';
import { exitCodes } from '../../failures';
import type { RunView } from '../../report/live';
import { stateText } from '../../report/state';
import { clusterOfId } from '../../report/runbooks';
import { runsTable, type RunRow } from '../../report/runs';
import { Problem } from '../../systems/problem';
import { requireWorker, type TemporalClient } from '../../systems/temporal';
import { renderDetails } from '../../workflows/runbook/details';
import { Attachment } from '../attach';
import { inCluster, withTemporal } from '../context';
import { print, printDocument, say, type Cli } from '../io';
import type { RunEnd } from '../run-end';
import { openRun, RunTrouble, type DecisionKind, type RunSource } from '../run-source';
import { listRuns } from '../runs-list';
import { whoami } from '../who';
import { followToEnd, showEnd } from './follow';

/** `runs`: the latest runs. */
export function runs(cli: Cli, options: { limit: number; open?: boolean }): Promise<number> {
  return withTemporal(cli, async (temporal) => {
    const rows = await listRuns(temporal, { limit: options.limit, openOnly: options.open, guards: options.open });
    if (cli.format === 'json') printDocument(cli, { version: 1, runs: rows });
    else if (cli.format === 'jsonl') for (const row of rows) printDocument(cli, { version: 1, event: 'run', run: row });
    else if (rows.length === 0)
      say(cli, options.open === true ? 'No run is open.' : 'No run yet. Start one: veloz-ha postgres switchover');
    else {
      print(cli, runsTable(rows, cli.io.now(), cli.style));
      if (rows.some(({ runbook }) => runbook === 'guard'))
        say(cli, `A guard has no end. Before workers of another version start: ${handOvers(rows)}`);
    }
    return exitCodes.ok;
  });
}

/** `show [ID]`: the report of a run that has ended, the state of one that goes on. */
export function show(cli: Cli, _options: object, id?: string): Promise<number> {
  return withTemporal(cli, async (temporal) => {
    const source = await openRun(temporal, id ?? (await newestRun(temporal)), cli.io.env);
    const end = await endIfOver(source, temporal);
    if (end !== undefined) {
      showEnd(cli, source, end);
      return exitCodes.ok;
    }
    const view: RunView = { workflowId: source.workflowId, link: source.link };
    try {
      view.state = await source.status();
    } catch (error) {
      if (!(error instanceof RunTrouble)) throw error;
      view.trouble = { kind: error.kind, says: error.message, since: cli.io.now() };
    }
    view.pending = await source.pending().catch(() => undefined);
    switch (cli.format) {
      case 'json':
      case 'jsonl':
        if (view.state === undefined) {
          throw new Problem('Unreachable', 'the run does not answer', {
            why: view.trouble?.says,
            next: inCluster('veloz-ha status', clusterOfId(source.workflowId)),
          });
        }
        printDocument(cli, view.state);
        break;
      case 'markdown':
        if (view.state !== undefined) print(cli, renderDetails(view.state));
        break;
      case 'text':
        print(cli, stateText(view, cli.io.now(), cli.style));
    }
    return view.state === undefined ? exitCodes.unreachable : exitCodes.ok;
  });
}

/** `watch [ID]`: follows a run to its end. */
export function watch(cli: Cli, options: { timeout?: number }, id?: string): Promise<number> {
  return withTemporal(cli, async (temporal) => {
    const source = await openRun(temporal, id ?? (await theOpenRun(temporal)), cli.io.env);
    if (cli.format === 'text')
      say(
        cli,
        `${cli.style.colour.dim('Run ')} ${source.workflowId}\n${cli.style.colour.dim('Link')} ${source.link}\n`,
      );
    const attachment = new Attachment(cli, source);
    try {
      return await followToEnd(
        cli,
        source,
        attachment,
        options.timeout === undefined ? undefined : cli.io.now() + options.timeout,
      );
    } finally {
      attachment.close();
    }
  });
}

/** `approve`, `reject`, `abort`: a person's decision, with name and reason. */
export function decide(kind: DecisionKind) {
  return (cli: Cli, options: { why?: string; by?: string }, id: string): Promise<number> =>
    withTemporal(cli, async (temporal) => {
      const source = await openRun(temporal, id, cli.io.env);
      await requireWorker(temporal);
      const by = options.by ?? whoami(cli.io.env);
      const answer = await source.decide(kind, { by, ...(options.why === undefined ? {} : { why: options.why }) });
      if (cli.format === 'json' || cli.format === 'jsonl') {
        printDocument(cli, { version: 1, decision: { kind, by, workflowId: source.workflowId, answer } });
      } else {
        const { colour, glyphs } = cli.style;
        say(
          cli,
          `${colour.green(glyphs.done)} ${answer}\n  ${colour.dim('Follow it ')} ${colour.cyan(`veloz-ha watch ${source.workflowId}`)}`,
        );
      }
      return exitCodes.ok;
    });
}

/** What has every guard begin its history anew. */
const handOvers = (rows: readonly RunRow[]): string =>
  rows
    .filter(({ runbook }) => runbook === 'guard')
    .map(({ workflowId }) => guardCommand('hand-over', clusterOfId(workflowId) ?? 'NAME'))
    .join(' && ');

/** The end of a run that is over; undefined while it goes on. */
async function endIfOver(source: RunSource, temporal: TemporalClient): Promise<RunEnd | undefined> {
  const description = await temporal.client.workflow.getHandle(source.workflowId, source.runId).describe();
  return description.status.name === 'RUNNING' ? undefined : source.end();
}

async function newestRun(temporal: TemporalClient): Promise<string> {
  const rows = await listRuns(temporal, { limit: 50 });
  const newest = rows.reduce<(typeof rows)[number] | undefined>(
    (best, row) => (best === undefined || row.startedAt > best.startedAt ? row : best),
    undefined,
  );
  if (newest !== undefined) return newest.workflowId;
  throw new Problem('BadInput', 'there is no run to show', { next: 'veloz-ha postgres switchover --plan' });
}

async function theOpenRun(temporal: TemporalClient): Promise<string> {
  const rows = await listRuns(temporal, { limit: 50, openOnly: true });
  const only = rows[0];
  if (only !== undefined && rows.length === 1) return only.workflowId;
  throw new Problem('BadInput', only === undefined ? 'no run is open' : `${rows.length} runs are open: name one`, {
    next: only === undefined ? 'veloz-ha runs' : `veloz-ha watch ${only.workflowId}`,
  });
}
