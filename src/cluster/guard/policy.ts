import { z } from 'zod';
import { durationMs } from '../duration';

const duration = z.string().transform((text, context) => {
  try {
    return durationMs(text);
  } catch (error) {
    context.addIssue({ code: 'custom', message: (error as Error).message });
    return z.NEVER;
  }
});

/** What is always slow for a second or two, such as a disk in a checkpoint, must not be a failure. */
const atLeast = (minMs: number) => duration.refine((ms) => ms >= minMs, { error: `expected ${minMs / 1000}s or more` });

/** What the guard of a cluster does, and when. Durations are milliseconds after parsing. */
export const guardPolicySchema = z.strictObject({
  /** `auto`: fails over by itself. `approve`: plans it and asks. `off`: watches, keeps the ledger, and only tells. */
  mode: z.enum(['auto', 'approve', 'off']).default('auto'),
  /** How often the nodes are asked. */
  probeInterval: duration.prefault('200ms'),
  /** How long a node may take to answer a probe. */
  probeLimit: duration.prefault('300ms'),
  /** Rounds in a row that must find the primary silent before it counts as hung or isolated (I3). */
  confirmations: z.number().int().min(2).max(50).default(3),
  /** A PostgreSQL that crashed may take this long to come back in place, before it is failed over (I5). */
  restartBudget: duration.prefault('2500ms'),
  /** A write may take this long to reach the disk of a primary that answers, before the primary counts as unwritable. */
  writeLimit: atLeast(3000).prefault('5s'),
  /** The pooler may be without its way to a primary that is well for this long, before the primary counts as unreachable. */
  poolerLimit: atLeast(3000).prefault('5s'),
  /** The containers of all standbys may have ended, by Docker's word, for this long before `onStandbyLost` applies. */
  standbyDeadAfter: duration.prefault('500ms'),
  /** All standbys may be silent, and confirm nothing, for this long before `onStandbyLost` applies. */
  standbyLostAfter: duration.prefault('3s'),
  /** `relax`: commits go on without a standby, and the ledger says degraded. `block`: they wait for its return. */
  onStandbyLost: z.enum(['relax', 'block']).default('relax'),
  /** `fence`: of two writable nodes the one that the ledger does not name is stopped. `alarm`: people are told. */
  onSplitBrain: z.enum(['fence', 'alarm']).default('fence'),
  /** After a failover that did not end well the next is tried this much later; doubled each time, 10 min at most (I10). */
  backoff: duration.prefault('15s'),
});

/** The guard's settings, with defaults filled in. */
export type GuardPolicy = z.output<typeof guardPolicySchema>;
/** What the guard does on its own. */
export type GuardMode = GuardPolicy['mode'];
