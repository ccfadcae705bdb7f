import type { LeftOver, MembersRound } from '../../cluster/guard/mending';
import type { ActivityDeps, ClusterAccess } from '../deps';
import { countAttempt, isDue, noAttempts, startAgain, type Attempts } from '../start-again';

/** What is known of one that was found killed. */
interface Killed extends Attempts {
  says: string;
  started: boolean;
  problem?: string;
}

/**
 * Starts a killed standby while its primary gives no answer and can't be accounted for: a failover needs its word, and it can't become
 * a second primary, since what lies in its volume is a standby's. While there is a primary, or all are accounted for, a run brings it
 * back. An entry stays until the node answers, so that one that ends again and again is started after a back-off.
 */
export class KilledStandbys {
  private readonly killed = new Map<string, Killed>();

  constructor(
    private readonly deps: Pick<ActivityDeps, 'docker' | 'lockHolder'>,
    private readonly access: ClusterAccess,
    private readonly mayAct: boolean,
  ) {}

  /** Starts those whose time has come, unless a run holds the lock. Returns them with what kept them from starting. Never throws. */
  async start(found: readonly LeftOver[]): Promise<LeftOver[]> {
    for (const [node, { started }] of this.killed)
      if (!started && !found.some((each) => each.node === node)) this.killed.delete(node);
    return Promise.all(
      found.map(async (each) => {
        const killed = this.noted(each);
        await this.startWhenDue(each, killed);
        return killed.problem === undefined ? each : { ...each, says: `${each.says}; ${killed.problem}` };
      }),
    );
  }

  /** The nodes that were started and answer by now, each once, with a sentence. */
  takeAnswering({ members }: Pick<MembersRound, 'members'>): { node: string; says: string }[] {
    return members.flatMap(({ name, sql }) => {
      const killed = this.killed.get(name);
      if (killed?.started !== true || sql === undefined) return [];
      this.killed.delete(name);
      return [{ node: name, says: `${name} was started again: ${killed.says}` }];
    });
  }

  private noted({ node, says }: LeftOver): Killed {
    const before = this.killed.get(node);
    if (before !== undefined) return Object.assign(before, { says, started: false });
    const noted = { ...noAttempts(performance.now()), says, started: false };
    this.killed.set(node, noted);
    return noted;
  }

  private async startWhenDue({ node, settleMs }: LeftOver, killed: Killed): Promise<void> {
    const now = performance.now();
    if (!this.mayAct || !isDue(killed, now, settleMs)) return;
    try {
      // A run that holds the lock may have ended it as a fence.
      if ((await this.deps.lockHolder(this.access.name)) !== undefined) return;
      countAttempt(killed, now, this.access.topology.guard);
      await startAgain(this.deps.docker, node);
      killed.started = true;
      delete killed.problem;
    } catch (error) {
      killed.problem = `it could not be started: ${(error as Error).message}`;
    }
  }
}
