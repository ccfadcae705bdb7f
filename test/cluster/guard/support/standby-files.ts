import type { StandbyFiles } from '../../../../src/cluster/guard/standby-files';

/**
 * A `pg_control` of PostgreSQL 17 that says this state (`DBState`): 5 is "in archive recovery", 6 "in production"; with the timelines of its
 * checkpoint and of its minimum recovery point.
 */
export function controlFile(
  state: number,
  version = 1700,
  timelines: readonly [number, number] = [3, 3],
  systemIdentifier = 0xf1e2d3c4b5a69788n,
): Buffer {
  const control = Buffer.alloc(8192);
  control.writeBigUInt64LE(systemIdentifier, 0);
  control.writeUInt32LE(version, 8);
  control.writeUInt32LE(202406281, 12);
  control.writeUInt32LE(state, 16);
  control.writeUInt32LE(timelines[0], 48);
  control.writeUInt32LE(timelines[1], 144);
  return control;
}

/** The files of a standby that nobody promotes. */
export const standbyFiles = (): StandbyFiles => ({
  control: controlFile(5),
  signal: '',
  record: JSON.stringify({ version: 1, desired: 'up', promotion: null }),
});
