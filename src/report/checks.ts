import { headline, type Check } from '../cluster/check';
import type { Style } from './style';
import { hang, padEnd } from './text';
import { checksSummary } from './words';

/** How many checks there are, and those that a person has to read. */
export function checksBlock(checks: readonly Check[], style: Style): string {
  const flagged = checksText(checks, style);
  return `${checksSummary(checks)}${flagged === '' ? '' : `\n${flagged}`}`;
}

/** Refusals and warnings, each with what was measured, its limit and what to do; with `-v` every check. */
export function checksText(checks: readonly Check[], style: Style): string {
  const order: Record<Check['result'], number> = { refuse: 0, warn: 1, ok: 2, skip: 3 };
  return [...checks]
    .sort((a, b) => order[a.result] - order[b.result])
    .filter((check) => style.verbose || check.result === 'refuse' || check.result === 'warn')
    .map((check) => checkText(check, style))
    .join('\n');
}

/** One check: a line when it is fine, with measured, limit and next beneath when it is not. */
export function checkText(check: Check, style: Style): string {
  const { colour, glyphs } = style;
  switch (check.result) {
    case 'ok':
      return hang(`${colour.green(glyphs.done)} ${padEnd(check.id, 3)} `, `${check.says} (${check.measured})`, style);
    case 'skip':
      return colour.dim(
        hang(`${glyphs.skipped} ${padEnd(check.id, 3)} `, `${check.says} (does not apply: ${check.measured})`, style),
      );
    case 'refuse':
    case 'warn': {
      const refuses = check.result === 'refuse';
      const sign = refuses ? colour.red(glyphs.failed) : colour.yellow(glyphs.warning);
      const lines = [hang(`${sign} ${colour.bold(padEnd(check.id, 3))} `, headline(check), style)];
      const fact = (name: string, value: string) => hang(`      ${colour.dim(padEnd(name, 8))}  `, value, style);
      lines.push(fact('measured', check.measured));
      if (check.limit !== undefined) lines.push(fact('limit', check.limit));
      if (check.next !== undefined) lines.push(fact('next', check.next));
      return lines.join('\n');
    }
  }
}
