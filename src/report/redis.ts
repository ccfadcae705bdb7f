import type { Check } from '../cluster/check';
import type { ObservedRedis, ObservedRedisNode, ObservedSentinel } from '../cluster/redis/observed';
import { nodeAt } from '../cluster/redis/observed';
import { checksText } from './checks';
import type { Style } from './style';
import { section, table } from './text';
import { formatBytes } from './words';

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

/** Redis and its Sentinels, and what is not as it should be. */
export interface RedisPicture {
  name: string;
  nodes: RedisMember[];
  sentinels: SentinelMember[];
  findings: Check[];
}

const silentAs = ({ container }: ObservedRedisNode | ObservedSentinel) => {
  if (container.status === 'absent') return 'absent';
  return container.exists && !container.running ? 'stopped' : 'unreachable';
};

/** What is shown of a look. */
export function redisPicture(observed: ObservedRedis, findings: Check[]): RedisPicture {
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
  return { name: observed.cluster, nodes, sentinels, findings };
}

/** The same as two tables, and the findings. */
export function redisText({ name, nodes, sentinels, findings }: RedisPicture, style: Style): string {
  return section(
    `Redis of cluster ${name}`,
    (inner) => {
      const checks = checksText(findings, inner);
      return [nodesTable(nodes, inner), sentinelsTable(sentinels, inner), ...(checks === '' ? [] : [checks])].join(
        '\n\n',
      );
    },
    style,
  );
}

const nodesTable = (nodes: readonly RedisMember[], style: Style): string =>
  table(
    ['NODE', 'ROLE', 'FOLLOWS', 'LINK', 'OFFSET', 'LAG'],
    nodes.map(({ name, role, follows = '', link = '', offset, lagBytes }) => [
      name,
      paint(role, style),
      follows,
      link,
      offset === undefined ? '' : String(offset),
      lagBytes === undefined ? '' : formatBytes(lagBytes),
    ]),
    style,
    { right: ['OFFSET', 'LAG'] },
  );

const sentinelsTable = (sentinels: readonly SentinelMember[], style: Style): string =>
  table(
    ['SENTINEL', 'STATE', 'NAMES', 'FLAGS', 'EPOCH', 'OTHERS'],
    sentinels.map(({ name, state, names = '', flags = [], configEpoch, others }) => [
      name,
      state === 'up' ? state : style.colour.red(state),
      names,
      flags.join(','),
      configEpoch === undefined ? '' : String(configEpoch),
      others === undefined ? '' : String(others),
    ]),
    style,
    { right: ['EPOCH', 'OTHERS'] },
  );

function paint(role: RedisMember['role'], { colour }: Style): string {
  if (role === 'master') return colour.bold(colour.green(role));
  return role === 'replica' ? role : colour.red(role);
}
