import type { LockLook } from './lock';
import type { EpochRow } from './store';

/** How long an engine that may be active is given to say so. */
const PEER_LIMIT_MS = 400;

/** What an engine that would take a free lock knows of others. */
export interface RivalView {
  node: string;
  look: LockLook;
  /** Whom PostgreSQL has put before this engine. */
  supersededBy: EpochRow | undefined;
  /** The connection on which the lock was last seen to be held. */
  heldOn: number | undefined;
  /** The engine that is active as far as this one has heard. */
  other: EpochRow | undefined;
}

/**
 * Who may be active although nobody holds the lock here: who had it on a Redis before this one, which may have got lost
 * when Redis failed over, or whom PostgreSQL has put before this engine. A lock that ended in full view needs no question.
 */
export function rivalOf({ node, look, supersededBy, heldOn, other }: RivalView): EpochRow | undefined {
  if (look.heir !== undefined) return undefined;
  if (supersededBy !== undefined) return supersededBy;
  return heldOn !== look.connection && other?.node !== node ? other : undefined;
}

/** Whether an engine answers that it is active in this epoch or a later one, and takes orders. */
export async function isActive({ url, epoch, node }: EpochRow): Promise<boolean> {
  if (url === '') return false;
  try {
    const response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(PEER_LIMIT_MS) });
    const body = (await response.json()) as { node?: string; ready?: boolean; epoch?: number };
    return body.node === node && body.ready === true && (body.epoch ?? 0) >= epoch;
  } catch {
    return false;
  }
}
