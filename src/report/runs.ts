import { formatMs } from '../cluster/duration';
import type { Style } from './style';
import { table } from './text';

/** A run in a list. */
export interface RunRow {
  workflowId: string;
  runId: string;
  runbook: string;
  cluster: string;
  /** The server's word in small letters: running, completed, failed, terminated, … */
  status: string;
  phase?: string;
  outcome?: string;
  /** Milliseconds since the epoch. */
  startedAt: number;
  endedAt?: number;
  /** Milliseconds for which clients waited. */
  heldMs?: number;
}

/** What a run does now, or how it ended, in a word or two. */
export function runWord(row: RunRow): string {
  if (row.status === 'running') return row.phase ?? 'running';
  return row.outcome ?? row.status;
}

/** Runs as a table, in the order given. */
export function runsTable(rows: readonly RunRow[], now: number, style: Style): string {
  return table(
    ['STARTED', 'RUNBOOK', 'CLUSTER', 'STATE', 'TOOK', 'CLIENTS WAITED', 'ID'],
    rows.map((row) => [
      style.dateTime(row.startedAt),
      row.runbook,
      row.cluster,
      paint(row, style),
      formatMs((row.endedAt ?? now) - row.startedAt),
      row.heldMs === undefined ? '' : formatMs(row.heldMs),
      row.workflowId,
    ]),
    style,
    { right: ['TOOK', 'CLIENTS WAITED'] },
  );
}

function paint(row: RunRow, style: Style): string {
  const { colour } = style;
  const word = runWord(row);
  if (row.status === 'running') return colour.cyan(word);
  switch (row.outcome) {
    case 'completed':
    case 'planned':
      return colour.green(word);
    case 'completed with warnings':
    case 'refused':
    case 'busy':
    case 'rejected':
    case 'not approved in time':
    case 'rolled back':
    case 'aborted':
      return colour.yellow(word);
    default:
      return row.status === 'completed' ? word : colour.red(word);
  }
}
