/*
 * What a node is by the files in its volume, where nobody in its container answers. Docker reads them from outside, each at a moment of
 * its own; why they prove something all the same:
 *
 * 1. `pg_control` says "in archive recovery" or "shut down in recovery". A server that was started as a primary never writes either: so
 *    this one was started as a standby, and whatever it has become since was a promotion. A primary in the middle of being fenced has
 *    `standby.signal` too while its server still runs, and that one says "in production".
 * 2. `standby.signal` lies there, read after that. PostgreSQL removes it, durably, at the end of a promotion before it takes the first
 *    write: so at that moment the server had taken none.
 * 3. The agent's record names no promotion, read last. The agent writes it before it asks the server: so nobody had asked by then. A
 *    later promotion needs a run that holds the lock of PostgreSQL, as after the agent's own word that it is a standby.
 *
 * In any other order a promotion could pass between two reads unseen. Whatever is missing or unclear proves nothing.
 */

/** The files of a node, in the order in which they have to be read. */
export const STANDBY_FILES = {
  control: '/var/lib/postgresql/data/global/pg_control',
  signal: '/var/lib/postgresql/data/standby.signal',
  record: '/var/lib/postgresql/veloz/agent.json',
} as const;

/** Their contents; undefined where there is no such file. */
export interface StandbyFiles {
  control: Uint8Array | undefined;
  signal: string | undefined;
  record: string | undefined;
}

/** `DBState` of PostgreSQL (catalog/pg_control.h): the two of a server that was started as a standby. */
const STANDBY_STATES: ReadonlyMap<number, string> = new Map([
  [2, 'shut down in recovery'],
  [5, 'in archive recovery'],
]);
const VERSION_AT = 8;
const STATE_AT = 16;
/** The layout of PostgreSQL 17, by `pg_control_version`; the checkpoint's timeline, and that of the minimum recovery point. */
const PG17 = 1700;
const CHECKPOINT_TIMELINE_AT = 48;
const RECOVERY_TIMELINE_AT = 144;

/** Why the files of a node don't prove that it is no primary, in half a sentence; undefined where they do. Pure. */
export function whyNoStandby({ control, signal, record }: StandbyFiles): string | undefined {
  const state = stateIn(control);
  if (state === undefined) return 'its pg_control is missing or of an unknown layout';
  if (!STANDBY_STATES.has(state)) return `its pg_control does not say that it runs as a standby (state ${state})`;
  if (signal === undefined) return 'standby.signal does not lie in its data directory';
  return whyPromoted(record);
}

/**
 * The newest timeline that `pg_control` names, as agents read it without the history files; null where its layout is another one. Pure. The
 * checkpoint's alone lags behind until the next restartpoint.
 */
export function timelineIn(control: Uint8Array | undefined): number | null {
  if (control === undefined || control.length < RECOVERY_TIMELINE_AT + 4) return null;
  const view = new DataView(control.buffer, control.byteOffset, control.byteLength);
  if (view.getUint32(VERSION_AT, true) !== PG17) return null;
  return Math.max(view.getUint32(CHECKPOINT_TIMELINE_AT, true), view.getUint32(RECOVERY_TIMELINE_AT, true));
}

/** What a `pg_control` of PostgreSQL 17 says of its database; undefined where it is missing or of another layout. Pure. */
export function controlIn(
  control: Uint8Array | undefined,
): { systemIdentifier: string; timeline: number; ranAsStandby: boolean } | undefined {
  const [state, timeline] = [stateIn(control), timelineIn(control)];
  if (control === undefined || state === undefined || timeline === null) return undefined;
  const view = new DataView(control.buffer, control.byteOffset, control.byteLength);
  return {
    systemIdentifier: view.getBigUint64(0, true).toString(),
    timeline,
    ranAsStandby: STANDBY_STATES.has(state),
  };
}

/** The state in `pg_control`, whose first fields have been the same in every version since 8.3. */
function stateIn(control: Uint8Array | undefined): number | undefined {
  if (control === undefined || control.length < STATE_AT + 4) return undefined;
  const view = new DataView(control.buffer, control.byteOffset, control.byteLength);
  // Written by a machine with another byte order, or no pg_control at all: the version would be none.
  const version = view.getUint32(VERSION_AT, true);
  return version >= 900 && version <= 9999 ? view.getUint32(STATE_AT, true) : undefined;
}

function whyPromoted(record: string | undefined): string | undefined {
  let said: unknown;
  try {
    said = JSON.parse(record ?? '');
  } catch {
    return "its agent's record is missing or damaged";
  }
  if (typeof said !== 'object' || said === null || !('promotion' in said))
    return "its agent's record says nothing of promotions";
  return said.promotion === null ? undefined : "its agent's record names a promotion";
}
