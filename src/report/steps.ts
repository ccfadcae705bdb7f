import { formatMs } from '../cluster/duration';
import type { StepState, SubStep } from '../workflows/run-state';
import type { Style } from './style';
import { padEnd, padStart, table, visibleWidth, cut, wrap } from './text';
import { stepLabel } from './words';

/** Columns in front of a sentence: clock, blank, sign, blank. */
const LEAD = 11;
const DURATION = 9;

/** The width of the sentence column that all lines of a run share, so that durations stand under each other. */
export function labelWidth(steps: readonly StepState[], style: Style): number {
  const longest = Math.max(
    0,
    ...steps.map((step) => visibleWidth(stepLabel(step))),
    ...steps.flatMap((step) => (step.subSteps ?? []).map((part) => visibleWidth(part.says) + 2)),
  );
  return Math.max(20, Math.min(longest, style.width - LEAD - DURATION - 9));
}

/**
 * A step in one line: `03:20:11 ✔ Hold clients, move the primary, let clients go   187 ms  3/7`. A longer sentence goes on
 * in further lines.
 */
export function stepLine(
  step: StepState,
  place: { index: number; total: number; label: number },
  style: Style,
): string {
  const { colour } = style;
  const time = step.startedAt === undefined ? '        ' : style.clock(step.startedAt);
  const number = colour.dim(`${place.index + 1}/${place.total}`);
  const [first = '', ...rest] = wrap(stepLabel(step), place.label);
  const line = `${colour.dim(time)} ${stepSign(step.state, style)} ${padEnd(first, place.label)} ${padStart(stepTime(step), DURATION)}  ${number}`;
  return [line, ...rest.map((more) => ' '.repeat(LEAD) + more)].join('\n');
}

/** How long a step took; nothing while it runs, and nothing for one that was put back, whose time is no longer true. */
function stepTime(step: StepState): string {
  const ended = step.state === 'done' || step.state === 'failed' || step.state === 'skipped';
  return ended && step.ms !== undefined ? formatMs(step.ms) : '';
}

/** The lines beneath a step: its sub-steps, and with `-v`, or where it failed, what was measured. */
export function underStep(step: StepState, label: number, style: Style): string[] {
  const { colour, glyphs } = style;
  const lines = (step.subSteps ?? []).map((part) => {
    const line = `${' '.repeat(LEAD)}${glyphs.part} ${padEnd(part.says, label - 2)} ${padStart(formatMs(part.ms), DURATION)}`;
    return colour.dim(style.verbose && part.detail !== undefined ? `${line}  ${part.detail}` : line);
  });
  if (step.detail !== undefined && (style.verbose || step.state === 'failed')) {
    lines.push(' '.repeat(LEAD) + (step.state === 'failed' ? colour.red(step.detail) : colour.dim(step.detail)));
  }
  return lines;
}

/** The sign of a step's state. */
export function stepSign(state: StepState['state'], style: Style): string {
  const { colour, glyphs } = style;
  switch (state) {
    case 'pending':
      return colour.dim(glyphs.pending);
    case 'running':
      return colour.cyan(glyphs.running);
    case 'done':
      return colour.green(glyphs.done);
    case 'failed':
      return colour.red(glyphs.failed);
    case 'undoing':
    case 'undone':
      return colour.yellow(glyphs.undo);
    case 'skipped':
      return colour.dim(glyphs.skipped);
  }
}

/** The steps of a run that has ended, as a table with their sub-steps. */
export function stepsTable(steps: readonly StepState[], style: Style): string {
  const { colour, glyphs } = style;
  const rows: string[][] = [];
  const begun = steps.findLastIndex((step) => step.state !== 'pending') + 1;
  for (const [index, step] of steps.slice(0, begun).entries()) {
    rows.push([String(index + 1), stepSign(step.state, style), stepLabel(step), stepTime(step), step.detail ?? '']);
    for (const part of step.subSteps ?? []) {
      rows.push([
        '',
        '',
        colour.dim(`${glyphs.part} ${part.says}`),
        colour.dim(formatMs(part.ms)),
        colour.dim(part.detail ?? ''),
      ]);
    }
  }
  const text = table(['#', ' ', 'STEP', 'TOOK', 'MEASURED'], rows, style, { right: ['#', 'TOOK'], wrapped: 'STEP' });
  if (begun === steps.length) return text;
  const rest = begun + 1 === steps.length ? `step ${steps.length} was` : `steps ${begun + 1} to ${steps.length} were`;
  return `${text}\n${colour.dim(`${rest} not begun`)}`;
}

/** Where the time of a step went: its sub-steps one below the other, each as a bar on a common scale. */
export function timeline(parts: readonly SubStep[], style: Style): string {
  const { colour, glyphs } = style;
  const whole = Math.max(1, ...parts.map((part) => part.atMs + part.ms));
  const label = Math.min(48, Math.max(...parts.map((part) => visibleWidth(part.says))));
  const columns = Math.max(10, Math.min(40, style.width - label - 22));
  const lines = parts.map((part) => {
    const from = Math.min(columns - 1, Math.floor((part.atMs / whole) * columns));
    const length = Math.max(1, Math.min(columns - from, Math.round((part.ms / whole) * columns)));
    const bar = padEnd(' '.repeat(from) + glyphs.bar.repeat(length), columns);
    return `${padEnd(cut(part.says, label, style), label)}  ${colour.cyan(bar)}  ${padStart(formatMs(part.ms), DURATION)}`;
  });
  return lines.join('\n');
}
