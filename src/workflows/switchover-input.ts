import { z } from 'zod';
import { holdMs } from '../cluster/duration';
import { duration, parseInput, text } from './input';

/** What a person, the CLI, a schedule or the Web UI may ask of `switchover`. Every key has a default. */
export const switchoverInputSchema = z.strictObject({
  /** The cluster. Default: the topology's default. */
  cluster: text.optional(),
  /** The standby to promote, by its container's name. Default: a synchronous standby, the topology's first. */
  target: text.optional(),
  /** Refuse unless this node is the primary (A1). */
  expectedPrimary: text.optional(),
  /** Default: the cluster's. */
  protection: z.enum(['zero-loss', 'fast']).optional(),
  /** `plan`: all checks and a numbered plan, no change. */
  mode: z.enum(['run', 'plan']).default('run'),
  /** `required`: waits for `approve` after the plan. `given`: whoever started it has confirmed already. */
  approval: z.enum(['required', 'given']).default('required'),
  /** How long it waits for approval. Default: the cluster's. */
  approvalTimeout: duration('approvalTimeout').optional(),
  /** How long the new state is watched before it is called a success. Default: the cluster's. */
  soak: duration('soak').optional(),
  /** Clients are held for at most this long, 10 minutes at most. Default: the cluster's `limits.hold`. */
  holdLimit: duration('holdLimit', holdMs).optional(),
  /** PAUSE waits this long for open transactions. Default: the cluster's `limits.pause`. */
  pauseLimit: duration('pauseLimit', holdMs).optional(),
  /** Do nothing when it is later than this, as ISO 8601: a late schedule must not surprise anybody at peak (E7). */
  notAfter: z.iso.datetime({ offset: true }).optional(),
  /** Who started it. Default: "the Web UI or an API client". */
  startedBy: text.optional(),
  reason: text.optional(),
  ticket: text.optional(),
});

/** Input of the `switchover` workflow. */
export type SwitchoverInput = z.input<typeof switchoverInputSchema>;
/** The same, with defaults filled in. */
export type SwitchoverRequest = z.output<typeof switchoverInputSchema>;

/** Normalises the input of `switchover`. */
export const parseSwitchoverInput = (input: unknown) => parseInput('switchover', switchoverInputSchema, input);
