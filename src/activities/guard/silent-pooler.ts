import { pausedPooler, silentPooler, toldPaused, toldSilent } from '../../cluster/guard/silent-pooler';
import type { LeftOver, MembersRound } from '../../cluster/guard/mending';
import { openPoolerAgent, type Halted, type PoolerAgent } from '../../systems/agent';
import type { PostgresSession } from '../../systems/postgres';
import { steadyMs } from '../clock';
import type { ActivityDeps, ClusterAccess } from '../deps';
import { openDoor } from '../front-door';
import { isSilence } from './client-path-watch';
import { askFrom, HeldAgent } from './held-agents';
import { HungPooler } from './hung-pooler';

/** How long the pooler's agent may take to answer, in milliseconds. */
const AGENT_LIMIT_MS = 1000;
/** How long a query through the pool may take, in milliseconds. */
const THROUGH_LIMIT_MS = 2000;
/** While the agent answers a query is sent through the pool this often, in milliseconds; with each look where it does not. */
const DOOR_EVERY_MS = 6000;
/** So many queries in a row, and for so long, in milliseconds, got no answer: a client that waits for a moment is none. */
const TIMES = 2;
const SILENT_MS = 2000;

/**
 * Looks whether clients get an answer at a pooler that runs, beside a primary that is well. The watch of clients' way to the primary hears
 * of nothing where the whole pooler hangs: its agent is silent too, or reaches the primary by itself while PgBouncer hangs. It is told: it
 * is no failure of PostgreSQL. Where the agent is silent too it is ended and started ({@link HungPooler}); an agent that answers looks after
 * PgBouncer itself. That somebody paused it is told as well, and stays so.
 */
export class SilentPooler {
  private readonly agent: HeldAgent<PoolerAgent>;
  private session: PostgresSession | undefined;
  private asking = false;
  private askedAt = -Infinity;
  private closed = false;
  /** Queries in a row that got no answer; absent while they do. */
  private silent: { since: number; times: number } | undefined;
  /** Looks in a row that found clients paused, and held by no run; absent where they are not. */
  private paused: { since: number; times: number } | undefined;
  private told: LeftOver[] = [];
  private readonly hung: HungPooler;

  constructor(
    private readonly deps: Pick<ActivityDeps, 'docker' | 'lockHolder'>,
    private readonly access: ClusterAccess,
    /** What earlier stretches told: each one ends with its news, and the next one must not take that back before it has asked. */
    known: readonly { node: string; says: string }[] = [],
    mayStart = false,
    private readonly now: () => number = steadyMs,
  ) {
    this.hung = HungPooler.of(deps, access, mayStart);
    const told = toldSilent(access.poolerName, known);
    const paused = toldPaused(access.topology, access.name, access.poolerName, known);
    const before = { since: now() - SILENT_MS, times: TIMES };
    if (told !== undefined) {
      this.told = [told];
      this.silent = before;
    } else if (paused !== undefined) {
      this.told = [paused];
      this.paused = before;
    }
    this.agent = new HeldAgent(access.poolerName, () => openPoolerAgent(deps.docker, access.poolerName));
  }

  close(): void {
    this.closed = true;
    this.agent.close();
    this.session?.close();
  }

  /** That it was started, where nobody was told of it yet. */
  takeStarted(): string[] {
    return this.hung.takeStarted();
  }

  /** What is to be told by the newest answers, if anything; asks anew beside. Never waits, never throws. */
  look(round: Pick<MembersRound, 'writable'>): LeftOver[] {
    if (!this.asking) void this.ask(round);
    return this.told;
  }

  private async ask(round: Pick<MembersRound, 'writable'>): Promise<void> {
    this.asking = true;
    try {
      // What was told stays told until the answers are there.
      this.told = await this.find(round);
    } finally {
      this.asking = false;
    }
  }

  private async find({ writable: [primary, second] }: Pick<MembersRound, 'writable'>): Promise<LeftOver[]> {
    const agent = await this.askAgent();
    // Clients that are held wait for whoever holds them, and without a primary they wait for one.
    if (primary === undefined || second !== undefined || agent === 'holds' || this.closed) {
      this.silent = this.paused = undefined;
      return [];
    }
    if (typeof agent === 'object') {
      this.silent = undefined;
      return this.findPaused(agent.halted);
    }
    this.paused = undefined;
    if (agent === 'silent' || this.silent !== undefined || this.now() - this.askedAt >= DOOR_EVERY_MS)
      await this.askThrough();
    const { silent } = this;
    if (silent === undefined || silent.times < TIMES || this.now() - silent.since < SILENT_MS) return [];
    if ((agent === 'answers' && !(await this.reaches(primary))) || (await this.isUnderWay())) return [];
    const found = silentPooler(this.access.poolerName, primary, agent === 'silent');
    if (agent !== 'silent' || this.closed || !(await this.hung.restart(found, this.now()))) return [found];
    this.silent = undefined;
    return [];
  }

  /** A hold that begins or ends is seen as a pause for a moment. */
  private async findPaused(halted: Halted | null): Promise<LeftOver[]> {
    const { since, times } = (this.paused ??= { since: this.now(), times: 0 });
    this.paused.times = times + 1;
    if (times + 1 < TIMES || this.now() - since < SILENT_MS || (await this.isUnderWay())) return [];
    return [pausedPooler(this.access.topology, this.access.name, this.access.poolerName, halted)];
  }

  private async askAgent(): Promise<'silent' | 'holds' | 'answers' | { halted: Halted | null }> {
    try {
      const { paused, halted, hold } = await this.agent.use(AGENT_LIMIT_MS, (session) => session.call('observe', {}));
      if (hold !== null) return 'holds';
      return paused ? { halted: halted ?? null } : 'answers';
    } catch {
      return 'silent';
    }
  }

  /** Where the pooler does not reach the primary it does not hang: the watch of clients' way tells of that. */
  private async reaches(primary: string): Promise<boolean> {
    return (await askFrom(this.agent, this.access.internal(primary), AGENT_LIMIT_MS)).sees;
  }

  /** A run holds the lock of PostgreSQL: it may hold clients, or have the pooler restarted. */
  private isUnderWay(): Promise<boolean> {
    return this.deps.lockHolder(this.access.name).then(
      (holder) => holder !== undefined,
      () => true,
    );
  }

  /** An ordinary client's query. Never throws. */
  private async askThrough(): Promise<void> {
    const since = this.now();
    this.askedAt = since;
    try {
      this.session ??= await openDoor(this.access, THROUGH_LIMIT_MS, { evenRefused: true });
      await this.session.query('SELECT 1');
      this.silent = undefined;
      this.hung.isWell(this.now());
    } catch (error) {
      this.session?.close();
      this.session = undefined;
      this.silent = hangs(error)
        ? { since: this.silent?.since ?? since, times: (this.silent?.times ?? 0) + 1 }
        : undefined;
    } finally {
      if (this.closed) this.session?.close();
    }
  }
}

/** Nobody answered. What PgBouncer says itself, also that it has no server for the client, is an answer. */
const hangs = (error: unknown): boolean => (error as { code?: unknown }).code === undefined && isSilence(error);
