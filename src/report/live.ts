import { START_TEMPORAL, START_WORKER } from '../cluster/commands';
import { formatMs } from '../cluster/duration';
import type { RunState, StepState } from '../workflows/run-state';
import { progressLines } from './progress';
import { untouched } from './runbooks';
import { labelWidth } from './steps';
import type { Style } from './style';
import { cut, padEnd, padStart } from './text';
import { formatSeconds } from './words';

/** Why the state that is shown is not fresh. */
export interface Trouble {
  kind: 'no worker' | 'no Temporal' | 'stuck';
  /** The cause in words. */
  says: string;
  /** Milliseconds since the epoch at which it began. */
  since: number;
}

/** An activity that the server has handed out, or waits to hand out again. */
export interface PendingActivity {
  type: string;
  /** 1 is the first attempt. */
  attempt: number;
  /** Message of the last attempt that failed. */
  lastFailure?: string;
  /** What the last heartbeat said. */
  heartbeat?: string;
}

/** Everything that is known of a run that goes on. */
export interface RunView {
  workflowId: string;
  link: string;
  state?: RunState;
  trouble?: Trouble;
  pending?: PendingActivity[];
}

/** Steps that need no more drawing: they have ended, in one way or another. */
export function isOver(step: StepState): boolean {
  return step.state !== 'pending' && step.state !== 'running' && step.state !== 'undoing';
}

/**
 * The part of the screen that is redrawn while a run goes on: the step that runs, the ones to come, the approval that is
 * waited for, and whatever is wrong. Lines fit the width; only commands, which have to be copied whole, may run over it.
 * @param now milliseconds since the epoch
 * @param tick counts the redraws; turns the spinner
 */
export function liveRegion(view: RunView, now: number, tick: number, style: Style): string {
  const { colour, glyphs, width } = style;
  const lines: string[] = [];
  const state = view.state;
  if (state === undefined) {
    lines.push(`${spinner(tick, style)} ${cut('waiting for the first word from a worker', width - 2, style)}`);
  } else {
    const label = Math.min(labelWidth(state.steps, style), Math.max(20, width - 30));
    for (const [index, step] of state.steps.entries()) {
      if (isOver(step)) continue;
      const running = step.state === 'running' || step.state === 'undoing';
      const says = cut(step.state === 'undoing' ? `putting back: ${step.says}` : step.says, label, style);
      const time = running && step.startedAt !== undefined ? style.clock(step.startedAt) : '        ';
      const spent = running && step.startedAt !== undefined ? formatTenths(now - step.startedAt) : '';
      const expected = step.expectedMs === undefined ? '' : `~ ${formatMs(step.expectedMs)}`;
      const sign = running ? spinner(tick, style) : colour.dim(glyphs.pending);
      const shown = padStart(running ? spent : expected, 9);
      const text = `${padEnd(says, label)} ${running ? shown : colour.dim(shown)}  ${colour.dim(`${index + 1}/${state.steps.length}`)}`;
      lines.push(`${colour.dim(time)} ${sign} ${running ? text : colour.dim(text)}`);
      if (running) lines.push(...progressUnderStep(state, style), ...pendingLines(view, style));
    }
    if (lines.length === 0) lines.push(`${spinner(tick, style)} ${cut(state.says, width - 2, style)}`);
  }
  if (state !== undefined && state.approval.state === 'waiting') lines.push('', ...approvalLines(state, now, style));
  if (view.trouble !== undefined) {
    const text = troubleText(view.trouble, now);
    lines.push('', `${colour.yellow(glyphs.warning)} ${cut(text, width - 2, style)}`);
  }
  return lines.join('\n');
}

/** The bar of a long copy, under the step that runs. */
export function progressUnderStep(state: Pick<RunState, 'progress'>, style: Style): string[] {
  if (state.progress === undefined) return [];
  const blanks = ' '.repeat(11);
  return progressLines(state.progress, { ...style, width: style.width - 11 }).map((line) => blanks + line);
}

function pendingLines(view: RunView, style: Style): string[] {
  return (view.pending ?? [])
    .map(activityText)
    .filter((text) => text !== undefined)
    .map((text) => ' '.repeat(11) + style.colour.yellow(cut(text, style.width - 11, style)));
}

/** Who may go on, until when, and by which commands. */
export function approvalLines(
  state: Pick<RunState, 'approval' | 'workflowId' | 'runbook'>,
  now: number,
  style: Style,
): string[] {
  const { colour, glyphs } = style;
  const deadline = state.approval.deadline;
  const until = deadline === undefined ? '' : ` until ${style.clock(deadline)} (${formatSeconds(deadline - now)} left)`;
  return [
    `${colour.yellow(glyphs.question)} ${colour.bold(`Waits for approval${until}.`)} ${untouched(state.runbook)}`,
    `    ${colour.cyan(`veloz-ha approve ${state.workflowId}`)}`,
    `    ${colour.cyan(`veloz-ha reject ${state.workflowId}`)}`,
  ];
}

/** What is wrong between this terminal and the run, for how long, and what to do. */
export function troubleText(trouble: Trouble, now: number): string {
  const since = `for ${formatSeconds(now - trouble.since)}`;
  switch (trouble.kind) {
    case 'no worker':
      return `no worker answers ${since}; the run waits. Start one: ${START_WORKER}`;
    case 'no Temporal':
      // The line is cut at the terminal's width: the command stands before the reason.
      return `Temporal does not answer ${since}; the run waits for it: ${START_TEMPORAL} (${trouble.says})`;
    case 'stuck':
      return `the run does not get on ${since}: ${trouble.says}`;
  }
}

/** An activity that is not on its first attempt, or that says by its heartbeat where it is; undefined when nothing is to say. */
export function activityText(activity: PendingActivity): string | undefined {
  if (activity.attempt > 1) {
    const why = activity.lastFailure === undefined ? '' : `; the last one failed: ${activity.lastFailure}`;
    return `${activity.type}: attempt ${activity.attempt}${why}`;
  }
  return activity.heartbeat === undefined ? undefined : `${activity.type}: ${activity.heartbeat}`;
}

function spinner(tick: number, style: Style): string {
  const frames = style.glyphs.spinner;
  return style.colour.cyan(frames[tick % frames.length] ?? '');
}

/** A running time at a resolution that does not flicker. */
function formatTenths(value: number): string {
  const rounded = Math.max(0, Math.floor(value / 100) * 100);
  return rounded < 60_000 ? `${(rounded / 1000).toFixed(1)} s` : formatMs(rounded);
}
