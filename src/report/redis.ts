import type { Check } from '../cluster/check';
import { redisMembers, type RedisMember, type RedisMembers, type SentinelMember } from '../cluster/redis/members';
import type { ObservedRedis } from '../cluster/redis/observed';
import { checksText } from './checks';
import { redisCells, redisColumns, sentinelCells, sentinelColumns } from './redis-cells';
import type { Style } from './style';
import { section, table } from './text';

/** Redis and its Sentinels, and what is not as it should be. */
export interface RedisPicture extends RedisMembers {
  name: string;
  findings: Check[];
}

/** A look with what was found in it. */
export const redisPicture = (observed: ObservedRedis, findings: Check[]): RedisPicture => ({
  name: observed.cluster,
  ...redisMembers(observed),
  findings,
});

/** The same as two tables, and the findings. */
export function redisText({ name, nodes, sentinels, findings }: RedisPicture, style: Style): string {
  return section(
    `Redis of cluster ${name}`,
    (inner) => {
      const checks = checksText(findings, inner);
      return redisTables({ nodes, sentinels }, inner) + (checks === '' ? '' : `\n\n${checks}`);
    },
    style,
  );
}

/** Nodes and Sentinels as tables. */
export const redisTables = ({ nodes, sentinels }: RedisMembers, style: Style): string =>
  `${redisNodesTable(nodes, style)}\n\n${sentinelsTable(sentinels, style)}`;

const upper = (columns: readonly string[]) => columns.map((column) => column.toUpperCase());

/** Redis nodes as a table. */
export const redisNodesTable = (nodes: readonly RedisMember[], style: Style): string =>
  table(
    upper(redisColumns),
    nodes.map((node) => redisCells(node).map((cell, index) => (index === 1 ? paint(node.role, style) : cell))),
    style,
    { right: ['OFFSET', 'LAG'] },
  );

/** Sentinels as a table. */
export const sentinelsTable = (sentinels: readonly SentinelMember[], style: Style): string =>
  table(
    upper(sentinelColumns),
    sentinels.map((sentinel) =>
      sentinelCells(sentinel).map((cell, index) =>
        index === 1 && sentinel.state !== 'up' ? style.colour.red(cell) : cell,
      ),
    ),
    style,
    { right: ['EPOCH', 'OTHERS'] },
  );

function paint(role: RedisMember['role'], { colour }: Style): string {
  if (role === 'master') return colour.bold(colour.green(role));
  return role === 'replica' ? role : colour.red(role);
}
