import { z } from 'zod';
import { durationMs } from '../cluster/duration';

/** A name or a sentence in an input. */
export const text = z.string().trim().min(1).max(500);

/** A duration as people write it. It stays text in the input, and is parsed where it is used. */
export const duration = (what: string, parse: (text: string) => number = durationMs) =>
  z.string().superRefine((value, context) => {
    try {
      parse(value);
    } catch (error) {
      context.addIssue({ code: 'custom', message: `${what}: ${(error as Error).message}` });
    }
  });

/** Keys that every runbook's input has. */
export const commonInput = {
  /** The cluster. Default: the topology's default. */
  cluster: text.optional(),
  /** `plan`: all checks and a numbered plan, no change. */
  mode: z.enum(['run', 'plan']).default('run'),
  /** `required`: waits for `approve` after the plan. `given`: whoever started it has confirmed already. */
  approval: z.enum(['required', 'given']).default('required'),
  /** How long it waits for approval. Default: the cluster's. */
  approvalTimeout: duration('approvalTimeout').optional(),
  /** How long the new state is watched before it is called a success. Default: the cluster's. */
  soak: duration('soak').optional(),
  /** Who started it. Default: "the Web UI or an API client". */
  startedBy: text.optional(),
  reason: text.optional(),
  ticket: text.optional(),
} as const;

/**
 * Normalises what was typed. `undefined` and `null` mean an empty form.
 * @returns the request, or one sentence that names every mistake and the known keys
 */
export function parseInput<Schema extends z.ZodObject>(
  runbook: string,
  schema: Schema,
  input: unknown,
): { request: z.output<Schema> } | { mistake: string } {
  const result = schema.safeParse(input ?? {});
  if (result.success) return { request: result.data };
  const known = Object.keys(schema.shape).join(', ');
  const mistakes = result.error.issues.map((issue) =>
    issue.path.length === 0 ? issue.message : `${issue.path.join('.')}: ${issue.message}`,
  );
  return { mistake: `the input of ${runbook} is wrong: ${mistakes.join('; ')}. Known keys: ${known}` };
}
