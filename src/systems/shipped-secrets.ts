import type { ClusterTopology } from '../cluster/topology';
import { isShipped, type Environment } from './secrets';

/** Read by the containers alone; the roles of a cluster are made with it. */
const REPLICATION = 'VELOZ_PG_REPL_PASSWORD';
/** The token of the engines' admin routes. */
const ENGINES = 'VELOZ_ENGINE_ADMIN_TOKEN';
/** Whoever reads the application's password from here runs the shipped stack. */
const OF_THE_STACK = 'VELOZ_PG_PASSWORD';

/** The names of a cluster's secrets that still have the value that this project ships, which everybody can read. Never a value. */
export function shippedSecrets({ postgres, pgbouncer, redis, engines }: ClusterTopology, env: Environment): string[] {
  const names = [
    postgres.client.passwordFrom,
    postgres.control.passwordFrom,
    ...(postgres.client.passwordFrom === OF_THE_STACK ? [REPLICATION] : []),
    pgbouncer.admin.passwordFrom,
    ...(redis === undefined ? [] : [redis.passwordFrom]),
    ...(engines === undefined ? [] : [ENGINES]),
  ];
  return [...new Set(names)].filter((name) => isShipped(name, env));
}

/** The same in a sentence, with what to do; undefined where none is in use. */
export function shippedSecretsHint(
  cluster: ClusterTopology,
  env: Environment,
): { says: string; next: string } | undefined {
  const names = shippedSecrets(cluster, env);
  const [first] = names;
  if (first === undefined) return undefined;
  const others = names.length === 1 ? '' : ` and ${names.length - 1} more`;
  return {
    says: `shipped passwords that everybody knows are in use: ${first}${others}`,
    next: `set ${first}_FILE${others}, before the first stack up (docs/topology.md#passwords)`,
  };
}
