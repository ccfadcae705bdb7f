import { silentBeside } from '../../cluster/redis/away';
import { hungWithoutHeir, killedIn, killedWithoutMaster, type Startable } from '../../cluster/redis/masterless';
import { killedBeside, type RedisRound, type RedisVerdict } from '../../cluster/redis/watch';
import type { GuardPolicy } from '../../cluster/guard/policy';
import type { RedisTopology } from '../../cluster/topology';
import { steadyMs } from '../clock';
import type { ActivityDeps } from '../deps';
import { HungNodes } from './hung-nodes';
import { KilledNodes } from './killed-nodes';
import { lastConnectedTo, type LastConnected } from './last-connected';

/** Whose Redis it is, and what is known of it when a stretch of the watch begins. */
export interface RestartsOf {
  cluster: string;
  redis: RedisTopology;
  policy: Pick<GuardPolicy, 'backoff'>;
  /** The master as far as the guard knows; null while it knows none. */
  master: string | null;
  /** A master that was replaced, and that has not been seen well since: it comes back by a run. */
  movedFrom: string | null;
  /** It may start nodes, and end those that hang. */
  mayStart: boolean;
}

/** What the watch of Redis starts by itself, without a run: nodes that were killed, and those whose process hangs, as far as a look allows. */
export class Restarts {
  private readonly killed: KilledNodes;
  private readonly hung: HungNodes;
  private readonly last: LastConnected | undefined;
  /** What may be started by the last look at everything. */
  private may: Startable = { nodes: [] };

  constructor(
    deps: ActivityDeps,
    private readonly of: RestartsOf,
  ) {
    this.killed = new KilledNodes(deps, of.cluster, of.policy);
    this.hung = new HungNodes(deps, of.cluster, of.policy);
    this.last = of.master === null ? undefined : lastConnectedTo(deps, of.cluster, of.master);
  }

  /** What was started since this was last asked, each in a sentence. */
  takeStarted(): string[] {
    return [...this.killed.takeStarted(), ...this.hung.takeStarted()];
  }

  /** Why one does not start, or goes on to hang, in a sentence without full stop; undefined where nothing is known of that. */
  get trouble(): string | undefined {
    return this.killed.trouble ?? this.hung.trouble;
  }

  /** There is one of which it is not known yet whether it starts. */
  get pending(): boolean {
    return this.killed.pending;
  }

  /** One is being started, or ended and started: a stretch that ends now would leave it in its middle. */
  get busy(): boolean {
    return this.killed.busy || this.hung.busy;
  }

  /** The master itself is being ended and started: it needs no failover for that. */
  get revivesMaster(): boolean {
    return this.of.master !== null && this.hung.revives(this.of.master);
  }

  /**
   * One round of the watch, and what it means. Begins what is due, and waits for nothing. Never throws.
   * @param now milliseconds on the clock of the rounds
   */
  see(round: RedisRound, verdict: RedisVerdict, now: number): void {
    this.last?.see(round, steadyMs());
    if (!this.of.mayStart) return;
    if (verdict.state === 'healthy') this.besideMaster(round, now);
    // Nothing is certain, or another node is about to be the master.
    else if (verdict.state === 'suspect' || verdict.state === 'failed') this.withoutMaster(round, verdict, now);
  }

  private besideMaster({ picture }: RedisRound, now: number): void {
    if (picture !== undefined) {
      this.may = { nodes: killedBeside(picture, this.of.movedFrom) };
      this.killed.see(this.may.nodes, now);
      this.hung.see(silentBeside(picture), steadyMs());
    }
    this.killed.startDue(now, this.may);
    this.hung.restartDue(steadyMs());
  }

  private withoutMaster({ picture }: RedisRound, verdict: RedisVerdict, now: number): void {
    const { master, redis } = this.of;
    const hangs = master !== null && verdict.state === 'failed' && verdict.kind === 'silent';
    if (picture !== undefined) {
      this.may = killedWithoutMaster(picture, master, (replica) => this.last?.hadAll(replica) === true);
      this.killed.see(killedIn(picture), now);
      if (hangs) this.hung.see(hungWithoutHeir(redis, picture, master), steadyMs(), true);
      else if (picture.nodes.some(({ name, state }) => name === master && state !== null))
        this.hung.see([], steadyMs());
    }
    this.killed.startDue(now, this.may);
    if (hangs) this.hung.restartDue(steadyMs());
  }
}
