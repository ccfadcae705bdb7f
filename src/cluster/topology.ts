import { z } from 'zod';
import { durationMs, holdMs } from './duration';
import { guardPolicySchema } from './guard/policy';

const name = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9_.-]{0,62}$/i,
    'expected a name of letters, digits, dot, dash or underscore, such as veloz-postgres-primary',
  );
const port = z.number().int().min(1).max(65535);
const durationBy = (parse: (text: string) => number) =>
  z.string().transform((text, context) => {
    try {
      return parse(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message });
      return z.NEVER;
    }
  });
const duration = durationBy(durationMs);
/** What an agent is asked to keep. */
const hold = durationBy(holdMs);
/** The name of an environment variable. The value, or that of `<NAME>_FILE`, is read by the worker only. */
const secretRef = z
  .string()
  .regex(
    /^[A-Z][A-Z0-9_]*$/,
    'expected the NAME of an environment variable that holds the secret, never the secret itself',
  );

/** Host and port. */
export const endpointSchema = z.strictObject({ host: z.string().min(1), port });

/** Which of two sides a node stands on, such as one of two machines: `maintenance` clears a side. */
const side = z.union([z.literal(1), z.literal(2)], 'expected 1 or 2').optional();

const postgresNode = z.strictObject({
  /** The container, which keeps this name for life whatever role it has. */
  name,
  /** Where the worker reaches the node. */
  address: endpointSchema,
  /** Where the other nodes and the pooler reach it. Default: its name, port 5432. */
  internal: endpointSchema.optional(),
  /** `false`: never promoted, whatever happens (checklist A7). */
  promotable: z.boolean().default(true),
  /** `true`: the node may be absent (a compose profile that is not up) without that being a finding. */
  optional: z.boolean().default(false),
  /** Default: by its place in the list, the first on side 1, the second on side 2, any other on neither. */
  side,
});

const pooler = z.strictObject({ name, address: endpointSchema });

const credentials = z.strictObject({
  user: z.string().min(1),
  passwordFrom: secretRef,
});

const limits = z.strictObject({
  /** Bytes sent but not flushed on the candidate (B5). */
  flushLagBytes: z
    .number()
    .int()
    .min(0)
    .default(10 * 1024 * 1024),
  /** Bytes received but not replayed on the candidate (B6). */
  replayLagBytes: z
    .number()
    .int()
    .min(0)
    .default(16 * 1024 * 1024),
  /** An open transaction older than this refuses the run before it starts (D3). */
  transactionAge: duration.prefault('2s'),
  /** A timed CHECKPOINT may take this long (D4). */
  checkpoint: duration.prefault('30s'),
  /** PAUSE may wait this long for open transactions (F2). */
  pause: hold.prefault('2s'),
  /** Clients are held for at most this long; the dead-man switch lets go then (F2). */
  hold: hold.prefault('5s'),
  /** The clean stop of the primary may take this long (G4). */
  stop: hold.prefault('3s'),
  /** The promotion may take this long (H7). */
  promote: duration.prefault('10s'),
  /** Free space that a node must have, in bytes (C9). */
  freeDiskBytes: z
    .number()
    .int()
    .min(0)
    .default(256 * 1024 * 1024),
  /** Segments waiting for the archiver (D1). */
  archiveBacklog: z.number().int().min(0).default(8),
});

// Redis, engines, HAProxy: each section may be left out.

const redisNode = z.strictObject({
  /** The container, which keeps this name for life whatever role it has. */
  name,
  /** Where the worker reaches the node. */
  address: endpointSchema,
  /** Where the other nodes, the Sentinels and the engines reach it. Default: its name, port 6379. */
  internal: endpointSchema.optional(),
  /** As for PostgreSQL. */
  side,
});

const redisLimits = z.strictObject({
  /** Bytes of the master's stream that the replica may have yet to confirm when a run begins (L2). */
  lagBytes: z
    .number()
    .int()
    .min(0)
    .default(1024 * 1024),
  /** Writes may be held for this long until the replica has everything, else the run is put back (L2). */
  hold: hold.prefault('1s'),
  /** A node may take this long to take up its new role. */
  promote: duration.prefault('5s'),
  /** The Sentinels may take this long to agree (L3). */
  agree: duration.prefault('5s'),
  /** A master may answer nobody for this long, or restart in place, before the guard fails it over (I3, I5). */
  silence: duration.prefault('2500ms'),
});

const redis = z.strictObject({
  /** The name of the master in the Sentinels' configuration. */
  master: name.default('veloz-master'),
  /** The password of the nodes, which the Sentinels use too. */
  passwordFrom: secretRef,
  nodes: z.array(redisNode).min(2, 'a failover needs at least two Redis nodes'),
  sentinels: z
    .array(z.strictObject({ name, address: endpointSchema }))
    .min(3, 'a majority that outlives one Sentinel needs at least three'),
  /** Sentinels that have to agree that the master is down. */
  quorum: z.number().int().min(1).default(2),
  limits: redisLimits.prefault({}),
});

const engines = z.strictObject({
  nodes: z.array(z.strictObject({ name, address: endpointSchema, side })).min(1, 'expected at least one engine'),
});

const haproxy = z.strictObject({
  /** The container. */
  name,
  /** The front door: where clients send their requests. */
  address: endpointSchema,
  /** The page of statistics. */
  stats: endpointSchema,
  /** The runtime API. */
  runtime: endpointSchema,
  /** The backend of the engines. Its servers are named as the engines' containers. */
  backend: name.default('veloz_engines'),
});

const cluster = z.strictObject({
  /** `zero-loss`: clients go on only when a synchronous standby confirms. `fast`: as soon as the new primary writes. */
  protection: z.enum(['zero-loss', 'fast']).default('zero-loss'),
  /** How long the run watches the new state before it says success (K8). */
  soak: duration.prefault('3s'),
  /** How long a run waits for approval. */
  approvalTimeout: duration.prefault('15m'),
  postgres: z.strictObject({
    /** `synchronous_standby_names` of a protected cluster. */
    synchronousStandbyNames: z.string().min(1).default('veloz_standby'),
    /** The application's database. */
    database: z.string().min(1).default('veloz'),
    /** The control role of the runbooks, and the database of its own that its sessions use. */
    control: credentials.extend({ database: z.string().min(1).default('veloz_ha') }),
    /** The role by which the front door is proven: an ordinary client. */
    client: credentials,
    nodes: z.array(postgresNode).min(2, 'a cluster needs at least two PostgreSQL nodes'),
  }),
  pgbouncer: z.strictObject({
    nodes: z.array(pooler).length(1, 'this version moves exactly one PgBouncer'),
    /** The pooled database that clients connect to. Default: the PostgreSQL database. */
    database: z.string().min(1).optional(),
    admin: credentials,
  }),
  redis: redis.optional(),
  engines: engines.optional(),
  haproxy: haproxy.optional(),
  limits: limits.prefault({}),
  /** What the guard does on its own, and when. */
  guard: guardPolicySchema.prefault({}),
});

/** The schema of the topology file. */
export const topologySchema = z
  .strictObject({
    version: z.literal(1),
    /** The cluster that a request without a name means. Default: the only one. */
    default: name.optional(),
    /** How the Docker engine is reached: a socket path. Default: `DOCKER_HOST`, else `/var/run/docker.sock`. */
    docker: z.strictObject({ socketPath: z.string().min(1) }).optional(),
    clusters: z.record(name, cluster),
  })
  .superRefine((topology, context) => {
    const names = Object.keys(topology.clusters);
    if (names.length === 0)
      context.addIssue({ code: 'custom', path: ['clusters'], message: 'expected at least one cluster' });
    if (topology.default !== undefined && !names.includes(topology.default)) {
      context.addIssue({
        code: 'custom',
        path: ['default'],
        message: `expected one of the clusters: ${names.join(', ')}`,
      });
    }
    const owner = new Map<string, string>();
    for (const [clusterName, value] of Object.entries(topology.clusters)) {
      const listed = (members: readonly { name: string }[] | undefined, ...path: string[]) =>
        (members ?? []).map((node, index) => ({ node, path: ['clusters', clusterName, ...path, index, 'name'] }));
      const nodes = [
        ...listed(value.postgres.nodes, 'postgres', 'nodes'),
        ...listed(value.pgbouncer.nodes, 'pgbouncer', 'nodes'),
        ...listed(value.redis?.nodes, 'redis', 'nodes'),
        ...listed(value.redis?.sentinels, 'redis', 'sentinels'),
        ...listed(value.engines?.nodes, 'engines', 'nodes'),
        ...(value.haproxy === undefined
          ? []
          : [{ node: value.haproxy, path: ['clusters', clusterName, 'haproxy', 'name'] }]),
      ];
      for (const { node, path } of nodes) {
        const earlier = owner.get(node.name);
        if (earlier !== undefined)
          context.addIssue({
            code: 'custom',
            path,
            message: `expected a name used once: ${node.name} stands in cluster ${earlier} already`,
          });
        owner.set(node.name, clusterName);
      }
      const slots = new Map<string, string>();
      for (const [index, { name }] of value.postgres.nodes.entries()) {
        const slot = slotName(name);
        const other = slots.get(slot);
        // One of the two would stream from the other one's slot, and each repair would drop it for one of them.
        if (other !== undefined && other !== name)
          context.addIssue({
            code: 'custom',
            path: ['clusters', clusterName, 'postgres', 'nodes', index, 'name'],
            message: `expected a name whose replication slot is its own: ${name} and ${other} both have ${slot}`,
          });
        else if (slot.length > 63)
          context.addIssue({
            code: 'custom',
            path: ['clusters', clusterName, 'postgres', 'nodes', index, 'name'],
            message: `expected at most 63 characters, the longest name of a replication slot; ${name} has ${slot.length}`,
          });
        slots.set(slot, name);
      }
      if (value.redis !== undefined && value.redis.quorum > value.redis.sentinels.length)
        context.addIssue({
          code: 'custom',
          path: ['clusters', clusterName, 'redis', 'quorum'],
          message: `expected at most the number of Sentinels, ${value.redis.sentinels.length}`,
        });
    }
  });

/** The topology file, validated and with every default filled in. Durations are milliseconds. */
export type Topology = z.output<typeof topologySchema>;
/** One deployment of the stack. */
export type ClusterTopology = Topology['clusters'][string];
/** One PostgreSQL node of the topology. */
export type PostgresNode = ClusterTopology['postgres']['nodes'][number];
/** Host and port. */
export type Endpoint = z.output<typeof endpointSchema>;
/** Redis and its Sentinels, of a cluster that has them. */
export type RedisTopology = NonNullable<ClusterTopology['redis']>;
/** One Redis node of the topology. */
export type RedisNode = RedisTopology['nodes'][number];
/** One Sentinel of the topology. */
export type SentinelNode = RedisTopology['sentinels'][number];
/** The limits that checks on Redis measure against. */
export type RedisLimits = RedisTopology['limits'];
/** The engines of a cluster that has them. */
export type EnginesTopology = NonNullable<ClusterTopology['engines']>;
/** One engine of the topology. */
export type EngineNode = EnginesTopology['nodes'][number];
/** The HAProxy of a cluster that has one. */
export type HaproxyTopology = NonNullable<ClusterTopology['haproxy']>;
/** Which of two protections a switchover keeps. */
export type Protection = ClusterTopology['protection'];
/** The limits that checks measure against. */
export type Limits = ClusterTopology['limits'];

/** Where other nodes and the pooler reach a PostgreSQL node. */
export function internalEndpoint(node: PostgresNode): Endpoint {
  return node.internal ?? { host: node.name, port: 5432 };
}

/** Where Sentinels, engines and other nodes reach a Redis node. */
export function internalRedisEndpoint(node: RedisNode): Endpoint {
  return node.internal ?? { host: node.name, port: 6379 };
}

/** The physical replication slot of a node, named after it: slot names allow only `a-z0-9_`. */
export function slotName(node: string): string {
  return node.toLowerCase().replace(/[^a-z0-9_]/g, '_');
}

/** Is a slot named after a node of the cluster? All others are somebody else's: a backup's, a subscriber's. */
export function isNodesSlot(topology: ClusterTopology, slot: string): boolean {
  return topology.postgres.nodes.some(({ name }) => slotName(name) === slot);
}

/** One mistake in a topology file. */
export interface TopologyMistake {
  /** Path of the key: `clusters.veloz.postgres.nodes[1].address.port`. */
  path: string;
  message: string;
}

/** Checks a parsed document. Returns the topology, or every mistake with the path of its key. */
export function parseTopology(document: unknown): { topology: Topology } | { mistakes: TopologyMistake[] } {
  const result = topologySchema.safeParse(document);
  if (result.success) return { topology: result.data };
  return {
    mistakes: result.error.issues.map((issue) => ({
      path:
        issue.path
          .map((key, index) => (typeof key === 'number' ? `[${key}]` : `${index > 0 ? '.' : ''}${String(key)}`))
          .join('') || '(top)',
      message: issue.message,
    })),
  };
}

/** The cluster that a request means, or a sentence that says why there is none. */
export function selectCluster(
  topology: Topology,
  requested?: string,
): { name: string; cluster: ClusterTopology } | { error: string } {
  const names = Object.keys(topology.clusters);
  const chosen = requested ?? topology.default ?? (names.length === 1 ? names[0] : undefined);
  if (chosen === undefined)
    return { error: `the topology has ${names.length} clusters and no default: name one of ${names.join(', ')}` };
  // A name such as "constructor" is no cluster, although every object answers to it.
  const cluster = Object.hasOwn(topology.clusters, chosen) ? topology.clusters[chosen] : undefined;
  if (cluster === undefined) return { error: `unknown cluster "${chosen}": the topology has ${names.join(', ')}` };
  return { name: chosen, cluster };
}
