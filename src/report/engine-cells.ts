import type { EngineMember } from '../cluster/engine/members';

/*
 * Engines and HAProxy as rows of a table. Nothing here may import a Node built-in or a drawing library: workflows bundle it.
 */

export const engineColumns = ['Node', 'Role', 'State', 'Epoch', 'HAProxy', 'Requests', 'Note'];

/** One row under {@link engineColumns}. */
export function engineCells(member: EngineMember): string[] {
  const note = [member.routesTo === undefined ? undefined : `clients reach ${member.routesTo}`, member.note];
  return [
    member.name,
    member.role,
    member.state,
    member.epoch === undefined ? '' : String(member.epoch),
    // Its check asks for readiness, which a hot standby has not: that is as it should be.
    member.role === 'standby' && member.traffic === 'DOWN' ? 'not ready' : (member.traffic ?? ''),
    member.sessions === undefined ? '' : String(member.sessions),
    note.filter((part) => part !== undefined).join('; '),
  ];
}
