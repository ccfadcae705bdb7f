import { activeEngines, engineAnswers, type ObservedEngines } from '../engine/observed';
import { answers, primaries, replicationRowOf, type ObservedCluster } from '../observed';
import { mastersOf, type ObservedRedis } from '../redis/observed';
import { slotName } from '../topology';
import type { Tier } from './sides';

/** One node of a tier, as far as moving away and back is concerned. */
export interface NodeRole {
  name: string;
  /** `ready`: could take over now. `behind`: answers, and its runbook will say whether it may. `away`: not to be had. */
  standing: 'active' | 'ready' | 'behind' | 'away';
  /** What was seen, in a few words. */
  says: string;
}

/** Who does what in a tier. */
export interface TierRoles {
  tier: Tier;
  /** In the topology's order. */
  nodes: NodeRole[];
}

/** What was observed of the tiers that a cluster has. */
export interface ObservedTiers {
  postgres: ObservedCluster;
  redis?: ObservedRedis;
  engines?: ObservedEngines;
}

/** Who does what in each tier that was observed, in the order in which tiers are moved away. */
export function rolesOf({ engines, redis, postgres }: ObservedTiers): TierRoles[] {
  return [
    ...(engines === undefined ? [] : [engineRoles(engines)]),
    ...(redis === undefined ? [] : [redisRoles(redis)]),
    postgresRoles(postgres),
  ];
}

function engineRoles(observed: ObservedEngines): TierRoles {
  const active = activeEngines(observed).map(({ name }) => name);
  return {
    tier: 'engine',
    nodes: observed.engines.map((engine): NodeRole => {
      const { name, health } = engine;
      if (!engineAnswers(engine) || health === null)
        return { name, standing: 'away', says: engine.error ?? `its container is ${engine.container.status}` };
      if (active.includes(name)) return { name, standing: 'active', says: `active in epoch ${health.epoch}` };
      if (health.drained) return { name, standing: 'behind', says: 'drained' };
      return health.able
        ? { name, standing: 'ready', says: 'hot standby' }
        : { name, standing: 'behind', says: health.why ?? health.status };
    }),
  };
}

function redisRoles(observed: ObservedRedis): TierRoles {
  const masters = mastersOf(observed).map(({ name }) => name);
  return {
    tier: 'redis',
    nodes: observed.nodes.map(({ name, state, error, container }): NodeRole => {
      if (state === null) return { name, standing: 'away', says: error ?? `its container is ${container.status}` };
      if (masters.includes(name)) return { name, standing: 'active', says: 'master' };
      const follows = state.upstream?.up === true && !state.loading;
      return follows
        ? { name, standing: 'ready', says: 'replica' }
        : { name, standing: 'behind', says: 'not connected to its master' };
    }),
  };
}

function postgresRoles(observed: ObservedCluster): TierRoles {
  const writable = primaries(observed);
  return {
    tier: 'postgres',
    nodes: observed.nodes.map((node): NodeRole => {
      const { name } = node;
      if (!answers(node))
        return {
          name,
          standing: 'away',
          says: node.sqlError ?? node.agentError ?? `its container is ${node.container.status}`,
        };
      if (writable.includes(node)) return { name, standing: 'active', says: 'primary' };
      if (!node.promotable) return { name, standing: 'away', says: 'never promoted (promotable: false)' };
      const primary = writable.length === 1 ? writable[0] : undefined;
      const sync = primary === undefined ? undefined : replicationRowOf(primary, slotName(name))?.syncState;
      return sync === 'sync' || sync === 'quorum'
        ? { name, standing: 'ready', says: `standby, ${sync}` }
        : { name, standing: 'behind', says: `standby, ${sync ?? 'does not stream from the primary'}` };
    }),
  };
}
