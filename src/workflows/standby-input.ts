import { z } from 'zod';
import { commonInput, parseInput, text } from './input';

/** What may be asked of `rejoin`. */
export const rejoinInputSchema = z.strictObject({
  ...commonInput,
  /** The node to make a standby again. Default: the only one that is not what it should be. */
  node: text.optional(),
  /** `auto`: nothing to do, rewind or copy, as its history says; a rewind that fails becomes a copy. `copy`: a full copy. */
  method: z.enum(['auto', 'copy']).default('auto'),
});
/** What may be asked of `addStandby` and `removeStandby`. */
export const standbyInputSchema = z.strictObject({
  ...commonInput,
  /** The node. Default for adding: the topology's first that is not there; removing needs a name. */
  node: text.optional(),
});
/** What may be asked of `repair`. */
export const repairInputSchema = z.strictObject({
  ...commonInput,
  /** Nodes that a person stopped: their containers are not started, and they are made no standby. */
  leave: z.array(text).max(32).optional(),
  /** No person has seen the plan: nothing is removed that may be somebody else's, such as a slot. */
  unattended: z.boolean().default(false),
});

export type RejoinInput = z.input<typeof rejoinInputSchema>;
export type RejoinRequest = z.output<typeof rejoinInputSchema>;
export type StandbyInput = z.input<typeof standbyInputSchema>;
export type StandbyRequest = z.output<typeof standbyInputSchema>;
export type RepairInput = z.input<typeof repairInputSchema>;
export type RepairRequest = z.output<typeof repairInputSchema>;

export const parseRejoinInput = (input: unknown) => parseInput('rejoin', rejoinInputSchema, input);
export const parseAddStandbyInput = (input: unknown) => parseInput('addStandby', standbyInputSchema, input);
export const parseRemoveStandbyInput = (input: unknown) => parseInput('removeStandby', standbyInputSchema, input);
export const parseRepairInput = (input: unknown) => parseInput('repair', repairInputSchema, input);
