import type { RedisSettings } from '../cluster/redis/observed';

/** What every Redis says to CONFIG GET. */
const ALWAYS = [
  'save',
  'stop-writes-on-bgsave-error',
  'min-replicas-to-write',
  'masterauth',
  'replica-read-only',
] as const;

/** What is asked of CONFIG GET. A Redis that was built without TLS does not know of it. */
export const SETTINGS = [...ALWAYS, 'masteruser', 'tls-replication'] as const;

/** The names and values of an answer to INFO. */
export const infoFields = (info: string): Map<string, string> =>
  new Map(
    info.split(/\r?\n/).flatMap((line) => {
      const colon = line.indexOf(':');
      return colon < 1 || line.startsWith('#') ? [] : [[line.slice(0, colon), line.slice(colon + 1)] as const];
    }),
  );

/**
 * Reads what a node is set to. The password is compared and not kept.
 * @param config the answer to CONFIG GET
 * @param info the sections memory, persistence and clients of INFO
 * @returns undefined where it does not say
 */
export function parseSettings(config: unknown, info: string, password: string): RedisSettings | undefined {
  const words = Array.isArray(config) ? config.map(String) : [];
  const set = new Map(
    words.flatMap((word, index) => (index % 2 === 0 ? [[word, words[index + 1] ?? ''] as const] : [])),
  );
  if (!ALWAYS.every((name) => set.has(name))) return undefined;
  const fields = infoFields(info);
  const number = (key: string) => Number(fields.get(key) ?? 0);
  return {
    minReplicas: Number(set.get('min-replicas-to-write')),
    knowsPassword: set.get('masterauth') === password,
    followsAsOther: (set.get('masteruser') ?? '') !== '',
    followsByTls: (set.get('tls-replication') ?? 'no') !== 'no',
    readOnly: set.get('replica-read-only') === 'yes',
    snapshotsStopWrites:
      set.get('save') !== '' &&
      set.get('stop-writes-on-bgsave-error') === 'yes' &&
      fields.get('rdb_last_bgsave_status') === 'err',
    maxMemory: number('maxmemory'),
    usedMemory: number('used_memory'),
    eviction: fields.get('maxmemory_policy') ?? 'noeviction',
    ...(fields.has('maxclients')
      ? { clients: { most: number('maxclients'), connected: number('connected_clients') } }
      : {}),
  };
}
