import type { Check } from '../cluster/check';
import { formatMs } from '../cluster/duration';
import { UNLIMITED_LOSS } from '../cluster/failover/commands';
import type { CopyProgress, Member, StepState } from '../workflows/run-state';

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

/** How long something has been so, in the two units that matter: `7 s`, `14 min 05 s`, `2 h 05 min`, `3 d 4 h`. */
export function formatAge(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return formatSeconds(ms);
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
}

/** The bound of an accepted loss. */
export function lossText(maxBytes: number): string {
  return maxBytes >= UNLIMITED_LOSS ? 'whatever it is' : `up to ${formatBytes(maxBytes)}`;
}

/** How much of a copy is done, from 0 to 1; undefined where its size is not known. */
export function fractionOf(progress: Pick<CopyProgress, 'doneBytes' | 'totalBytes'>): number | undefined {
  const { doneBytes, totalBytes } = progress;
  if (totalBytes === null || totalBytes <= 0) return undefined;
  // The source goes on growing while it is copied.
  return Math.max(0, Math.min(1, doneBytes / totalBytes));
}

/** A copy in numbers: `430 MB of 1.2 GB, 98.1 MB/s, 8 s left`. */
export function progressText(progress: CopyProgress): string {
  const { doneBytes, totalBytes, bytesPerSecond, remainingMs } = progress;
  return [
    totalBytes === null ? formatBytes(doneBytes) : `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`,
    ...(bytesPerSecond === null ? [] : [`${formatBytes(bytesPerSecond)}/s`]),
    ...(remainingMs === null ? [] : [`${formatSeconds(remainingMs)} left`]),
  ].join(', ');
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
