import type { RunState } from '../workflows/run-state';
import { checksBlock } from './checks';
import { enginesTable } from './engine';
import { activityText, approvalLines, progressUnderStep, troubleText, type RunView } from './live';
import { membersTable } from './members';
import { planText } from './plan';
import { redisTables } from './redis';
import { labelWidth, stepLine, underStep } from './steps';
import type { Style } from './style';
import { hang, section, warningsText } from './text';

/** A run that goes on, as one still picture. */
export function stateText(view: RunView, now: number, style: Style): string {
  const { colour, glyphs } = style;
  const { state, trouble } = view;
  const parts: string[] = [];
  if (state !== undefined) {
    parts.push(headText(state, style), pictureText(state, style));
    if (state.steps.some((step) => step.state !== 'pending')) {
      parts.push(section('Steps', (inner) => stepsText(state, inner), style));
    }
    if (state.approval.state === 'waiting') parts.push(approvalLines(state, now, style).join('\n'));
    // A warning that a check raised stands with the check already.
    const others = state.warnings.filter(
      (warning) => !state.checks.some((check) => warning.startsWith(`${check.id}: `)),
    );
    if (others.length > 0) parts.push(section('Warnings', (inner) => warningsText(others, inner), style));
  }
  const said = (view.pending ?? []).map(activityText).filter((text) => text !== undefined);
  if (said.length > 0)
    parts.push(said.map((text) => hang(`${colour.yellow(glyphs.running)} `, text, style)).join('\n'));
  if (trouble !== undefined) parts.push(hang(`${colour.yellow(glyphs.warning)} `, troubleText(trouble, now), style));
  parts.push(`${colour.dim('Run ')} ${view.workflowId}\n${colour.dim('Link')} ${view.link}`);
  return parts.filter((part) => part !== '').join('\n\n');
}

/** Members, checks and plan: what a person has to see before saying yes. */
export function pictureText(
  state: Pick<RunState, 'runbook' | 'members' | 'engines' | 'redis' | 'checks' | 'plan'>,
  style: Style,
): string {
  const { engines, redis } = state;
  const parts: string[] = [];
  if (state.members.length > 0) parts.push(section('Members', (inner) => membersTable(state.members, inner), style));
  if (engines !== undefined) parts.push(section('Engines', (inner) => enginesTable(engines, inner), style));
  if (redis !== undefined) parts.push(section('Redis', (inner) => redisTables(redis, inner), style));
  if (state.checks.length > 0) parts.push(section('Checks', (inner) => checksBlock(state.checks, inner), style));
  if (state.plan !== undefined) parts.push(planText(state.runbook, state.plan, style));
  return parts.join('\n\n');
}

function headText(state: RunState, style: Style): string {
  const { colour } = style;
  const why = state.reason === undefined ? '' : `: ${state.reason}`;
  const ticket = state.ticket === undefined ? '' : ` (${state.ticket})`;
  return [
    `${colour.bold(`${state.runbook} of ${state.cluster}`)}: ${state.phase}`,
    hang('  ', state.says, style),
    colour.dim(hang('  ', `started ${style.dateTime(state.startedAt)} by ${state.startedBy}${why}${ticket}`, style)),
  ].join('\n');
}

function stepsText(state: RunState, style: Style): string {
  const label = labelWidth(state.steps, style);
  const total = state.steps.length;
  return state.steps
    .flatMap((step, index) => [
      stepLine(step, { index, total, label }, style),
      ...underStep(step, label, style),
      ...(step.state === 'running' ? progressUnderStep(state, style) : []),
    ])
    .join('\n');
}
