import { controlIn } from '../guard/standby-files';
import type { CandidateState } from './candidates';

/*
 * A person says that a primary failed, and nobody watched it. Its container has ended: to fence it and to read its WAL takes nothing
 * away, as long as it certainly was the last primary. Where a standby lacks some of that WAL it is started as a primary again, and a
 * node that was a standby, or whose place another one has taken since, would be one too many then.
 */

/** Files of a node whose container has ended, as Docker reads them from outside; undefined where there is no such file. */
export interface EndedFiles {
  control: Uint8Array | undefined;
  /** `standby.signal` */
  signal: string | undefined;
  /** The order by which a run fences it at its next start. */
  fence: string | undefined;
}

/**
 * Why a node whose container has ended may not have been the last primary, in half a sentence; undefined where it certainly was: its data
 * are a primary's, nobody has fenced it since, and every other node answers, as a standby of its system, on no newer timeline. Pure.
 * @param run who asks: its own fence, of an attempt that died, is none
 * @param candidates every other node
 */
export function whyNotTheLast(
  { control, signal, fence }: EndedFiles,
  run: string,
  candidates: readonly CandidateState[],
): string | undefined {
  const others = candidates.filter(({ missing }) => missing !== true);
  const silent = others.find(({ answered, inRecovery }) => !answered || inRecovery !== true);
  if (silent !== undefined) return `${silent.name} gives no answer, and may have taken its place`;
  const fencedBy = fencedByAnother(fence, run);
  if (fencedBy !== undefined) return `${fencedBy} has fenced it`;
  if (signal !== undefined) return 'standby.signal lies in its data directory: it is fenced, or was a standby';
  const said = controlIn(control);
  if (said === undefined) return 'its pg_control is missing or of an unknown layout';
  if (said.ranAsStandby) return 'its pg_control says that it ran as a standby';
  const foreign = others.find(({ systemIdentifier }) => systemIdentifier !== said.systemIdentifier);
  if (foreign !== undefined)
    return `it belongs to database system ${said.systemIdentifier}, and ${foreign.name} to ${foreign.systemIdentifier ?? 'an unknown one'}`;
  // Of one that was promoted just before its end the checkpoint still names the timeline before: it is left, too.
  const newer = others.find(({ timeline }) => timeline === undefined || timeline > said.timeline);
  if (newer !== undefined)
    return `it ended on timeline ${said.timeline} by its control file, and ${newer.name} is on ${newer.timeline ?? 'an unknown one'}: another node was promoted since, or it was itself, right before its end`;
  return undefined;
}

/** Which other run laid the fence of a container that has ended, and that nobody has started since; undefined where none did. Pure. */
export function fencedByAnother(fence: string | undefined, run: string): string | undefined {
  if (fence === undefined) return undefined;
  const by = runOf(fence);
  return by === run ? undefined : by;
}

function runOf(fence: string): string {
  try {
    const { run } = JSON.parse(fence) as { run?: unknown };
    if (typeof run === 'string' && run !== '') return run;
  } catch {
    // A fence that can't be understood is one all the same.
  }
  return 'an unknown run';
}
