import type { RedisState } from '../../cluster/redis/observed';
import type { SubStep } from '../../workflows/run-state';
import type { RedisNodeClient } from '../../systems/redis';
import { messageOf } from '../guard/probe';
import { sleep } from '../context';
import { Overtaken, type Permit } from '../still-mine';
import { withConnection, type RedisAccess } from './access';

/** A move of the master, planned or forced. */
export interface RedisMove {
  cluster: string;
  /** The run's id. */
  run: string;
  /** The master before. */
  source: string;
  /** The master afterwards. */
  target: string;
}

/** What a move measured. */
export interface RedisMoveResult {
  /** Milliseconds for which writes waited at the source; null where an attempt that died began that, or where nothing was held. */
  heldMs: number | null;
  /** How many clients were sent to the new master by ending their connections. */
  dropped: number;
  subSteps: SubStep[];
  /** This run did not compare the two and promote the target itself, so that something may be lost. Absent otherwise. */
  unproven?: true;
}

/** What a node says; undefined when it does not answer. */
export async function stateOf(access: RedisAccess, name: string, limitMs = 500): Promise<RedisState | undefined> {
  return withConnection(access.node(name, limitMs), (client) => client.state()).catch(() => undefined);
}

/** Whether a node has all that another one has: the same history, and not less of it. */
export const hasAllOf = (one: RedisState, other: RedisState): boolean =>
  one.replicationId === other.replicationId && one.offset >= other.offset;

/** Repeats a look at two nodes until the second one has all that the first one has. Returns undefined when the time is over. */
export async function untilEqual(
  source: RedisNodeClient,
  target: RedisNodeClient,
  limitMs: number,
): Promise<{ offset: number } | { behind: string }> {
  const began = performance.now();
  for (;;) {
    // The target is asked last: what it has then, it had of all that the source had before.
    const has = await source.state();
    const got = await target.state();
    if (hasAllOf(got, has)) return { offset: got.offset };
    if (performance.now() - began > limitMs)
      return {
        behind:
          has.replicationId === got.replicationId
            ? `${has.offset - got.offset} bytes behind after ${limitMs} ms`
            : 'of another history',
      };
    await sleep(1);
  }
}

/** Waits until a node has a role. @throws Error with what it says instead */
export async function untilRole(
  client: RedisNodeClient,
  name: string,
  role: RedisState['role'],
  limitMs: number,
): Promise<void> {
  const began = performance.now();
  for (;;) {
    const state = await client.state();
    if (state.role === role) return;
    if (performance.now() - began > limitMs) throw new Error(`${name} is still ${state.role} after ${limitMs} ms`);
    await sleep(2);
  }
}

/**
 * Has every other replica that answers follow the new master. Returns those that could not be told.
 * @throws Overtaken when another attempt goes on
 */
export async function redirectOthers(
  access: RedisAccess,
  { source, target }: RedisMove,
  permit: Permit,
): Promise<string[]> {
  const others = access.topology.nodes.filter(({ name }) => name !== source && name !== target);
  const silent = await Promise.all(
    others.map(({ name }) =>
      withConnection(access.node(name, 500), async (client) => {
        await permit.may(`have ${name} follow ${target}`);
        await client.followNow(access.internal(target));
      }).then(
        () => undefined,
        (error: unknown) => {
          if (error instanceof Overtaken) throw error;
          return `${name}: ${messageOf(error)}`;
        },
      ),
    ),
  );
  return silent.filter((one) => one !== undefined);
}
