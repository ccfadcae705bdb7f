import { nodeAt, type ObservedRedis, type ObservedRedisNode, type ObservedSentinel } from './observed';

/** One node for a person and for programs. */
export interface RedisMember {
  name: string;
  role: 'master' | 'replica' | 'stopped' | 'unreachable' | 'absent';
  /** On a replica: who it follows, by name where the topology has it. */
  follows?: string;
  /** On a replica: connected, disconnected, or being copied. */
  link?: 'up' | 'down' | 'copying';
  /** Bytes of the history that it has carried out. */
  offset?: number;
  /** Bytes of the master's history that it has not carried out yet; absent where there is no one master to compare with. */
  lagBytes?: number;
  version?: string;
  error?: string;
}

/** One Sentinel. */
export interface SentinelMember {
  name: string;
  state: 'up' | 'stopped' | 'unreachable' | 'absent';
  /** The master that it names. */
  names?: string;
  flags?: string[];
  configEpoch?: number;
  /** Other Sentinels that it knows. */
  others?: number;
  error?: string;
}

/** Redis and its Sentinels, each in one line. */
export interface RedisMembers {
  nodes: RedisMember[];
  sentinels: SentinelMember[];
}

const silentAs = ({ container }: ObservedRedisNode | ObservedSentinel) => {
  if (container.status === 'absent') return 'absent';
  return container.exists && !container.running ? 'stopped' : 'unreachable';
};

/** What is shown of a look. Pure. */
export function redisMembers(observed: ObservedRedis): RedisMembers {
  const masters = observed.nodes.filter(({ state }) => state?.role === 'master');
  const master = masters.length === 1 ? masters[0]?.state : undefined;
  const nodes = observed.nodes.map((node): RedisMember => {
    const { name, state, error } = node;
    if (state === null) return { name, role: silentAs(node), ...(error === undefined ? {} : { error }) };
    const member = { name, role: state.role, offset: state.offset, version: state.version };
    const { upstream } = state;
    if (upstream === null) return member;
    return {
      ...member,
      follows: nodeAt(observed, upstream)?.name ?? `${upstream.host}:${upstream.port}`,
      link: upstream.up ? 'up' : upstream.syncing ? 'copying' : 'down',
      // The two were asked at nearly the same moment: a replica may have been asked later than its master.
      ...(master?.replicationId === state.replicationId ? { lagBytes: Math.max(0, master.offset - state.offset) } : {}),
    };
  });
  const sentinels = observed.sentinels.map((sentinel): SentinelMember => {
    const { name, state, error } = sentinel;
    if (state === null) return { name, state: silentAs(sentinel), ...(error === undefined ? {} : { error }) };
    const { master: named, configEpoch, others } = state;
    if (named === null) return { name, state: 'up' };
    const names = nodeAt(observed, named)?.name ?? `${named.host}:${named.port}`;
    return { name, state: 'up', names, flags: named.flags, configEpoch, others };
  });
  return { nodes, sentinels };
}
