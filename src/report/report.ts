import type { Report } from '../workflows/run-state';
import { checksBlock } from './checks';
import { reportFacts } from './facts';
import { enginesTable } from './engine';
import { membersTable } from './members';
import { evidenceTable } from './evidence';
import { failoverParts, timesTitle } from './failover';
import { redisTables } from './redis';
import { outcomeText } from './outcome';
import { planText } from './plan';
import { stepsTable, timeline } from './steps';
import type { Style } from './style';
import { cut, hang, padEnd, section, warningsText } from './text';

/**
 * The final report of a run: outcome, how it failed and how that is known, RTO, RPO with its proof, steps, warnings, what to
 * run next, link.
 */
export function reportText(report: Report, style: Style, link?: string): string {
  const { colour, glyphs } = style;
  const parts: string[] = [];
  const block = (title: string, body: (inner: Style) => string) => parts.push(section(title, body, style));
  const head = `${outcomeText(report.outcome, style)}  ${report.runbook} of ${report.cluster}`;
  parts.push(`${head}\n${hang('  ', report.says, style)}`);

  const facts = reportFacts(report, { arrow: glyphs.arrow, dateTime: style.dateTime });
  const width = Math.max(...facts.map((fact) => fact.name.length));
  parts.push(facts.map((fact) => hang(`  ${colour.dim(padEnd(fact.name, width))}  `, fact.value, style)).join('\n'));

  if (report.failover !== undefined) {
    const { signals, detectMs } = report.failover;
    if (signals.length > 0) block('Evidence', (inner) => evidenceTable(signals, inner));
    const times = failoverParts(report.failover);
    const title = timesTitle(detectMs);
    if (times.length > 0) block(title, (inner) => timeline(times, inner));
  }
  if (report.checks.length > 0) block('Checks', (inner) => checksBlock(report.checks, inner));
  if (report.outcome === 'planned' && report.plan !== undefined)
    parts.push(planText(report.runbook, report.plan, style));
  const begun = report.steps.some((step) => step.state !== 'pending');
  if (begun) block('Steps', (inner) => stepsTable(report.steps, inner));
  for (const step of report.steps) {
    const subSteps = step.subSteps ?? [];
    if (subSteps.length > 1)
      block(`Where the time of "${cut(step.says, style.width - 26, style)}" went`, (inner) =>
        timeline(subSteps, inner),
      );
  }
  const members = report.membersAfter ?? report.membersBefore;
  if (members !== undefined) {
    block(report.membersAfter === undefined ? 'Members' : 'Members now', (inner) => membersTable(members, inner));
  }
  const engines = report.enginesAfter ?? report.enginesBefore;
  if (engines !== undefined)
    block(report.enginesAfter === undefined ? 'Engines' : 'Engines now', (inner) => enginesTable(engines, inner));
  const redis = report.redisAfter ?? report.redisBefore;
  if (redis !== undefined)
    block(report.redisAfter === undefined ? 'Redis' : 'Redis now', (inner) => redisTables(redis, inner));
  // A warning that a check raised stands with the check already.
  const others = report.warnings.filter(
    (warning) => !report.checks.some((check) => warning.startsWith(`${check.id}: `)),
  );
  if (others.length > 0) block('Warnings', (inner) => warningsText(others, inner));
  if (report.next.length > 0) {
    block('Next', (inner) => nextText(report.next, inner));
  }
  const tail = [`${colour.dim('Run ')} ${report.workflowId}`];
  if (link !== undefined) tail.push(`${colour.dim('Link')} ${link}`);
  parts.push(tail.join('\n'));
  return parts.join('\n\n');
}

/** Commands to run, each with why: beside it, or below where the terminal is too narrow. */
function nextText(next: Report['next'], style: Style): string {
  const { colour } = style;
  const width = Math.max(...next.map(({ command }) => command.length));
  const beside = next.every(({ why }) => width + 2 + why.length <= style.width);
  return next
    .map(({ command, why }) =>
      beside
        ? `${colour.cyan(padEnd(command, width))}  ${colour.dim(why)}`
        : `${colour.cyan(command)}\n${colour.dim(hang('    ', why, style))}`,
    )
    .join('\n');
}

/** One line for `-q`: outcome and story. */
export function reportLine(report: Report, style: Style): string {
  return `${outcomeText(report.outcome, style)}  ${report.says}`;
}
