import { headline } from '../cluster/check';
import { formatMs } from '../cluster/duration';
import type { FailoverFacts, Member, Report, StepState } from '../workflows/run-state';
import { afterFirst, speaksWord } from './evidence';
import { engineCells, engineColumns } from './engine-cells';
import { reportFacts } from './facts';
import { failoverParts, timesTitle } from './failover';
import { redisCells, redisColumns, sentinelCells, sentinelColumns } from './redis-cells';
import { checksSummary, formatBytes, noteOf, stepLabel } from './words';

/** Markdown is read anywhere, by anybody, later: times are in UTC. */
const look = {
  arrow: '→',
  dateTime: (epochMs: number) => `${new Date(epochMs).toISOString().slice(0, 19).replace('T', ' ')} UTC`,
};

/** The final report of a run as Markdown, to be pasted into a ticket. */
export function reportMarkdown(report: Report, link?: string): string {
  const parts: string[] = [`## ${report.runbook} of ${report.cluster}: ${report.outcome}`, escape(report.says)];
  parts.push(
    reportFacts(report, look)
      .map((fact) => `- **${fact.name}**: ${escape(fact.value)}`)
      .join('\n'),
  );
  if (report.failover !== undefined) parts.push(...failoverMarkdown(report.failover));
  if (report.checks.length > 0) parts.push(`### Checks\n\n${checksSummary(report.checks)}${flagged(report)}`);
  if (report.steps.some((step) => step.state !== 'pending')) parts.push(`### Steps\n\n${steps(report.steps)}`);
  const members = report.membersAfter ?? report.membersBefore;
  if (members !== undefined) parts.push(`### Members\n\n${membersMarkdown(members)}`);
  const engines = report.enginesAfter ?? report.enginesBefore;
  if (engines !== undefined) parts.push(`### Engines\n\n${tableMarkdown(engineColumns, engines.map(engineCells))}`);
  const redis = report.redisAfter ?? report.redisBefore;
  if (redis !== undefined)
    parts.push(
      `### Redis\n\n${tableMarkdown(redisColumns, redis.nodes.map(redisCells))}`,
      tableMarkdown(sentinelColumns, redis.sentinels.map(sentinelCells)),
    );
  if (report.warnings.length > 0)
    parts.push(`### Warnings\n\n${report.warnings.map((warning) => `- ${escape(warning)}`).join('\n')}`);
  if (report.next.length > 0) {
    parts.push(`### Next\n\n${report.next.map((next) => `- \`${next.command}\`: ${escape(next.why)}`).join('\n')}`);
  }
  parts.push(link === undefined ? `Run \`${report.workflowId}\`` : `Run [\`${report.workflowId}\`](${link})`);
  return parts.join('\n\n');
}

/** How the failure is known, and where the time went, as tables. */
function failoverMarkdown(failover: FailoverFacts): string[] {
  const { signals } = failover;
  const parts: string[] = [];
  if (signals.length > 0) {
    const rows = signals.map((signal) => [
      look.dateTime(signal.at),
      afterFirst(signal, signals),
      signal.source,
      speaksWord[signal.speaks],
      signal.says,
    ]);
    parts.push(`### Evidence\n\n${tableMarkdown(['Time', 'After', 'Way', 'Failure?', 'It said'], rows)}`);
  }
  const times = failoverParts(failover);
  if (times.length > 0) {
    const rows = times.map((part) => [part.says, `+${formatMs(part.atMs)}`, formatMs(part.ms)]);
    parts.push(`### ${timesTitle(failover.detectMs)}\n\n${tableMarkdown(['Part', 'Began', 'Took'], rows)}`);
  }
  return parts;
}

/** The members of a cluster as a Markdown table. */
function membersMarkdown(members: readonly Member[]): string {
  return tableMarkdown(
    ['Node', 'Role', 'State', 'Timeline', 'LSN', 'Lag', 'Sync', 'Note'],
    members.map((member) => [
      member.name,
      member.role,
      member.state,
      member.timeline === undefined ? '' : String(member.timeline),
      member.lsn ?? '',
      member.lagBytes === undefined ? '' : formatBytes(member.lagBytes),
      member.sync ?? '',
      noteOf(member),
    ]),
  );
}

function steps(all: readonly StepState[]): string {
  const rows: string[][] = [];
  for (const [index, step] of all.entries()) {
    rows.push([
      String(index + 1),
      stepLabel(step),
      step.state,
      step.ms === undefined ? '' : formatMs(step.ms),
      step.detail ?? '',
    ]);
    for (const part of step.subSteps ?? []) rows.push(['', `· ${part.says}`, '', formatMs(part.ms), part.detail ?? '']);
  }
  return tableMarkdown(['#', 'Step', 'State', 'Took', 'Measured'], rows);
}

function flagged(of: Pick<Report, 'checks'>): string {
  const lines = of.checks
    .filter((check) => check.result === 'refuse' || check.result === 'warn')
    .map((check) => {
      const limit = check.limit === undefined ? '' : ` (limit: ${check.limit})`;
      const next = check.next === undefined ? '' : `. Next: ${check.next}`;
      return `- **${check.id}** ${check.result === 'refuse' ? 'refuses' : 'warns'}: ${escape(`${headline(check)}: ${check.measured}${limit}${next}`)}`;
    });
  return lines.length === 0 ? '' : `\n\n${lines.join('\n')}`;
}

function tableMarkdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(escape).join(' | ')} |`;
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n');
}

/** Keeps what people and servers wrote from being read as Markdown or HTML. */
function escape(text: string): string {
  return text.replace(/[\\|<>*_`[\]]/g, (sign) => `\\${sign}`).replace(/\s*\n\s*/g, ' ');
}
