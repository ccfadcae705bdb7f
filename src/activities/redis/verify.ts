import { diagnose, faultSays, type RedisFault } from '../../cluster/redis/faults';
import {
  answeringNodes,
  answeringSentinels,
  majorityOf,
  mastersOf,
  type ObservedRedis,
} from '../../cluster/redis/observed';
import { finalFailure, keepBeating, sleep } from '../context';
import type { ActivityDeps } from '../deps';
import { messageOf } from '../guard/probe';
import { accessRedis, withConnection, type RedisAccess } from './access';
import { observeRedis } from './observe';
import { steadyMs } from '../clock';

/** What must be so at the end. */
export interface RedisProof {
  cluster: string;
  run: string;
  master: string;
  /** A node that may be absent: it failed, and could not be started again. */
  without?: string;
  /** Nodes and Sentinels that a person stopped, and that stay so. */
  leaves?: string[];
}

/**
 * The new state is waited for this long by one attempt, in milliseconds. A replica that has to be copied anew takes its time, and is waited
 * for by further ones.
 */
const LIMIT_MS = 30_000;
const LOOK_AGAIN_MS = 50;
const SOAK_EVERY_MS = 250;
/** The key of the write that proves the way from the master to a replica. */
const CANARY = 'veloz:ha:canary';
const CANARY_LIMIT_MS = 1000;

/**
 * Proves the new state, and then for as long as the soak lasts: one master, and it is the expected one; nothing is left over (L3); every
 * replica is connected; a write to the master reaches a replica.
 * @throws ApplicationFailure `Failed` (not retried) that says what is not so, where nothing of it comes right by itself; else an Error
 */
export async function verifyRedis(
  deps: ActivityDeps,
  proof: RedisProof,
  soakMs: number,
): Promise<{ detail: string; soakedMs: number }> {
  const access = accessRedis(deps, proof.cluster);
  const began = steadyMs();
  let waits = true;
  const look = async () => {
    const observed = await observeRedis(deps, access.cluster, access.topology);
    waits = mayComeRight(observed, proof);
    return whatIsWrong(observed, proof) ?? (await canary(access, proof));
  };
  let wrong: string | undefined;
  const stopBeating = keepBeating(() => `${wrong ?? 'as it should be'}; ${steadyMs() - began} ms`);
  try {
    for (wrong = await look(); wrong !== undefined && steadyMs() - began < LIMIT_MS; wrong = await look())
      await sleep(LOOK_AGAIN_MS);
    const settled = steadyMs();
    let rounds = 1;
    // After the first good look nothing may be wrong any more.
    for (; wrong === undefined && steadyMs() - settled < soakMs; rounds++) {
      await sleep(Math.min(SOAK_EVERY_MS, soakMs));
      wrong = await look();
    }
    if (wrong !== undefined) throw waits ? new Error(wrong) : finalFailure('Failed', wrong);
    const soakedMs = steadyMs() - settled;
    return {
      detail: `${proof.master} is the one master, every Sentinel that answers names it, ${replicasOf(access, proof) > 0 ? 'a write reached a replica' : 'and there is no replica to confirm a write'}${rounds === 1 ? '' : `; ${rounds} rounds in ${soakedMs} ms`}`,
      soakedMs,
    };
  } finally {
    stopBeating();
  }
}

/**
 * Whether it is worth while to wait on: the expected master is the one, and each node that is not in line answers, so that it may only
 * read its files, or be copied. Pure. A node that gives no answer is for whoever starts it, and another master for the run that made it one.
 */
export function mayComeRight(observed: ObservedRedis, { master, without, leaves = [] }: RedisProof): boolean {
  const [first, second] = mastersOf(observed);
  if (first?.name !== master || second !== undefined) return false;
  return observed.nodes.every(({ name, state }) => state !== null || name === without || leaves.includes(name));
}

/** What is not as the proof has it; undefined when all is. */
export function whatIsWrong(observed: ObservedRedis, { master, without, leaves = [] }: RedisProof): string | undefined {
  const [first, second] = mastersOf(observed);
  if (first?.name !== master || second !== undefined)
    return `master: ${
      mastersOf(observed)
        .map(({ name }) => name)
        .join(', ') || 'no node'
    }; expected ${master} alone`;
  const found = diagnose(observed);
  if ('undecided' in found) return found.undecided;
  // One that was started meanwhile has to be in line.
  const stays = ({ kind, node }: RedisFault) => kind === 'stopped' && leaves.includes(node);
  const fault = found.faults.find((each) => each.node !== without && !stays(each));
  if (fault !== undefined) return faultSays(fault);
  const there = answeringSentinels(observed).length;
  if (there < majorityOf(observed)) return `${there} of ${observed.sentinels.length} Sentinels answer`;
  for (const { name, state } of answeringNodes(observed)) {
    if (name === master || name === without) continue;
    if (state.upstream?.up !== true) return `${name} is not connected to ${master}`;
    if (state.replicationId !== first.state.replicationId) return `${name} has another history than ${master}`;
  }
  return undefined;
}

/** How many nodes have to have what the master has. */
function replicasOf({ topology }: RedisAccess, { master, without, leaves = [] }: RedisProof): number {
  const away = [master, without, ...leaves];
  return topology.nodes.filter(({ name }) => !away.includes(name)).length;
}

/** One write to the master that a replica has too. */
async function canary(access: RedisAccess, proof: RedisProof): Promise<string | undefined> {
  const { master, run } = proof;
  try {
    const replicas = replicasOf(access, proof);
    return await withConnection(access.node(master), async (client) => {
      const confirmed = await client.writeAndWait(CANARY, run, Math.min(1, replicas), CANARY_LIMIT_MS);
      return confirmed >= Math.min(1, replicas) ? undefined : `a write to ${master} reached no replica`;
    });
  } catch (error) {
    return `${master} takes no writes: ${messageOf(error)}`;
  }
}
