import type { Endpoint } from '../../cluster/topology';
import type { PeerAnswer, PoolerAgent, PostgresAgent } from '../../systems/agent';
import { messageOf, withinLimit } from './probe';

type AnyAgent = PostgresAgent | PoolerAgent;

/**
 * A session with an agent that is opened beforehand and kept: at the moment of a failure nobody has 50 ms for a `docker exec`. It
 * is opened anew when it is needed and was lost.
 */
export class HeldAgent<Agent extends AnyAgent> {
  private session: Agent | undefined;
  private opening: Promise<Agent> | undefined;
  private closed = false;

  constructor(
    readonly node: string,
    private readonly open: () => Promise<Agent>,
  ) {}

  /** Opens the session ahead of its use; one that takes longer than `limitMs` goes on by itself. Never throws. */
  async warm(limitMs: number): Promise<void> {
    await withinLimit(this.get(), limitMs).catch(() => undefined);
  }

  /** @throws Error when the agent can't be reached */
  async get(): Promise<Agent> {
    if (this.session !== undefined) return this.session;
    this.opening ??= this.open().finally(() => (this.opening = undefined));
    const session = await this.opening;
    if (this.closed) {
      session.close();
      throw new Error(`${this.node}: it is asked no more`);
    }
    this.session = session;
    return session;
  }

  /**
   * Runs `body` with the session; a session that broke is replaced once.
   * @throws Error within `limitMs`
   */
  async use<Result>(limitMs: number, body: (agent: Agent) => Promise<Result>): Promise<Result> {
    const had = this.session;
    try {
      return await withinLimit(this.get().then(body), limitMs);
    } catch (error) {
      this.drop();
      const type = (error as { type?: string }).type;
      if (had === undefined || type !== 'Unreachable') throw error;
      return withinLimit(this.get().then(body), limitMs);
    }
  }

  /** Gives the session away, if there is one: whoever takes it closes it. The next use opens another one. */
  take(): Agent | undefined {
    const { session } = this;
    this.session = undefined;
    return session;
  }

  drop(): void {
    this.session?.close();
    this.session = undefined;
  }

  /** Drops the session for good, also one that is being opened now. */
  close(): void {
    this.closed = true;
    this.drop();
  }
}

/** Whether a server can be reached from where an agent lives. */
export async function askFrom(
  agent: HeldAgent<AnyAgent>,
  address: Endpoint,
  limitMs: number,
): Promise<{ node: string; sees: boolean; answered: boolean; problem?: string; answer?: PeerAnswer }> {
  try {
    const { answers } = await agent.use(limitMs + 150, (session) =>
      (session as PostgresAgent).call('ask', { addresses: [address], limitMs }, limitMs + 100),
    );
    const answer = answers[0];
    // A server that only says that it starts, or that it is full, is no primary that anybody could use.
    const sees = answer !== undefined && (answer.writable || answer.standby);
    const problem = answer?.problem ?? undefined;
    return {
      node: agent.node,
      answered: true,
      sees,
      ...(problem === undefined ? {} : { problem }),
      ...(answer === undefined ? {} : { answer }),
    };
  } catch (error) {
    return { node: agent.node, answered: false, sees: false, problem: messageOf(error) };
  }
}
