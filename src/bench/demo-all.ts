import { setTimeout as sleep } from 'node:timers/promises';
import pc from 'picocolors';
import { Attachment } from '../cli/attach';
import { makeCli, processIo, type Cli } from '../cli/io';
import { TemporalRun } from '../cli/run-source';
import { newRunId, whoami } from '../cli/who';
import { nodesOfSide } from '../cluster/maintenance/sides';
import { outcomeText } from '../report/outcome';
import { hang } from '../report/text';
import { connectTemporal, temporalConfig, type TemporalClient } from '../systems/temporal';
import type { MaintenanceInput } from '../workflows/maintenance-input';
import { TASK_QUEUE, WORKFLOW_TASK_TIMEOUT } from '../workflows/messages';
import type { Report } from '../workflows/run-state';
import { activeNodes } from './active';
import { bringUp, typed, yours } from './demo-parts';
import { movesOf, ordersReport } from './demo-orders';
import type { OrderLoad } from './order-load';
import { ordersTo, screenWithOrders, startOrders } from './demo-flow';
import { loadTarget, type Target } from './target';

/** Orders flow for this long before anything is moved, and after everything is back. */
const CALM_MS = 2000;
const HELD_MS = 2000;

/** Every tier is moved in turn while orders flow through all of them, and back. Leaves everything running. */
export async function demoAll(): Promise<number> {
  const began = Date.now();
  const target = loadTarget();
  const { haproxy } = target.cluster;
  if (haproxy === undefined) throw new Error('the topology has no engines behind a HAProxy: add the section haproxy');
  await bringUp();
  const scope = await whatToClear(target);
  const cli = makeCli(processIo(), {});
  const temporal = await connectTemporal(temporalConfig(process.env));
  const load = ordersTo(haproxy.address);
  try {
    await startOrders(cli, load);
    const { workflowId, link, report } = await moveThereAndBack(cli, temporal, target.name, scope, load);
    if (report === undefined) return 1;
    await sleep(CALM_MS);
    await load.stop();
    const result = await load.result(target.door, target.login);

    const { style } = cli;
    const done = report.outcome === 'completed';
    const { good, lines } = ordersReport(
      movesOf(report),
      load,
      result,
      { what: 'MOVED', node: 'TO', ended: done },
      style,
    );
    process.stdout.write(
      [
        '',
        `${outcomeText(report.outcome, style)}  ${report.runbook} of ${report.cluster}`,
        hang('  ', report.says, style),
        '',
        ...lines,
        '',
        pc.bold('The runs'),
        `  ${workflowId}`,
        `  ${pc.dim(link)}`,
        ...(report.maintenance?.moves ?? []).map(({ run }) => `    ${run}`),
        ...yours(began, [
          ['bin/veloz-ha show ID', 'the report of one of these runs'],
          ['bin/veloz-ha status', 'the whole picture'],
          ['bin/veloz-ha maintenance start --side 1', 'the same, with a plan and a question first'],
          ['npm run demo -- failover', 'kill the PostgreSQL primary; the guard takes over'],
          ['bin/veloz-ha stack down', 'take it down; also: worker stop, temporal stop'],
        ]),
      ].join('\n'),
    );
    return done && good ? 0 : 1;
  } finally {
    await load.stop();
    await temporal.connection.close();
  }
}

/** Whatever is active now: a side where all of it lives there, else nodes by name. */
async function whatToClear(target: Target): Promise<Pick<MaintenanceInput, 'side' | 'nodes'>> {
  const nodes = Object.values(await activeNodes(target));
  const side = ([1, 2] as const).find((one) => nodes.every((node) => nodesOfSide(target.cluster, one).includes(node)));
  return side === undefined ? { nodes } : { side };
}

/** Runs a maintenance as `veloz-ha maintenance start` and `back` would, with the orders on the last line. */
async function moveThereAndBack(
  cli: Cli,
  temporal: TemporalClient,
  cluster: string,
  scope: Pick<MaintenanceInput, 'side' | 'nodes'>,
  load: OrderLoad,
): Promise<{ workflowId: string; link: string; report?: Report }> {
  const what =
    scope.side === undefined ? (scope.nodes ?? []).map((node) => ` --node ${node}`).join('') : ` --side ${scope.side}`;
  typed(`veloz-ha maintenance start${what} --yes --reason demo`);
  const workflowId = newRunId('maintenance', cluster, Date.now());
  const input: MaintenanceInput = {
    cluster,
    ...scope,
    approval: 'given',
    soak: '0s',
    startedBy: whoami(process.env),
    reason: 'demo',
  };
  const handle = await temporal.client.workflow.start('maintenance', {
    taskQueue: TASK_QUEUE,
    workflowTaskTimeout: WORKFLOW_TASK_TIMEOUT,
    workflowId,
    args: [input],
  });
  const source = new TemporalRun(temporal, workflowId, handle.firstExecutionRunId, process.env);
  const { screen, close } = screenWithOrders(cli, load);
  const attachment = new Attachment(cli, source, screen);
  const run = { workflowId, link: source.link };
  try {
    let waited = await attachment.until({ stop: (state) => state.phase === 'held' });
    if (waited === 'stopped') {
      const { maintenance } = attachment.state ?? {};
      process.stdout.write(
        `\n${maintenance?.trouble ?? 'Everything is moved, and held. Somebody could work on the other nodes now.'}\n`,
      );
      await sleep(HELD_MS);
      typed('veloz-ha maintenance back');
      await source.decide('move back', { by: whoami(process.env), why: 'demo' });
      let left = false;
      const heldAgain = (phase: string) => {
        left ||= phase !== 'held';
        return left && phase === 'held';
      };
      waited = await attachment.until({ stop: (state) => heldAgain(state.phase) });
    }
    const { end, state } = attachment;
    if (end?.kind === 'report') return { ...run, report: end.report };
    const why = end?.says ?? (waited === 'stopped' ? state?.maintenance?.trouble : undefined);
    process.stdout.write(`\n${why ?? 'The run goes on.'}\n  veloz-ha watch ${workflowId}\n`);
    return run;
  } finally {
    attachment.close();
    close();
  }
}
