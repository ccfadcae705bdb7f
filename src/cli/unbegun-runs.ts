import type { RunRow } from '../report/runs';
import type { TemporalClient } from '../systems/temporal';
import { searchAttributeNames, TASK_QUEUE } from '../workflows/messages';

/** The runbooks, as workflows are called; their locks and the probe of hand-overs are none. */
export const runbooks = [
  'switchover',
  'failover',
  'guard',
  'rejoin',
  'addStandby',
  'removeStandby',
  'repair',
  'engineDrain',
  'engineReady',
  'engineSwitchover',
  'redisFailover',
  'maintenance',
] as const;

/**
 * Open runs that no worker has begun: what is searched for in a run is set by its first task, so they have none of it yet. The cluster
 * is that of their input, and empty where that names none: the topology's default then.
 */
export async function unbegunRuns(temporal: TemporalClient, limit: number): Promise<RunRow[]> {
  const types = runbooks.map((type) => `'${type}'`).join(', ');
  const query = `TaskQueue = '${TASK_QUEUE}' AND ExecutionStatus = 'Running' AND ${searchAttributeNames.runbook} IS NULL AND WorkflowType IN (${types})`;
  const rows: RunRow[] = [];
  for await (const { workflowId, runId, type, startTime } of temporal.client.workflow.list({ query, pageSize: 100 })) {
    rows.push({
      workflowId,
      runId,
      runbook: type,
      cluster: await clusterOfInput(temporal, workflowId, runId),
      status: 'running',
      phase: 'not begun',
      startedAt: startTime.getTime(),
    });
    if (rows.length >= limit) break;
  }
  return rows;
}

/** The cluster that the input of a run names; empty where it names none, or can't be read. */
async function clusterOfInput({ client, namespace }: TemporalClient, workflowId: string, runId: string) {
  try {
    const { history } = await client.workflowService.getWorkflowExecutionHistory({
      namespace,
      execution: { workflowId, runId },
      maximumPageSize: 1,
    });
    const [input] = history?.events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads ?? [];
    if (input?.data == null) return '';
    const { cluster } = (JSON.parse(Buffer.from(input.data).toString('utf8')) ?? {}) as { cluster?: unknown };
    return typeof cluster === 'string' ? cluster.trim() : '';
  } catch {
    return '';
  }
}

/** Schedules that start one of the runbooks and are not paused. */
export async function schedulesOfRunbooks({ client }: TemporalClient): Promise<{ id: string; starts: string }[]> {
  const found: { id: string; starts: string }[] = [];
  for await (const { scheduleId, action, state } of client.schedule.list()) {
    const starts = action?.workflowType;
    if (starts !== undefined && !state.paused && runbooks.some((each) => each === starts))
      found.push({ id: scheduleId, starts });
  }
  return found;
}
