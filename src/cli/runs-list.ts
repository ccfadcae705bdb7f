import { START_WORKER } from '../cluster/commands';
import type { RunRow } from '../report/runs';
import { Problem } from '../systems/problem';
import { grpcCode, innermost, type TemporalClient } from '../systems/temporal';
import { searchAttributeNames } from '../workflows/messages';
import { lost } from './run-source';
import { unbegunRuns } from './unbegun-runs';

const INVALID_ARGUMENT = 3;

/**
 * Runs as the server's visibility store knows them: open ones first, then by the time of their end. Whoever asks for open ones with the
 * guards gets those too that no worker has begun.
 */
export async function listRuns(
  temporal: TemporalClient,
  options: { limit: number; openOnly?: boolean; guards?: boolean },
): Promise<RunRow[]> {
  const names = searchAttributeNames;
  // The guard is no run: it has no end, and `guard status` shows it. Whoever is about to stop the workers wants to see it.
  const query = `${names.runbook} IS NOT NULL${options.guards === true ? '' : " AND WorkflowType != 'guard'"}${options.openOnly === true ? " AND ExecutionStatus = 'Running'" : ''}`;
  const rows: RunRow[] = [];
  try {
    for await (const info of temporal.client.workflow.list({ query, pageSize: Math.min(options.limit, 100) })) {
      // The untyped form: a run that an older worker wrote may carry a type that the typed one refuses.
      const attributes = info.raw.searchAttributes?.indexedFields ?? {};
      const value = (name: string): unknown => {
        const data = attributes[name]?.data;
        if (data == null) return undefined;
        const decoded: unknown = JSON.parse(Buffer.from(data).toString('utf8'));
        return Array.isArray(decoded) ? (decoded[0] as unknown) : decoded;
      };
      const text = (name: string) => {
        const found = value(name);
        return typeof found === 'string' && found !== '' ? found : undefined;
      };
      const held = value(names.heldMs);
      const phase = text(names.phase);
      const outcome = text(names.outcome);
      rows.push({
        workflowId: info.workflowId,
        runId: info.runId,
        runbook: text(names.runbook) ?? info.type,
        cluster: text(names.cluster) ?? '',
        status: info.status.name.toLowerCase().replace(/_/g, ' '),
        ...(phase === undefined ? {} : { phase }),
        ...(outcome === undefined ? {} : { outcome }),
        startedAt: info.startTime.getTime(),
        ...(info.closeTime === undefined ? {} : { endedAt: info.closeTime.getTime() }),
        ...(typeof held === 'number' ? { heldMs: held } : {}),
      });
      if (rows.length >= options.limit) break;
    }
    if (options.openOnly === true && options.guards === true)
      rows.push(...(await unbegunRuns(temporal, options.limit)));
  } catch (error) {
    if (grpcCode(error) === INVALID_ARGUMENT) {
      throw new Problem(
        'Unreachable',
        `the namespace ${temporal.namespace} does not know the search attributes of runs`,
        {
          why: innermost(error),
          next: `${START_WORKER}   # it registers them when it starts`,
          cause: error,
        },
      );
    }
    throw lost(temporal, error);
  }
  return rows;
}
