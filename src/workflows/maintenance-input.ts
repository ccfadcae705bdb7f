import { z } from 'zod';
import { commonInput, duration, parseInput, text } from './input';

/** What may be asked of `maintenance`. It has to be told what to clear; everything else has a default. */
export const maintenanceInputSchema = z
  .strictObject({
    ...commonInput,
    /** The side to clear, by the topology. */
    side: z.union([z.literal(1), z.literal(2)], 'expected 1 or 2').optional(),
    /** Nodes to clear, by their containers' names; instead of `side`. */
    nodes: z.array(text).min(1, 'expected at least one name').max(50).optional(),
    /** `on request`: it is held, and moved back when somebody asks. `never`: the run ends when everything is moved away. */
    back: z.enum(['on request', 'never']).default('on request'),
    /** It is held for this long at most; then the run ends, and nothing is moved back. Default: until somebody asks. */
    hold: duration('hold').optional(),
  })
  .superRefine(({ side, nodes, back, hold }, context) => {
    const wrong = (message: string) => context.addIssue({ code: 'custom', message });
    if (side === undefined && nodes === undefined)
      wrong('nothing says what is to be cleared: give side (1 or 2), or nodes (names)');
    if (side !== undefined && nodes !== undefined) wrong('both side and nodes are given: give one of them');
    if (back === 'never' && hold !== undefined) wrong('hold is given, but back is never: then nothing is held');
  });

/** Input of the `maintenance` workflow. */
export type MaintenanceInput = z.input<typeof maintenanceInputSchema>;
/** The same, with defaults filled in. */
export type MaintenanceRequest = z.output<typeof maintenanceInputSchema>;

/** Normalises the input of `maintenance`. */
export const parseMaintenanceInput = (input: unknown) => parseInput('maintenance', maintenanceInputSchema, input);
