import { problemSentence } from '../../cluster/check';
import { formatMs } from '../../cluster/duration';
import { engineCells, engineColumns } from '../../report/engine-cells';
import { redisCells, redisColumns, sentinelCells, sentinelColumns } from '../../report/redis-cells';
import { heldDetails } from '../../report/maintenance';
import { planHeadline, planHold, runbookName, untouched } from '../../report/runbooks';
import { fractionOf, progressText } from '../../report/words';
import type { CopyProgress, Plan, RunState, StepState } from '../run-state';

const marks: Record<StepState['state'], string> = {
  pending: '☐',
  running: '▶',
  done: '✔',
  failed: '✖',
  undoing: '↩',
  undone: '↩',
  skipped: '–',
};

/** A cell of a Markdown table holds no line breaks and no bars. */
const cell = (text: string): string => text.replace(/\|/g, '\\|').replace(/\s+/g, ' ');

/** The live checklist that the Web UI shows: what happens now, what a person can do, the members, the steps, the checks. */
export function renderDetails(state: RunState): string {
  const lines: string[] = [`### ${state.runbook} of cluster \`${state.cluster}\`: ${state.phase}`, '', state.says, ''];
  if (state.approval.state === 'waiting') {
    const until =
      state.approval.deadline === undefined
        ? ''
        : ` until ${new Date(state.approval.deadline).toISOString().replace(/\.\d+Z$/, 'Z')}`;
    lines.push(
      `**Waits for approval${until}.** ${untouched(state.runbook)} In this page: *More actions → Send an Update* → \`approve\` or \`reject\` (no input needed).`,
      '',
      `In a terminal: \`veloz-ha approve ${state.workflowId}\` or \`veloz-ha reject ${state.workflowId}\``,
      '',
    );
  }
  if (state.phase === 'held' && state.maintenance !== undefined)
    lines.push(...heldDetails(state.maintenance, state.cluster), '');
  if (state.plan !== undefined) lines.push(planLine(state.runbook, state.plan), '');
  if (state.progress !== undefined) lines.push(progressLine(state.progress), '');
  if (state.steps.length > 0) {
    lines.push('| | step | time | |', '|---|---|---|---|');
    for (const step of state.steps) {
      const time =
        step.ms !== undefined
          ? formatMs(step.ms)
          : step.expectedMs !== undefined
            ? `about ${formatMs(step.expectedMs)}`
            : '';
      lines.push(
        `| ${marks[step.state]} | ${cell(step.says)}${step.pointOfNoReturn ? ' **(point of no return)**' : ''} | ${time} | ${cell(step.detail ?? '')} |`,
      );
      for (const part of step.subSteps ?? [])
        lines.push(`| | · ${cell(part.says)} | ${formatMs(part.ms)} | ${cell(part.detail ?? '')} |`);
    }
    lines.push('');
  }
  if (state.members.length > 0) {
    lines.push('| member | role | state | timeline | sync | |', '|---|---|---|---|---|---|');
    for (const member of state.members) {
      const note = [member.routesTo === undefined ? undefined : `sends clients to ${member.routesTo}`, member.note]
        .filter((part) => part !== undefined)
        .join('; ');
      lines.push(
        `| ${member.name} | ${member.role} | ${cell(member.state)} | ${member.timeline ?? ''} | ${member.sync ?? ''} | ${cell(note)} |`,
      );
    }
    lines.push('');
  }
  if (state.engines !== undefined) {
    lines.push(`| ${engineColumns.join(' | ')} |`, '|---|---|---|---|---|---|---|');
    for (const engine of state.engines) lines.push(`| ${engineCells(engine).map(cell).join(' | ')} |`);
    lines.push('');
  }
  if (state.redis !== undefined) {
    const table = (columns: string[], rows: string[][]) =>
      lines.push(
        `| ${columns.join(' | ')} |`,
        `|${'---|'.repeat(columns.length)}`,
        ...rows.map((row) => `| ${row.map(cell).join(' | ')} |`),
        '',
      );
    table(redisColumns, state.redis.nodes.map(redisCells));
    table(sentinelColumns, state.redis.sentinels.map(sentinelCells));
  }
  for (const warning of state.warnings) lines.push(`- ⚠ ${warning}`);
  const refused = state.checks.filter((check) => check.result === 'refuse' || check.result === 'warn');
  const asked = state.checks.filter((check) => check.result !== 'skip');
  if (asked.length > 0) {
    lines.push(
      '',
      `Checks: ${asked.length - refused.length} of ${asked.length} good${refused.length === 0 ? '.' : ':'}`,
      '',
    );
    for (const check of refused)
      lines.push(
        `- ${check.result === 'refuse' ? '✖' : '⚠'} ${problemSentence(check)}.${check.next === undefined ? '' : ` Next: \`${check.next}\``}`,
      );
  }
  return lines.join('\n');
}

function planLine(runbook: string, plan: Plan): string {
  if (runbookName(runbook) !== 'switchover')
    return `${planHeadline(runbook, plan, (node) => `**${node}**`)}. ${planHold(plan)}`;
  return `**${plan.primary} → ${plan.target}**, protection \`${plan.protection}\`. Clients wait about ${formatMs(plan.expectedHoldMs)} (${plan.expectedHoldBasis}). If everything dies meanwhile, they are let go at ${formatMs(plan.holdLimitMs)}, or up to 2 s later when no node is writable then.`;
}

/** A bar of twenty parts, percent, bytes, rate and what is left. */
function progressLine(progress: CopyProgress): string {
  const fraction = fractionOf(progress);
  const parts = fraction === undefined ? 0 : Math.min(fraction < 1 ? 19 : 20, Math.round(fraction * 20));
  const bar =
    fraction === undefined ? '' : ` \`${'█'.repeat(parts)}${'░'.repeat(20 - parts)}\` ${Math.floor(fraction * 100)} %,`;
  return `**${progress.says}**${bar} ${progressText(progress)}`;
}
