import type { RedisMember, SentinelMember } from '../cluster/redis/members';
import { formatBytes } from './words';

/*
 * Redis nodes and Sentinels as rows of a table. Nothing here may import a Node built-in or a drawing library: workflows bundle it.
 */

export const redisColumns = ['Node', 'Role', 'Follows', 'Link', 'Offset', 'Lag'];

/** One row under {@link redisColumns}. */
export const redisCells = ({ name, role, follows, link, offset, lagBytes }: RedisMember): string[] => [
  name,
  role,
  follows ?? '',
  link ?? '',
  offset === undefined ? '' : String(offset),
  lagBytes === undefined ? '' : formatBytes(lagBytes),
];

export const sentinelColumns = ['Sentinel', 'State', 'Names', 'Flags', 'Epoch', 'Others'];

/** One row under {@link sentinelColumns}. */
export const sentinelCells = ({
  name,
  state,
  names = '',
  flags = [],
  configEpoch,
  others,
}: SentinelMember): string[] => [
  name,
  state,
  names,
  flags.join(','),
  configEpoch === undefined ? '' : String(configEpoch),
  others === undefined ? '' : String(others),
];
