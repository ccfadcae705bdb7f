import { AgentError, type PoolerAgent } from '../../systems/agent';
import type { ActivityDeps, ClusterAccess } from '../deps';
import { watchToken } from '../token';
import type { HeldAgent } from './held-agents';
import { withinLimit } from './probe';

/** How long a hold that is being taken is waited for when clients are to be let go of, in milliseconds. */
const TAKING_LIMIT_MS = 1000;

/**
 * Clients are held at the first certain sign that the primary is gone, before anybody knows what follows: they wait instead of
 * failing, and a hold can be taken back. It lets go by itself when its dead-man switch expires.
 */
export class ClientHold {
  /** Milliseconds since the epoch at which clients were held; undefined while they are not. */
  since: number | undefined;
  private beginning: Promise<void> | undefined;
  private expired = false;
  /** Clients were to be let go of while the hold was still being taken, and no sign has come since. */
  private unwanted = false;

  constructor(
    private readonly deps: ActivityDeps,
    private readonly access: ClusterAccess,
    private readonly pooler: HeldAgent<PoolerAgent>,
    private readonly request: { cluster: string; mayHold: boolean; incidentRun: string },
  ) {}

  /** Asks for the hold, unless that is not wanted or a run holds the lock of PostgreSQL. Never throws, and waits for nothing. */
  begin(): Promise<void> {
    this.unwanted = false;
    if (!this.request.mayHold || this.expired || this.since !== undefined) return Promise.resolve();
    this.beginning ??= this.take()
      .catch((error: unknown) => {
        if (error instanceof AgentError && error.type === 'Expired') this.expired = true;
      })
      .finally(() => (this.beginning = undefined));
    return this.beginning;
  }

  /** Goes on with the hold of an attempt whose worker ended, so that it can be let go of before its switch does it. Never throws. */
  async goOn(): Promise<void> {
    const token = watchToken(this.request.incidentRun, 'hold');
    await this.pooler
      .use(1000, async (agent) => {
        const { hold } = await agent.call('observe', {});
        if (hold?.token.run !== token.run) return;
        await agent.call('claim', { token });
        this.since = hold.sinceMs;
      })
      .catch(() => undefined);
  }

  private async take(): Promise<void> {
    // A run that holds the lock does what is to be done; its pooler is not taken from it.
    if ((await this.deps.lockHolder(this.request.cluster)) !== undefined) return;
    if (this.unwanted) return;
    const token = watchToken(this.request.incidentRun, 'hold');
    const limitMs = this.access.topology.limits.hold;
    const candidates = this.access.topology.postgres.nodes.map(({ name }) => this.access.internal(name));
    await this.pooler.use(1000, async (agent) => {
      await agent.call('claim', { token });
      await agent.call('hold', { token, pauseLimitMs: limitMs, limitMs, candidates, wait: false });
    });
    this.since = Date.now();
  }

  /** Lets clients go, if they are held. Never throws: the dead-man switch lets go where this can't. */
  async end(): Promise<void> {
    const { beginning } = this;
    if (beginning !== undefined) {
      const taken = await withinLimit(
        beginning.then(() => true),
        TAKING_LIMIT_MS,
      ).catch(() => false);
      // Temporal is asked there, or the agent: the watch waits for neither. A hold that comes all the same is let go of then.
      if (!taken) {
        this.unwanted = true;
        void beginning.then(() => (this.unwanted ? this.letGo() : undefined));
        return;
      }
    }
    await this.letGo();
  }

  private async letGo(): Promise<void> {
    if (this.since === undefined) return;
    this.since = undefined;
    const token = watchToken(this.request.incidentRun, 'hold');
    await this.pooler
      .use(1000, async (agent) => {
        await agent.call('release', { token });
        await agent.call('forget', { token });
      })
      .catch(() => undefined);
  }
}
