import { formatMs } from '../cluster/duration';
import type { Plan } from '../workflows/run-state';
import { planHeadline, planHold } from './runbooks';
import type { Style } from './style';
import { hang, padEnd, padStart, visibleWidth, wrap } from './text';

/** Columns of a step's number with its blanks, and of its expected time. */
const NUMBER = 6;
const EXPECTED = 9;

/** A numbered plan of a runbook with expected times, undo, the point of no return, and how long clients will wait. */
export function planText(runbook: string, plan: Plan, style: Style): string {
  const { colour, glyphs } = style;
  const head = planHeadline(runbook, plan, colour.bold);
  const lines = [hang(`${colour.bold('Plan')}  `, head, style)];
  const longest = Math.max(0, ...plan.steps.map((step) => visibleWidth(step.says)));
  const label = Math.max(24, Math.min(longest, style.width - NUMBER - EXPECTED - 2));
  for (const [index, step] of plan.steps.entries()) {
    const expected = step.expectedMs === undefined ? '' : `~ ${formatMs(step.expectedMs)}`;
    const [first = '', ...rest] = wrap(step.says, label);
    const line = `${padStart(String(index + 1), NUMBER - 2)}  ${padEnd(first, label)}  ${padStart(expected, EXPECTED)}`;
    const undo = step.undo === undefined ? '' : `undo: ${step.undo}`;
    const beside = visibleWidth(line) + 2 + undo.length <= style.width;
    lines.push(`${line}${beside && undo !== '' ? colour.dim(`  ${undo}`) : ''}`.trimEnd());
    lines.push(...rest.map((more) => ' '.repeat(NUMBER) + more));
    if (!beside && undo !== '') lines.push(colour.dim(hang(' '.repeat(NUMBER), undo, style)));
    if (step.pointOfNoReturn) {
      lines.push(
        colour.yellow(
          `      ${glyphs.rule.repeat(2)} point of no return: after step ${index + 1} there is only forward ${glyphs.rule.repeat(2)}`,
        ),
      );
    }
  }
  lines.push(hang('      ', planHold(plan, colour.bold), style));
  return lines.join('\n');
}
