import { z } from 'zod';
import type { FailoverJournal } from '../activities';
import type { Ledger } from '../cluster/guard/ledger';
import type { Signal } from '../cluster/guard/signals';
import type { Lsn } from '../cluster/lsn';
import { commonInput, parseInput, text } from './input';

/** Consent to lose acknowledged commits, with a bound, a reason and a name (E8). */
export const dataLossSchema = z.strictObject({
  /** At most this many bytes of WAL may be lost, measured against the last position that is known of the primary. */
  maxBytes: z.number().int().min(0),
  /** Why the loss is accepted. */
  reason: text,
  /** Who accepts it. */
  by: text,
});

/** What the guard hands to the failover that it starts. */
export const incidentSchema = z.strictObject({
  /** The run id under which the guard took nodes and holds clients already. */
  run: text,
  /** Milliseconds since the epoch of the first sign. */
  since: z.number(),
  /** Milliseconds since the epoch at which it was certain. */
  decidedAt: z.number(),
  kind: z.enum(['dead', 'crashed', 'hung', 'isolated', 'unwritable', 'unreachable']),
  says: z.string(),
  signals: z.array(z.custom<Signal>()).default([]),
  /** The last WAL position of the failed primary that was seen. */
  lastLsn: z.custom<Lsn>().optional(),
  /** The watch saw the primary take writes, with the recorded names, right before the first sign. */
  watched: z.boolean().optional(),
  /** The ledger as it was before the failure. */
  ledger: z.custom<Ledger>(),
  /** What the watch that saw the failure did of the failover already. */
  journal: z.custom<FailoverJournal>().optional(),
});

/** What a person, the CLI, the Web UI or the guard may ask of `failover`. */
export const failoverInputSchema = z.strictObject({
  ...commonInput,
  /** The standby to promote. Default: the most advanced one that may be promoted (I9). */
  target: text.optional(),
  /** Refuse unless this node was the primary (A1). */
  expectedPrimary: text.optional(),
  /** Consent to a bounded loss. Without it a failover that can't prove that nothing is lost is refused. */
  allowDataLoss: dataLossSchema.optional(),
  /** `no`: leave the old primary as it is, fenced. `rejoin`: make it a standby again as part of the run. */
  oldPrimary: z.enum(['rejoin', 'leave']).default('rejoin'),
  /** Given by the guard alone. */
  incident: incidentSchema.optional(),
});

/** Input of the `failover` workflow. */
export type FailoverInput = z.input<typeof failoverInputSchema>;
/** The same, with defaults filled in. */
export type FailoverRequest = z.output<typeof failoverInputSchema>;
/** What the guard hands over. */
export type Incident = z.output<typeof incidentSchema>;
/** Consent to a bounded loss. */
export type DataLoss = z.output<typeof dataLossSchema>;

/** Normalises the input of `failover`. */
export const parseFailoverInput = (input: unknown) => parseInput('failover', failoverInputSchema, input);
