import type { Member } from '../workflows/run-state';
import type { Style } from './style';
import { table, visibleWidth } from './text';
import { formatBytes, noteOf } from './words';

/**
 * The members of a cluster as a table: role, state, timeline, position, lag, synchrony. Notes stand beside them, or below
 * where the terminal is too narrow.
 */
export function membersTable(members: readonly Member[], style: Style): string {
  if (members.length === 0) return 'no members are known yet';
  const wide = rowsTable(members, true, style);
  if (wide.split('\n').every((line) => visibleWidth(line) <= style.width)) return wide;
  const notes = members.filter((member) => noteOf(member) !== '').map((member) => `${member.name}: ${noteOf(member)}`);
  return [rowsTable(members, false, style), ...notes.map((note) => style.colour.dim(note))].join('\n');
}

function rowsTable(members: readonly Member[], notes: boolean, style: Style): string {
  return table(
    ['NODE', 'ROLE', 'STATE', 'TL', 'LSN', 'LAG', 'SYNC', ...(notes ? ['NOTE'] : [])],
    members.map((member) => [
      member.name,
      paintRole(member.role, style),
      member.state,
      member.timeline === undefined ? '' : String(member.timeline),
      member.lsn ?? '',
      member.lagBytes === undefined ? '' : formatBytes(member.lagBytes),
      member.sync ?? '',
      ...(notes ? [noteOf(member)] : []),
    ]),
    style,
    { right: ['TL', 'LAG'] },
  );
}

function paintRole(role: Member['role'], style: Style): string {
  const { colour } = style;
  switch (role) {
    case 'primary':
      return colour.bold(colour.green(role));
    case 'standby':
    case 'pooler':
      return role;
    case 'stopped':
    case 'unreachable':
      return colour.red(role);
    case 'absent':
      return colour.dim(role);
  }
}
