import { HELLO_CHANNEL, helloLine, nextEpoch, type Speaker } from '../../cluster/redis/gossip';
import { majorityOf } from '../../cluster/redis/observed';
import type { RedisNodeClient } from '../../systems/redis';
import type { SentinelClient } from '../../systems/redis-sentinel';
import { messageOf } from '../guard/probe';
import { sleep } from '../context';
import type { Permit } from '../still-mine';
import { withConnection, type RedisAccess } from './access';

/** The Sentinels that answered before a move: connections that are open, and whom each knows. */
export interface SentinelCircle {
  /** By name. */
  open: Map<string, SentinelClient>;
  /** Those in whose name something can be said, the others by their own account. */
  speakers: Speaker[];
  /** The latest epoch that any of them has. */
  epoch: number;
  close(): void;
}

/** How long one line is given until the next one is sent, in milliseconds. A Sentinel took at most 35 (docs/redis.md). */
const AGAIN_MS = 250;
/** Between two questions whom a Sentinel names, in milliseconds. */
const LOOK_MS = 3;
/** Watched as the image's Sentinels do (docker/redis), where one has to be told anew. */
const WATCH = { downAfterMs: 5000, failoverTimeoutMs: 60_000 };

/** Connects to every Sentinel that answers, before anybody waits. */
export async function gatherSentinels(access: RedisAccess): Promise<SentinelCircle> {
  const { topology } = access;
  const open = new Map<string, SentinelClient>();
  const speakers = new Map<string, Speaker>();
  let epoch = 0;
  await Promise.all(
    topology.sentinels.map(async ({ name }) => {
      let client: SentinelClient | undefined;
      try {
        client = await access.sentinel(name);
        const [state, others] = await Promise.all([client.state(topology.master), client.others(topology.master)]);
        epoch = Math.max(epoch, state.configEpoch);
        for (const other of others) speakers.set(other.id, other);
        open.set(name, client);
      } catch {
        // One that does not answer learns it from the others.
        client?.close();
      }
    }),
  );
  return {
    open,
    speakers: [...speakers.values()],
    epoch,
    close() {
      for (const client of open.values()) client.close();
    },
  };
}

/**
 * Has all Sentinels name the target, in the way in which they tell each other: lines with a later epoch than any of theirs, on the
 * channel of the new master, which all of them listen to. Not on the old one, where such a line would wait as writes do.
 *
 * A Sentinel that has not taken it up at the end of the limit is told directly to watch anew.
 * @param permit asked before each line: one that is said late, with a later epoch each time, would win over a move that followed
 * @returns how many name it, of how many that answer
 * @throws Overtaken when another attempt goes on; Error when no majority of all does
 */
export async function announce(
  access: RedisAccess,
  circle: SentinelCircle,
  through: RedisNodeClient,
  target: string,
  permit: Permit,
): Promise<string> {
  const { topology } = access;
  const master = access.internal(target);
  const began = performance.now();
  const left = new Map(circle.open);
  const all = left.size;
  let epoch = circle.epoch;
  let said = -Infinity;
  const names = async (client: SentinelClient) => {
    const named = await client.masterAddress(topology.master);
    return named?.host === master.host && named.port === master.port;
  };
  while (left.size > 0 && performance.now() - began < topology.limits.agree) {
    await Promise.all(
      [...left].map(async ([name, client]) => {
        if (await names(client).catch(() => false)) left.delete(name);
      }),
    );
    if (left.size === 0) break;
    if (performance.now() - said > AGAIN_MS) {
      await permit.may(`tell the Sentinels of ${target}`);
      said = performance.now();
      epoch = nextEpoch([epoch]);
      // Two speakers: a Sentinel does not listen to lines of its own.
      for (const speaker of circle.speakers.slice(0, 2))
        await through.publish(HELLO_CHANNEL, helloLine(speaker, topology.master, master, epoch));
    }
    await sleep(LOOK_MS);
  }
  const deaf = [...left.keys()];
  for (const name of deaf) {
    await permit.may(`have ${name} watch ${target}`);
    await watchAnew(access, name, target).then(
      () => left.delete(name),
      () => undefined,
    );
  }
  const agreed = all - left.size;
  if (agreed < majorityOf(topology))
    throw new Error(
      `L3: ${agreed} of ${topology.sentinels.length} Sentinels name ${target} (limit: a majority within ${topology.limits.agree} ms)`,
    );
  const anew = deaf.filter((name) => !left.has(name));
  return `${agreed} of ${topology.sentinels.length} Sentinels name ${target}, epoch ${epoch}${anew.length === 0 ? '' : `; ${anew.join(', ')} had to be told directly`}`;
}

/** Has one Sentinel forget what it watched. It finds replicas and the other Sentinels again by itself. */
export async function watchAnew(access: RedisAccess, sentinel: string, master: string): Promise<void> {
  const { topology } = access;
  await withConnection(access.sentinel(sentinel), (client) =>
    client.watchAnew(topology.master, access.internal(master), {
      quorum: topology.quorum,
      password: access.password(),
      ...WATCH,
    }),
  ).catch((error: unknown) => {
    throw new Error(`${sentinel} could not be told: ${messageOf(error)}`);
  });
}
