import { z } from 'zod';
import { commonInput, parseInput, text } from './input';

/** What may be asked of `redisFailover`. Every key has a default. */
export const redisFailoverInputSchema = z.strictObject({
  ...commonInput,
  /** The node to become the master, by its container's name. Default: the best replica. */
  target: text.optional(),
  /** Refuse unless this node is the master, or was before it failed (A1). */
  expectedMaster: text.optional(),
  /** `repair`: mend what is not as it should be, and move nothing. */
  only: z.literal('repair').optional(),
  /** What a person stopped stays stopped: no step starts it. The guard asks so. */
  leaveStopped: z.literal(true).optional(),
});

export type RedisFailoverInput = z.input<typeof redisFailoverInputSchema>;
export type RedisFailoverRequest = z.output<typeof redisFailoverInputSchema>;

export const parseRedisFailoverInput = (input: unknown) => parseInput('redisFailover', redisFailoverInputSchema, input);
