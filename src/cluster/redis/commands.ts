/* Commands for a person at a shell on the machine of the stack. `redis-cli` in the containers knows the password. */

/** A command to one Redis node. */
export const redisCli = (node: string, command: string): string => `docker exec ${node} redis-cli ${command}`;

/** A command to one Sentinel. */
export const sentinelCli = (sentinel: string, command: string): string =>
  `docker exec ${sentinel} redis-cli -p 26379 sentinel ${command}`;

/** Starts a container. */
export const startContainer = (name: string): string => `docker start ${name}`;

/** Ends a container, whatever hangs in it, and starts it again. */
export const restartContainer = (name: string): string => `docker restart ${name}`;

/** What Redis and its Sentinels look like now. */
export const redisStatus = (cluster: string): string => `veloz-ha redis status --cluster ${cluster}`;

/** Moves the master, forced where it failed; mends what a failover left. */
export const redisFailover = (cluster: string, rest = ''): string =>
  `veloz-ha redis failover --cluster ${cluster}${rest === '' ? '' : ` ${rest}`}`;

/** Ends the freeze of a container. */
export const unfreezeContainer = (name: string): string => `docker unpause ${name}`;

export { START_STACK } from '../commands';
