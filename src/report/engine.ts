import type { Check } from '../cluster/check';
import type { EngineMember } from '../cluster/engine/members';
import { checksText } from './checks';
import { engineCells, engineColumns } from './engine-cells';
import type { Style } from './style';
import { section, table, visibleWidth } from './text';

/** Engines, their front door, and what is not as it should be. */
export interface EnginesPicture {
  name: string;
  members: EngineMember[];
  findings: Check[];
}

/** `engine status` for a person. */
export function enginesText({ name, members, findings }: EnginesPicture, style: Style): string {
  return section(
    `Engines of cluster ${name}`,
    (inner) => {
      const checks = checksText(findings, inner);
      return enginesTable(members, inner) + (checks === '' ? '' : `\n\n${checks}`);
    },
    style,
  );
}

/** Engines and HAProxy as a table. Notes stand beside them, or below where the terminal is too narrow. */
export function enginesTable(members: readonly EngineMember[], style: Style): string {
  const wide = rowsTable(members, true, style);
  if (wide.split('\n').every((line) => visibleWidth(line) <= style.width)) return wide;
  const notes = members.map((member) => [member.name, engineCells(member).at(-1) ?? ''] as const);
  return [
    rowsTable(members, false, style),
    ...notes.filter(([, note]) => note !== '').map(([name, note]) => style.colour.dim(`${name}: ${note}`)),
  ].join('\n');
}

function rowsTable(members: readonly EngineMember[], notes: boolean, style: Style): string {
  const columns = engineColumns.map((column) => column.toUpperCase());
  const kept = notes ? columns.length : columns.length - 1;
  return table(
    columns.slice(0, kept),
    members.map((member) =>
      engineCells(member)
        .map((cell, index) => (index === 1 ? paintRole(member.role, style) : cell))
        .slice(0, kept),
    ),
    style,
    { right: ['EPOCH', 'REQUESTS'] },
  );
}

function paintRole(role: EngineMember['role'], { colour }: Style): string {
  switch (role) {
    case 'active':
      return colour.bold(colour.green(role));
    case 'standby':
    case 'proxy':
      return role;
    case 'drained':
      return colour.yellow(role);
    case 'stopped':
    case 'unreachable':
      return colour.red(role);
    case 'absent':
      return colour.dim(role);
  }
}
