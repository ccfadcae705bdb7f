import {
  clientsOnlyWay,
  containersOfTheWay,
  deployedTogether,
  endedContainer,
  ENDS_EACH_TIME,
  LOOP_OVER_MS,
  restartedWhereTheyHang,
} from '../../cluster/guard/ended-containers';
import type { LeftOver } from '../../cluster/guard/mending';
import type { ActivityDeps, ClusterAccess } from '../deps';
import { countAttempt, isDue, noAttempts, startAgain, type Attempts } from '../start-again';
import { howItEnded, type EndedState } from '../how-it-ended';
import { HungContainers, type AskForLife } from './hung-containers';
import { withinLimit } from './probe';

/** How often each container is looked at when Docker tells of no end, in milliseconds. */
const LOOK_EVERY_MS = 15_000;
/** How long Docker may take to answer, in milliseconds. */
const LIMIT_MS = 1000;

interface Left extends Attempts {
  found: LeftOver;
  /** It runs, and Docker's check of its health fails. */
  hangs: boolean;
}

/**
 * Looks after the containers through which clients come and the Sentinels, and starts one again that was killed. Docker does so for one
 * that crashed, and neither for one that was killed from outside nor for one whose process hangs ({@link HungContainers}).
 */
export class EndedContainers {
  private readonly names: string[];
  private readonly restarted: ReadonlySet<string>;
  private readonly hung: HungContainers;
  /** Those that hang and are being asked, or ended and started. */
  private readonly inHand = new Map<string, Promise<void>>();
  private readonly onlyWay: ReadonlySet<string>;
  /** Sentinels that Docker starts again and again are told by the watch of Redis. */
  private readonly sentinels: ReadonlySet<string>;
  /** Those that Docker was seen starting anew, and since when each has run; undefined while it does not. */
  private readonly looping = new Map<string, number | undefined>();
  private readonly left = new Map<string, Left>();
  /** Those that have no container. */
  private readonly absent = new Set<string>();
  /** What was started since it was last told, each in a sentence. */
  private startedSays: string[] = [];
  private lookedAt = -Infinity;
  private news = true;
  private endEvents: (() => void) | undefined;
  private listening = false;
  private closed = false;

  constructor(
    private readonly deps: Pick<ActivityDeps, 'docker' | 'lockHolder'>,
    private readonly access: ClusterAccess,
    private readonly mayAct: boolean,
    /** What an earlier stretch has told: between two starts a container runs for a moment. */
    known: readonly { node: string; says: string }[] = [],
    ask?: AskForLife,
  ) {
    const { topology } = access;
    this.hung = new HungContainers(deps, access, mayAct, ask);
    this.names = containersOfTheWay(topology);
    this.restarted = new Set(restartedWhereTheyHang(topology));
    this.onlyWay = new Set(clientsOnlyWay(topology));
    this.sentinels = new Set(topology.redis?.sentinels.map(({ name }) => name));
    for (const { node, says } of known) if (says.startsWith(ENDS_EACH_TIME)) this.looping.set(node, undefined);
  }

  close(): void {
    this.closed = true;
    this.endEvents?.();
  }

  /** What it has started and nobody was told of yet. */
  takeStarted(): string[] {
    return this.startedSays.splice(0);
  }

  /** What has ended or is frozen by now and is not as it should be; what may be started again is. Never throws. */
  async look(): Promise<LeftOver[]> {
    void this.listen();
    const now = performance.now();
    const names = this.news || now - this.lookedAt >= LOOK_EVERY_MS ? this.names : [...this.left.keys()];
    if (names === this.names) {
      this.news = false;
      this.lookedAt = now;
    }
    await Promise.all(names.map((name) => this.lookAt(name)));
    await Promise.all([...this.left.keys()].map((name) => this.startWhatIsDue(name)));
    const never = this.neverDeployed();
    return [...this.left.values()].map(({ found }) => found).filter(({ node }) => !never.has(node));
  }

  /** A stack may be started without them (`veloz-ha stack up --only postgres`). */
  private neverDeployed(): ReadonlySet<string> {
    const groups = deployedTogether(this.access.topology);
    return new Set(groups.filter((group) => group.every((name) => this.absent.has(name))).flat());
  }

  private async lookAt(name: string): Promise<void> {
    try {
      const state = await this.stateOf(name);
      if (state.status === 'absent') this.absent.add(name);
      else this.absent.delete(name);
      const hung = this.restarted.has(name) ? this.hung.see(name, state) : undefined;
      const way = { loops: this.loops(name, state.status), onlyWay: this.onlyWay.has(name) };
      const found = endedContainer(name, state, way) ?? hung;
      if (found === undefined) this.left.delete(name);
      else if (found === hung) this.left.set(name, { ...noAttempts(performance.now()), found, hangs: true });
      else if (this.left.get(name)?.found.key !== found.key)
        this.left.set(name, { ...noAttempts(performance.now()), found, hangs: false });
    } catch {
      // Nobody knows: what was so before is what is told, and it is asked again.
      this.news = true;
    }
  }

  /** Docker starts it again and again, also at a moment in which it runs. */
  private loops(name: string, status: string): boolean {
    const now = performance.now();
    if (status === 'restarting' && !this.sentinels.has(name)) this.looping.set(name, undefined);
    else if (status !== 'running') this.looping.delete(name);
    else if (this.looping.has(name)) {
      const since = this.looping.get(name) ?? now;
      if (now - since >= LOOP_OVER_MS) this.looping.delete(name);
      else this.looping.set(name, since);
    }
    return this.looping.has(name);
  }

  /** Docker keeps a container to itself in which something hangs; its list still says whether it is frozen. */
  private async stateOf(name: string): Promise<Pick<EndedState, 'status' | 'exitCode' | 'toldToStop' | 'health'>> {
    const { docker } = this.deps;
    return howItEnded(docker, name, LIMIT_MS).catch(async (error: unknown) => {
      if (await withinLimit(docker.isFrozen(name), LIMIT_MS).catch(() => false)) return { status: 'paused' };
      throw error;
    });
  }

  private async startWhatIsDue(name: string): Promise<void> {
    const left = this.left.get(name);
    if (left?.hangs === true) return this.mendHung(name);
    const now = performance.now();
    // What a person froze stays so.
    if (left?.found.leaves !== undefined) return;
    if (!this.mayAct || left === undefined || !isDue(left, now, left.found.settleMs)) return;
    countAttempt(left, now, this.access.topology.guard);
    try {
      await startAgain(this.deps.docker, name);
      await this.lookAt(name);
      if (!this.left.has(name)) this.startedSays.push(`${name} was started again: ${left.found.says}`);
    } catch (error) {
      // Told as long as it is so; tried again after the back-off.
      const says = left.found.says.replace(/; it could not be started.*$/, '');
      left.found = { ...left.found, says: `${says}; it could not be started: ${(error as Error).message}` };
    }
  }

  /** Whatever else has ended does not wait for that: to ask, end and start one may take 20 s. */
  private mendHung(name: string): void {
    if (this.inHand.has(name)) return;
    const mended = async (): Promise<void> => {
      try {
        const says = await this.hung.mend(name);
        if (says !== undefined) this.startedSays.push(says);
        // What was asked of it may be told in other words by now, and what was ended is looked at again.
        await this.lookAt(name);
      } finally {
        this.inHand.delete(name);
      }
    };
    this.inHand.set(name, mended());
  }

  /** One that hangs is being asked, or ended and started. */
  get isBusy(): boolean {
    return this.inHand.size > 0;
  }

  /** Waits until none is. */
  async idle(): Promise<void> {
    await Promise.all(this.inHand.values());
  }

  /** Docker tells when one ends or is frozen, so that all of them need not be asked all the time. */
  private async listen(): Promise<void> {
    if (this.listening || this.closed) return;
    this.listening = true;
    try {
      const end = await this.deps.docker.events(
        this.names,
        ({ action }) => {
          if (['die', 'pause', 'unpause'].includes(action) || action.startsWith('health_status')) this.news = true;
        },
        () => {
          this.listening = false;
          this.news = true;
        },
      );
      this.endEvents = end;
      if (this.closed) end();
    } catch {
      this.listening = false;
    }
  }
}
