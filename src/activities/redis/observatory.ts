import type { GuardPolicy } from '../../cluster/guard/policy';
import type { ObservedRedis } from '../../cluster/redis/observed';
import type { RedisRound } from '../../cluster/redis/watch';
import type { RedisTopology } from '../../cluster/topology';
import type { ActivityDeps } from '../deps';
import { SteadyClock } from '../clock';
import { observeRedis } from './observe';
import { RedisProbe } from './probe';

/** While all is well everything is looked at this often, in milliseconds: Sentinels that name another master, and leftovers. */
const LOOK_EVERY_MS = 3000;
/** The same while the end of something is waited for. */
const EAGER_EVERY_MS = 1000;
/** Where something is odd and the master is not silent. */
const ODD_EVERY_MS = 500;

/** All the ways in which the guard looks at one master: a held-open connection, Docker's events, and a look at everything. */
export class RedisObservatory {
  /** Every time that a round tells: what is counted between two of them is a duration, whatever happens to the wall clock. */
  readonly clock = new SteadyClock();
  private readonly probe: RedisProbe | undefined;
  private endEvents: (() => void) | undefined;
  /** Wakes whoever pauses between two rounds. */
  private wake: (() => void) | undefined;
  /** The connection ended, or Docker spoke of the container, since the last round. */
  private alarmed = false;
  private odd = false;
  private lookAt: number;
  private nextAt = this.clock.now();
  private closed = false;

  constructor(
    private readonly deps: Pick<ActivityDeps, 'docker' | 'environment'>,
    private readonly cluster: string,
    private readonly redis: RedisTopology,
    readonly master: string | null,
    private readonly policy: GuardPolicy,
    /** The end of something is waited for. */
    private readonly eager = false,
  ) {
    const node = redis.nodes.find(({ name }) => name === master);
    this.probe =
      node === undefined
        ? undefined
        : new RedisProbe(redis, node, deps.environment, policy.probeLimit, () => this.alarm());
    this.lookAt = this.clock.now() + (eager ? EAGER_EVERY_MS : LOOK_EVERY_MS);
  }

  async open(): Promise<void> {
    if (this.master !== null) await this.listen();
    this.nextAt = this.clock.now();
  }

  close(): void {
    this.closed = true;
    this.endEvents?.();
    this.probe?.close();
  }

  /** Everything, each node and Sentinel within the limit of a probe. */
  look(): Promise<ObservedRedis> {
    const { docker, environment } = this.deps;
    return observeRedis({ docker, environment, limitMs: this.policy.probeLimit }, this.cluster, this.redis);
  }

  /** One question to the master, and a look at everything where that is due or the master is silent. */
  async round(): Promise<RedisRound> {
    const at = this.clock.now();
    const lateMs = Math.max(0, at - this.nextAt);
    const alarmed = this.alarmed;
    this.alarmed = false;
    const due = at >= this.lookAt || alarmed || this.odd;
    // After an alarm both at once: each millisecond counts.
    const early = due ? this.look() : undefined;
    const answer = (await this.probe?.ask()) ?? { answered: false, ms: 0, problem: 'nobody is known to be the master' };
    const picture = await (early ?? (answer.answered ? undefined : this.look()));
    this.odd = !answer.answered;
    const every = answer.role !== 'master' ? ODD_EVERY_MS : this.eager ? EAGER_EVERY_MS : LOOK_EVERY_MS;
    if (picture !== undefined || at + every < this.lookAt) this.lookAt = at + every;
    return { at, lateMs, master: this.master, answer, ...(picture === undefined ? {} : { picture }) };
  }

  /** Waits for the next round, or for a sign that something happened. */
  async pause(signal: AbortSignal): Promise<void> {
    this.nextAt += this.policy.probeInterval;
    const wait = this.nextAt - this.clock.now();
    // Rounds that were missed are not made up for.
    if (wait < -this.policy.probeInterval) this.nextAt = this.clock.now();
    if (wait <= 0 || this.alarmed || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', end);
        this.wake = undefined;
        resolve();
      };
      const timer = setTimeout(end, wait);
      signal.addEventListener('abort', end, { once: true });
      this.wake = end;
    });
  }

  /** To the master's container, and to those of the other nodes: what is killed is started again in a moment. */
  private async listen(): Promise<void> {
    const again = () => {
      if (!this.closed) setTimeout(() => void this.listen(), 1000).unref();
    };
    try {
      const end = await this.deps.docker.events(
        this.redis.nodes.map(({ name }) => name),
        ({ action }) => {
          if (['die', 'pause', 'unpause', 'start'].includes(action)) this.alarm();
        },
        again,
      );
      if (this.closed) end();
      else this.endEvents = end;
    } catch {
      again();
    }
  }

  private alarm(): void {
    this.alarmed = true;
    this.wake?.();
  }
}
