import type { Redis } from 'ioredis';
import type { SeenBySentinel, SentinelState } from '../cluster/redis/observed';
import type { Endpoint } from '../cluster/topology';
import { openControl } from './redis';

/** How a Sentinel has to watch the master, where it has no settings for it yet. Milliseconds. */
export interface SentinelWatch {
  quorum: number;
  password: string;
  downAfterMs: number;
  failoverTimeoutMs: number;
}

/** A narrow client of one Sentinel. Every command has a limit; after a failure the client is of no more use. */
export class SentinelClient {
  private constructor(private readonly redis: Redis) {}

  /** @throws Error when the Sentinel does not answer, as openControl does */
  static async open(endpoint: Endpoint, password: string, limitMs = 1000): Promise<SentinelClient> {
    return new SentinelClient(await openControl(endpoint, password, limitMs));
  }

  private call(...words: string[]): Promise<unknown> {
    const [first = '', ...rest] = words;
    return this.redis.call('SENTINEL', first, ...rest);
  }

  /** What it says about a group. A group that it does not know is a part of the answer. */
  async state(group: string): Promise<SentinelState> {
    const [id, master] = await Promise.all([this.id(), this.call('MASTER', group).catch(unknownGroup)]);
    const none = { id, master: null, configEpoch: 0, quorum: 0, others: 0, replicas: [] };
    if (master === undefined) return { ...none, quorate: { ok: false, says: `it watches no ${group}` } };
    const fields = fieldsOf(master);
    const [replicas, quorate] = await Promise.all([
      this.call('REPLICAS', group).catch(unknownGroup),
      this.call('CKQUORUM', group).then(
        (says) => ({ ok: true, says: String(says) }),
        (error: unknown) => ({ ok: false, says: (error as Error).message }),
      ),
    ]);
    return {
      id,
      master: {
        ...addressOf(fields),
        ...seenBy(fields),
        ...(runIdOf(fields) === '' ? { neverHeard: true as const } : {}),
        lastAnswerMs: Number(fields.get('last-ok-ping-reply') ?? 0),
        reports: fields.get('role-reported') ?? 'unknown',
      },
      configEpoch: Number(fields.get('config-epoch') ?? 0),
      quorum: Number(fields.get('quorum') ?? 0),
      ...numberOf(fields, 'downAfterMs', 'down-after-milliseconds'),
      ...numberOf(fields, 'failoverTimeoutMs', 'failover-timeout'),
      others: Number(fields.get('num-other-sentinels') ?? 0),
      replicas: (Array.isArray(replicas) ? replicas : []).map((replica: unknown) => {
        const its = fieldsOf(replica);
        return { ...addressOf(its), ...seenBy(its) };
      }),
      quorate,
    };
  }

  async id(): Promise<string> {
    return String(await this.call('MYID'));
  }

  /** The master that it tells clients, which is all that counts for them; undefined where it knows none. */
  async masterAddress(group: string): Promise<Endpoint | undefined> {
    const answer = await this.call('GET-MASTER-ADDR-BY-NAME', group);
    return Array.isArray(answer) ? { host: String(answer[0]), port: Number(answer[1]) } : undefined;
  }

  /**
   * Whether the master answers it: it has read who that is, which takes the password, and counts it as up. The time since the last
   * answer says nothing right after it was told whom to watch.
   */
  async seesMaster(group: string): Promise<boolean> {
    const fields = fieldsOf(await this.call('MASTER', group).catch(unknownGroup));
    return runIdOf(fields) !== '' && !flagsOf(fields).some((flag) => /down|disconnected/.test(flag));
  }

  /** The other Sentinels of the group, as it knows them. */
  async others(group: string): Promise<(Endpoint & { id: string })[]> {
    const list = await this.call('SENTINELS', group).catch(unknownGroup);
    return (Array.isArray(list) ? list : []).map((one: unknown) => {
      const fields = fieldsOf(one);
      return { ...addressOf(fields), id: fields.get('runid') ?? '' };
    });
  }

  /** Watches another master from now on, knowing nothing of what it knew: neither replicas nor epoch. Its settings it keeps. */
  async watchAnew(group: string, { host, port }: Endpoint, how: SentinelWatch): Promise<void> {
    const before = fieldsOf(await this.call('MASTER', group).catch(unknownGroup));
    await this.call('REMOVE', group).catch(unknownGroup);
    await this.call('MONITOR', group, host, String(port), String(how.quorum));
    const settings = {
      'auth-pass': how.password,
      'down-after-milliseconds': before.get('down-after-milliseconds') ?? how.downAfterMs,
      'failover-timeout': before.get('failover-timeout') ?? how.failoverTimeoutMs,
      'parallel-syncs': before.get('parallel-syncs') ?? 1,
    };
    await this.call('SET', group, ...Object.entries(settings).flatMap(([key, value]) => [key, String(value)]));
  }

  close(): void {
    this.redis.disconnect();
  }
}

/** "No such master with that name" is an answer too. */
function unknownGroup(error: unknown): undefined {
  if (/no such master/i.test((error as Error).message)) return undefined;
  throw error;
}

/** A flat list of names and values as a map. */
export function fieldsOf(reply: unknown): Map<string, string> {
  const words = Array.isArray(reply) ? reply.map(String) : [];
  return new Map(words.flatMap((word, index) => (index % 2 === 0 ? [[word, words[index + 1] ?? ''] as const] : [])));
}

/** A number under another name, where the Sentinel says it. */
const numberOf = <Key extends string>(
  fields: Map<string, string>,
  key: Key,
  name: string,
): Partial<Record<Key, number>> => {
  const value = fields.get(name);
  return value === undefined ? {} : ({ [key]: Number(value) } as Partial<Record<Key, number>>);
};

const addressOf = (fields: Map<string, string>): Endpoint => ({
  host: fields.get('ip') ?? '',
  port: Number(fields.get('port') ?? 0),
});
/** Empty until the server there has said it for the first time; a Sentinel keeps it in no file. */
const runIdOf = (fields: Map<string, string>): string => fields.get('runid') ?? '';
const seenBy = (fields: Map<string, string>): SeenBySentinel => ({
  flags: flagsOf(fields),
  ...(runIdOf(fields) === '' ? {} : { runId: runIdOf(fields) }),
});
const flagsOf = (fields: Map<string, string>): string[] => (fields.get('flags') ?? '').split(',').filter(Boolean);
