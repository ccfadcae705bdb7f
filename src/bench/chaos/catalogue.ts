import type { Places } from './places';
import { endings } from './runbooks';
import type { Possible } from './schedule';

/** What a campaign may use besides PostgreSQL's containers. */
export interface Means {
  redis: boolean;
  engines: boolean;
  /** The PostgreSQL nodes are on small disks of the campaign's own. */
  disks: boolean;
  /** Containers and workers have wall clocks of the campaign's own. */
  clocks: boolean;
}

const PROCESSES = ['worker-watching', 'worker-other', 'temporal'] as const;

/** Between how long and how long each kind of fault lasts, in milliseconds. */
const FREEZE = [500, 30_000] as const;
const CUT = [1000, 60_000] as const;
const DOWN = [500, 20_000] as const;

/** Everything that can happen to the containers of these places, to the workers and to Temporal. Pure. */
export function catalogueOf(places: Places, { redis, engines, disks, clocks }: Means): Possible[] {
  const there = (...names: string[]) => names.filter((name) => places[name] !== undefined);
  const postgres = there('primary', 'standby', 'standby-2');
  const others = [
    ...there('pooler'),
    ...(redis ? there('redis-master', 'redis-replica', 'sentinel-1', 'sentinel-2', 'sentinel-3') : []),
    ...(engines ? there('engine-active', 'engine-standby', 'haproxy') : []),
  ];
  const containers = [...postgres, ...others];
  return [
    // Half of everything hits the databases.
    { what: 'kill', where: postgres, forMs: DOWN, weight: 3 },
    { what: 'kill', where: [...others, ...PROCESSES], forMs: DOWN, weight: 2 },
    { what: 'freeze', where: postgres, forMs: FREEZE, weight: 3 },
    { what: 'freeze', where: [...others, ...PROCESSES], forMs: FREEZE, weight: 2 },
    { what: 'cut', where: postgres, forMs: CUT, weight: 2 },
    { what: 'cut', where: others, forMs: CUT },
    { what: 'silence', where: containers, forMs: CUT, weight: 2 },
    { what: 'link', where: ['primary-standby', 'pooler-primary'], forMs: CUT },
    { what: 'stop', where: containers, forMs: DOWN },
    { what: 'restart', where: containers },
    { what: 'crash', where: containers, weight: 2 },
    { what: 'stop-process', where: containers, forMs: FREEZE, weight: 2 },
    ...(disks
      ? ([
          { what: 'disk-full', where: postgres, forMs: DOWN, weight: 2 },
          { what: 'disk-hang', where: postgres, forMs: FREEZE, weight: 2 },
        ] as const)
      : []),
    ...(clocks
      ? (['clock-ahead', 'clock-back'] as const).map((what) => ({
          what,
          where: [...containers, 'worker-watching', 'worker-other'],
          forMs: FREEZE,
          weight: 2,
        }))
      : []),
    { what: 'switchover', where: endings, forMs: [100, 5000], weight: 3 },
    { what: 'rejoin-copy', where: endings, forMs: [500, 5000] },
    ...(postgres.length > 2 ? [{ what: 'remove-standby', where: ['runs'], forMs: [3000, 10_000] as const }] : []),
    ...(redis ? [{ what: 'redis-failover', where: endings, forMs: [100, 3000] as const, weight: 2 }] : []),
    ...(engines ? [{ what: 'engine-switchover', where: endings, forMs: [100, 3000] as const, weight: 2 }] : []),
    ...(redis && engines ? [{ what: 'maintenance', where: ['runs'], forMs: [5000, 20_000] as const }] : []),
  ];
}
