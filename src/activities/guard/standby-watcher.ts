import type { GuardPolicy } from '../../cluster/guard/policy';
import type { ContainerWord, Round } from '../../cluster/guard/signals';
import {
  isStandbyBack,
  lostStandbys,
  nothingWatched,
  standbysDueIn,
  watchStandbys,
  type LostStandbys,
  type StandbyWatch,
} from '../../cluster/guard/standby-loss';
import type { ActivityDeps, ClusterAccess } from '../deps';
import { withinLimit } from './probe';

/** How soon the next look follows when a standby's end was noticed, in milliseconds. */
const SOON_MS = 40;

/** Watches whether the standbys confirm, from round to round; where none does it asks Docker whether they still run. */
export class StandbyWatcher {
  private watch: StandbyWatch = nothingWatched;
  private told = false;

  constructor(
    private readonly deps: Pick<ActivityDeps, 'docker'>,
    private readonly access: ClusterAccess,
    private readonly policy: GuardPolicy,
    /** The node that the ledger names. */
    private readonly primary: string | null,
  ) {}

  /**
   * Looks at a round in which the primary is well. Returns what is lost by now, or undefined. Never throws.
   * @param told a loss is known, and nobody has to be asked about it
   */
  async look(round: Round, told: boolean): Promise<LostStandbys | undefined> {
    const primary = this.primary ?? round.primary;
    this.told = told;
    this.watch = watchStandbys(this.watch, round, primary, performance.now());
    if (told || this.watch.lostSince === undefined) return undefined;
    const words = await this.wordsOnAllBut(primary);
    this.watch = watchStandbys(this.watch, { ...round, lateMs: 0 }, primary, performance.now(), words);
    return lostStandbys(this.watch, round, primary, performance.now(), this.policy);
  }

  /** Could what was relaxed be restored now? */
  isBack(round: Round): boolean {
    return isStandbyBack(this.watch, round, this.primary ?? round.primary);
  }

  /** The next look is due within this time, in milliseconds; undefined while the usual pace will do. */
  get dueIn(): number | undefined {
    const due = this.told ? undefined : standbysDueIn(this.watch, performance.now(), this.policy);
    // What is due already, and waits for a run that holds the lock, is in no hurry.
    return due === undefined || due === 0 ? undefined : Math.max(SOON_MS, due);
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
