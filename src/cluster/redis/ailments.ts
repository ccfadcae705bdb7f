import { redisCli } from './commands';
import { answeringNodes, type AnsweringRedis, type ObservedRedis } from './observed';

/*
 * What a node is set to, or has met with, so that it does not do what is promised of it, although it answers and replicates. The node itself
 * puts back what is its own within a second (docker/redis): what is seen here for longer it could not.
 */

/** One such thing. */
export interface Ailment {
  /** What is so, in half a sentence. */
  refusal: string;
  measured: string;
  limit: string;
  /** The next command. */
  next: string;
}

/** What ails a node that answers, worst first. Pure. */
export function ailmentsOf({ name, state }: AnsweringRedis): Ailment[] {
  const found: Ailment[] = [];
  if (state.keepsFile === false)
    found.push({
      refusal: `${name} keeps no append-only file: a restart would bring back an old state`,
      measured: 'appendonly is no',
      limit: 'yes',
      next: redisCli(name, 'config set appendonly yes'),
    });
  return found;
}

/** The same of all nodes in one sentence without full stop, those of masters first; undefined where all are well. */
export function ailmentSays(observed: ObservedRedis): string | undefined {
  const nodes = answeringNodes(observed).sort(
    (a, b) => Number(b.state.role === 'master') - Number(a.state.role === 'master'),
  );
  const [first, ...more] = nodes.flatMap((node) => ailmentsOf(node));
  if (first === undefined) return undefined;
  const says = [first, ...more].map(({ refusal, measured, limit }) => `${refusal} (${measured}; limit: ${limit})`);
  return `${says.join('; ')}. Next: ${first.next}`;
}
