import {
  AgentError,
  openPoolerAgent,
  openPostgresAgent,
  type PoolerAgent,
  type PostgresAgent,
} from '../../systems/agent';
import { steadyMs } from '../clock';
import type { ActivityDeps, ClusterAccess } from '../deps';
import { wakeAgent } from '../wake-agent';
import { HeldAgent } from './held-agents';

/** How often each agent is asked while it answers, in milliseconds: the question costs it next to nothing. */
const EVERY_MS = 3000;
/** The same while it is silent. */
const SILENT_EVERY_MS = 500;
/** How long an agent may take to answer, in milliseconds. */
const LIMIT_MS = 1000;
/** One that was silent for this long is looked at, in milliseconds. */
const SILENT_MS = 2000;
/** One that was looked at, and is silent all the same, is looked at again after this time, in milliseconds. */
const AGAIN_MS = 5000;

interface Asked {
  readonly agent: HeldAgent<PostgresAgent> | HeldAgent<PoolerAgent>;
  asking: boolean;
  nextAt: number;
  silentSince: number | undefined;
  lookedAt: number;
  /** It was found stopped, and has not answered since it was woken. */
  woken: boolean;
}

/**
 * Asks the agents of the pooler and of every PostgreSQL node whether they answer, also those of nodes that stream and of a pooler at which
 * clients are well: what such a node would need its agent for is a failover. One that somebody stopped by a signal is woken. Never waits.
 */
export class StoppedAgents {
  private readonly agents: Asked[];
  private wokenSays: string[] = [];
  private closed = false;

  /** @param mayWake else nothing is done */
  constructor(
    private readonly deps: Pick<ActivityDeps, 'docker'>,
    access: ClusterAccess,
    private readonly mayWake: boolean,
    private readonly now: () => number = steadyMs,
  ) {
    const { docker } = deps;
    const names = access.topology.postgres.nodes.map(({ name }) => name);
    const agents = [
      new HeldAgent(access.poolerName, () => openPoolerAgent(docker, access.poolerName)),
      ...names.map((name) => new HeldAgent(name, () => openPostgresAgent(docker, name))),
    ];
    this.agents = agents.map((agent) => ({
      agent,
      asking: false,
      nextAt: -Infinity,
      silentSince: undefined,
      lookedAt: -Infinity,
      woken: false,
    }));
  }

  close(): void {
    this.closed = true;
    for (const { agent } of this.agents) agent.close();
  }

  /** What it has woken, and answers by now, and nobody was told of yet. */
  takeWoken(): string[] {
    return this.wokenSays.splice(0);
  }

  /** Asks beside who is due. Never throws. */
  look(): void {
    if (!this.mayWake) return;
    for (const each of this.agents) if (!each.asking && this.now() >= each.nextAt) void this.ask(each);
  }

  private async ask(each: Asked): Promise<void> {
    each.asking = true;
    const askedAt = this.now();
    try {
      await this.answerOf(each);
      each.silentSince = undefined;
      each.nextAt = this.now() + EVERY_MS;
      if (each.woken)
        this.wokenSays.push(
          `the agent of ${each.agent.node} was woken: somebody had stopped it by a signal, while its container ran`,
        );
      each.woken = false;
    } catch {
      each.silentSince ??= askedAt;
      each.nextAt = this.now() + SILENT_EVERY_MS;
      await this.wakeWhenDue(each);
    } finally {
      each.asking = false;
    }
  }

  private async answerOf({ agent }: Asked): Promise<void> {
    try {
      // Both kinds answer this one, and nobody has to be reached for it.
      await (agent as HeldAgent<PostgresAgent>).use(LIMIT_MS, (session) =>
        session.call('ask', { addresses: [], limitMs: LIMIT_MS / 2 }),
      );
    } catch (error) {
      // A refusal is an answer.
      if (!(error instanceof AgentError) || error.type === 'Unreachable') throw error;
    }
  }

  private async wakeWhenDue(each: Asked): Promise<void> {
    const now = this.now();
    const silent = each.silentSince !== undefined && now - each.silentSince >= SILENT_MS;
    if (this.closed || !silent || now - each.lookedAt < AGAIN_MS) return;
    each.lookedAt = now;
    if (!(await wakeAgent(this.deps.docker, each.agent.node))) return;
    each.woken = true;
    each.nextAt = now;
  }
}
