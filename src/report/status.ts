import type { Check } from '../cluster/check';
import { formatMs } from '../cluster/duration';
import { SLOW_HANDOVER_MS, slowHandoverAdvice } from '../cluster/handover';
import type { HandoverCost } from '../workflows/messages';
import type { Member } from '../workflows/run-state';
import { checksText } from './checks';
import { guardLine, type GuardPart } from './guard';
import { membersTable } from './members';
import { runsTable, type RunRow } from './runs';
import type { Style } from './style';
import { hang, section } from './text';
import { tradingSections, type TradingPicture } from './trading';
import { count, formatSeconds } from './words';

/** Something that is not as it should be, and what to do. */
export interface Finding {
  says: string;
  next: string;
}

/** Members and findings of one cluster. */
export interface ClusterPicture {
  name: string;
  members: Member[];
  findings: Check[];
}

/** The whole picture. One versioned document. */
export interface StatusDocument extends GuardPart, TradingPicture {
  version: 1;
  healthy: boolean;
  temporal: { address: string; namespace: string; reachable: boolean; why?: string; ui: string };
  workers: { identity: string; lastPollAt: number }[];
  handover?: HandoverCost & { slow: boolean };
  cluster?: ClusterPicture;
  /** Open runs, newest first. */
  runs: RunRow[];
  problems: Finding[];
  /** Things that work, but not as well as they could. */
  hints: Finding[];
}

/** What one look adds to the picture. Looks are independent of each other: one that does not answer hides no other one. */
export type StatusPart = Partial<Omit<StatusDocument, 'version' | 'healthy'>>;

/** The parts as one document; problems and hints in the order of the parts. */
export function documentOf(parts: readonly StatusPart[]): StatusDocument {
  const problems = parts.flatMap((part) => part.problems ?? []);
  return {
    version: 1,
    healthy: problems.length === 0,
    temporal: { address: '', namespace: '', reachable: false, ui: '' },
    workers: [],
    runs: [],
    guard: null,
    ...(Object.assign({}, ...parts) as StatusPart),
    problems,
    hints: parts.flatMap((part) => part.hints ?? []),
  };
}

/** The whole picture for a person: what is wrong first, and then everything. */
export function statusText(status: StatusDocument, now: number, style: Style): string {
  const { colour, glyphs } = style;
  const parts: string[] = [];
  const verdict = status.healthy
    ? colour.bold(colour.green(`${glyphs.done} HEALTHY`))
    : colour.bold(colour.red(`${glyphs.failed} UNHEALTHY: ${count(status.problems.length, 'problem')}`));
  const wrong = status.problems.map((problem) => findingText(problem, colour.red(glyphs.failed), style));
  parts.push([verdict, ...wrong].join('\n'));
  if (status.hints.length > 0) {
    parts.push(status.hints.map((hint) => findingText(hint, colour.yellow(glyphs.warning), style)).join('\n'));
  }
  parts.push(section('Temporal', (inner) => temporalLines(status, now, inner).join('\n'), style));
  if (status.cluster !== undefined) parts.push(clusterText(status.cluster, style));
  parts.push(...tradingSections(status, style));
  parts.push(...guardSection(status, now, style));
  if (status.runs.length > 0) parts.push(section('Open runs', (inner) => runsTable(status.runs, now, inner), style));
  return parts.join('\n\n');
}

/** Members of a cluster, and what is not as it should be. */
export function clusterText(cluster: ClusterPicture, style: Style): string {
  return section(
    `Cluster ${cluster.name}`,
    (inner) => {
      const checks = checksText(cluster.findings, inner);
      return membersTable(cluster.members, inner) + (checks === '' ? '' : `\n\n${checks}`);
    },
    style,
  );
}

/** Who watches the cluster; nothing where that is not known. */
export function guardSection(part: GuardPart, now: number, style: Style): string[] {
  const line = (inner: Style) => guardLine(part, now, inner);
  return part.guard === null && part.noGuard === undefined ? [] : [section('Guard', line, style)];
}

/** The hint for a slow server: what was measured, the limit, and the settings to change. */
export function slowHandoverHint(cost: HandoverCost): Finding {
  return {
    says: `a hand-over by Temporal costs at least ${formatMs(cost.minMs)} (limit: ${SLOW_HANDOVER_MS} ms); every step of a run takes that much longer`,
    next: slowHandoverAdvice,
  };
}

function temporalLines(status: StatusDocument, now: number, style: Style): string[] {
  const { colour, glyphs } = style;
  const { temporal, workers, handover } = status;
  const good = colour.green(glyphs.done);
  const bad = colour.red(glyphs.failed);
  const lines = [
    temporal.reachable
      ? `${good} server     ${temporal.address}, namespace ${temporal.namespace}, Web UI ${temporal.ui}`
      : `${bad} server     ${temporal.address} is not reachable${temporal.why === undefined ? '' : `: ${temporal.why}`}`,
  ];
  if (!temporal.reachable) return lines;
  const seen = workers.map((worker) => `${worker.identity} (${formatSeconds(now - worker.lastPollAt)} ago)`);
  lines.push(
    workers.length === 0 ? `${bad} workers    none polls the task queue` : `${good} workers    ${seen.join(', ')}`,
  );
  if (handover === undefined) {
    lines.push(`${colour.dim(glyphs.pending)} hand-over  not measured yet: a worker measures it when it starts`);
  } else {
    const sign = handover.slow ? colour.yellow(glyphs.warning) : good;
    lines.push(
      `${sign} hand-over  ${formatMs(handover.medianMs)} median, ${formatMs(handover.maxMs)} at most, ${count(handover.samples, 'sample')} at ${style.dateTime(handover.measuredAt)}`,
    );
  }
  return lines;
}

function findingText(finding: Finding, sign: string, style: Style): string {
  return `${hang(`${sign} `, finding.says, style)}\n${hang(`    ${style.colour.dim('next')}  `, finding.next, style)}`;
}
