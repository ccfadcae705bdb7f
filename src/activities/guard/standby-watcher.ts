import type { GuardPolicy } from '../../cluster/guard/policy';
import type { ContainerWord, Round } from '../../cluster/guard/signals';
import type { Lsn } from '../../cluster/lsn';
import {
  carriedWatch,
  commitsGoOn,
  goesOnWith,
  isStandbyBack,
  lostStandbys,
  markOf,
  nothingWatched,
  standbysDueIn,
  watchStandbys,
  type CarriedWatch,
  type LostStandbys,
  type StandbyWatch,
} from '../../cluster/guard/standby-loss';
import type { ActivityDeps, ClusterAccess } from '../deps';
import { withinLimit } from './probe';

/** How soon the next look follows when a standby's end was noticed, in milliseconds. */
const SOON_MS = 40;

/** So much between two stretches, in milliseconds, and a standby may have been there in between. */
const GAP_MS = 2000;

interface Remembered {
  primary: string | null;
  /** By a clock that nobody sets. */
  at: number;
  carried: CarriedWatch;
}

/** What a stretch counted last, by the worker that it ran on and by cluster: news end a stretch, and make no standby well. */
const remembered = new WeakMap<object, Map<string, Remembered>>();

/**
 * Watches whether the standbys confirm, from round to round; where none does it asks Docker whether they still run. What the stretch
 * before counted, or the attempt before this one, is gone on with.
 */
export class StandbyWatcher {
  private watch: StandbyWatch;
  private told = false;
  /** What the primary had on its disk when this watcher first looked whether commits go on. */
  private mark: Lsn | undefined;

  constructor(
    private readonly deps: Pick<ActivityDeps, 'docker'>,
    private readonly access: ClusterAccess,
    private readonly policy: GuardPolicy,
    /** The node that the ledger names. */
    private readonly primary: string | null,
    /** What the heartbeat of an attempt before this one carried. */
    beat?: CarriedWatch,
    /** What the stretch before this one counted, on whatever worker. */
    counted?: CarriedWatch,
  ) {
    const before = remembered.get(deps)?.get(access.name);
    const now = performance.now();
    const known = before !== undefined && before.primary === primary && now - before.at <= GAP_MS;
    const carried = beat ?? (known ? before.carried : counted);
    this.watch = carried === undefined ? nothingWatched : goesOnWith(carried, now);
  }

  /** For a heartbeat: what has been counted; undefined while all is well. */
  get beat(): CarriedWatch | undefined {
    const { lostSince, positions } = this.watch;
    const counts = lostSince !== undefined || Object.values(positions).some((each) => each.behindSince !== undefined);
    return counts ? carriedWatch(this.watch, performance.now()) : undefined;
  }

  /**
   * Looks at a round in which the primary is well. Returns what is lost by now, or undefined. Never throws.
   * @param told a loss is known, and nobody has to be asked about it
   */
  async look(round: Round, told: boolean): Promise<LostStandbys | undefined> {
    const primary = this.primary ?? round.primary;
    this.told = told;
    this.watch = watchStandbys(this.watch, round, primary, performance.now());
    this.remember();
    if (told || this.watch.lostSince === undefined) return undefined;
    const words = await this.wordsOnAllBut(primary);
    this.watch = watchStandbys(this.watch, { ...round, lateMs: 0 }, primary, performance.now(), words);
    this.remember();
    return lostStandbys(this.watch, round, primary, performance.now(), this.policy);
  }

  /** Could what was relaxed be restored now? */
  isBack(round: Round): boolean {
    return isStandbyBack(this.watch, round, this.primary ?? round.primary);
  }

  /** Commits are known to wait: do they go on by now? From the second round on, since it needs something that was written before. */
  goesOn(round: Round): boolean {
    const primary = this.primary ?? round.primary;
    const goesOn = commitsGoOn(round, primary, this.mark);
    this.mark ??= markOf(round, primary);
    return goesOn;
  }

  /** The next look is due within this time, in milliseconds; undefined while the usual pace will do. */
  get dueIn(): number | undefined {
    const due = this.told ? undefined : standbysDueIn(this.watch, performance.now(), this.policy);
    // What is due already, and waits for a run that holds the lock, is in no hurry.
    return due === undefined || due === 0 ? undefined : Math.max(SOON_MS, due);
  }

  private remember(): void {
    const clusters = remembered.get(this.deps) ?? new Map<string, Remembered>();
    remembered.set(this.deps, clusters);
    const at = performance.now();
    clusters.set(this.access.name, { primary: this.primary, at, carried: carriedWatch(this.watch, at) });
  }

  private async wordsOnAllBut(primary: string): Promise<Map<string, ContainerWord>> {
    const others = this.access.topology.postgres.nodes.filter(({ name }) => name !== primary);
    const limitMs = 2 * this.policy.probeLimit;
    const words = others.map(async ({ name }): Promise<[string, ContainerWord]> => {
      const inspected = withinLimit(this.deps.docker.inspect(name), limitMs);
      return [name, await inspected.then(({ status }) => status as ContainerWord).catch(() => 'unknown')];
    });
    return new Map(await Promise.all(words));
  }
}
