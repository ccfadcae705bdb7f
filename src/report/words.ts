import type { Check } from '../cluster/check';
import { formatMs } from '../cluster/duration';
import type { Member, StepState } from '../workflows/run-state';

/*
 * Words that all renderings share, on a terminal, in Markdown and in a workflow's details. Nothing here may import a
 * Node built-in or a drawing library: workflows bundle it.
 */

/** Bytes in the unit that a person would choose: `0 B`, `312 kB`, `1.5 GB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || Math.abs(value) >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${units[unit] ?? 'B'}`;
}

/** A length of time to the second, for what is counted up or down before somebody's eyes: `7 s`, `14 min 05 s`. */
export function formatSeconds(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  return seconds < 60 ? `${seconds} s` : formatMs(seconds * 1000);
}

/** `1 warning`, `2 warnings`. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** Where a pooler sends clients, and whatever else a person should know of the node. */
export function noteOf(member: Member): string {
  const parts: string[] = [];
  if (member.routesTo !== undefined) parts.push(`sends clients to ${member.routesTo}`);
  if (member.note !== undefined) parts.push(member.note);
  return parts.join('; ');
}

/** A step's sentence; one that was put back, or not reached, says so. */
export function stepLabel(step: StepState): string {
  switch (step.state) {
    case 'undoing':
      return `putting back: ${step.says}`;
    case 'undone':
      return `put back: ${step.says}`;
    case 'skipped':
      return `${step.says} (not needed)`;
    default:
      return step.says;
  }
}

/** "31 checks: 28 ok, 1 refuses, 2 warnings, 1 does not apply". */
export function checksSummary(checks: readonly Check[]): string {
  const of = (result: Check['result']) => checks.filter((check) => check.result === result).length;
  const parts = [`${of('ok')} ok`];
  if (of('refuse') > 0) parts.push(count(of('refuse'), 'refuses', 'refuse'));
  if (of('warn') > 0) parts.push(count(of('warn'), 'warning'));
  if (of('skip') > 0) parts.push(count(of('skip'), 'does not apply', 'do not apply'));
  return `${count(checks.length, 'check')}: ${parts.join(', ')}`;
}
