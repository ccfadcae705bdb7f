import {
  carriedStreak,
  goesOnWithStreak,
  nextStreak,
  PATH_GAP_MS,
  type CarriedStreak,
  type PathStreak,
} from '../../cluster/guard/client-path';
import type { CutPath, NodeAnswer } from '../../cluster/guard/signals';
import type { PeerAnswer, PoolerAgent } from '../../systems/agent';
import type { PostgresSession } from '../../systems/postgres';
import { steadyMs } from '../clock';
import type { ActivityDeps, ClusterAccess } from '../deps';
import { openDoor } from '../front-door';
import type { HeldAgent } from './held-agents';
import { messageOf } from './probe';

/** How often the pooler's agent is asked whom it reaches, in milliseconds. */
const EVERY_MS = 1000;
/** How long the primary may take to answer it, in milliseconds. */
const LIMIT_MS = 1000;
/** The same for standbys, which are asked only where the primary was not reached. */
const STANDBYS_LIMIT_MS = 500;
/** How long a query through the pool may take, in milliseconds. */
const THROUGH_LIMIT_MS = 2000;

/** The streaks of clusters whose watch has ended, by worker: the next stretch goes on counting where it does so in time. */
const remembered = new WeakMap<ActivityDeps, Map<string, PathStreak>>();

/**
 * Asks the pooler's agent about once a second whether the primary answers where the pooler stands. Clients have no other way, and a
 * guard that reaches the primary by its own would see nothing. Only where it does not, the standbys are asked the same (never a node that
 * does not stream: to look its name up may take seconds, and keeps other look-ups waiting), and a query is tried through the pool, as an
 * ordinary client's. Nobody waits for any of it.
 */
export class ClientPathWatch {
  private streak: PathStreak | undefined;
  private through: CutPath['through'] = 'unknown';
  private session: PostgresSession | undefined;
  private asking = false;
  private closed = false;
  private readonly key: string;
  /** Who streamed from the primary by its newest answer. */
  private standbys: readonly string[] = [];

  constructor(
    private readonly deps: ActivityDeps,
    private readonly access: ClusterAccess,
    private readonly primary: string,
    /** A session of its own: one that is given up here must not end a hold that others are waiting for. */
    private readonly agent: HeldAgent<PoolerAgent>,
    /** What the stretch before this one counted, on whatever worker. */
    carried?: CarriedStreak,
    private readonly now: () => number = steadyMs,
    private readonly everyMs = EVERY_MS,
  ) {
    this.key = `${access.name} ${primary}`;
    // What this worker knows itself is the newer, unless it has not watched lately.
    const own = remembered.get(deps)?.get(this.key);
    const isNew = own !== undefined && this.now() - own.until <= PATH_GAP_MS;
    this.streak = isNew || carried === undefined ? own : goesOnWithStreak(carried, this.now());
  }

  /** For the next stretch: what has been counted; undefined while the primary is reached. */
  get carried(): CarriedStreak | undefined {
    return this.streak === undefined ? undefined : carriedStreak(this.streak, this.now());
  }

  /** Begins to ask. */
  start(): void {
    void this.run();
  }

  close(): void {
    this.closed = true;
    this.agent.close();
    this.session?.close();
  }

  /** Takes note of who streams from the primary. */
  look({ standbys = [] }: NodeAnswer): void {
    const known = this.access.topology.postgres.nodes.map(({ name }) => name);
    this.standbys = standbys.flatMap(({ node, state }) =>
      state === 'streaming' && known.includes(node) ? [node] : [],
    );
  }

  /** What the newest questions say; undefined while the primary is reached, and while nobody knows. */
  sign(): CutPath | undefined {
    const { streak } = this;
    if (streak === undefined || this.now() - streak.until > PATH_GAP_MS) return undefined;
    const { from, until, times, problem, asked, reaches } = streak;
    return {
      pooler: this.agent.node,
      cutMs: Math.round(until - from),
      times,
      ...(problem === undefined ? {} : { problem }),
      asked,
      reaches,
      through: this.through,
    };
  }

  private async run(): Promise<void> {
    let next = this.now() + this.everyMs;
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, next - this.now())).unref());
      if (this.closed) return;
      next = this.now() + this.everyMs;
      await this.question();
    }
  }

  private async question(): Promise<void> {
    const from = this.now();
    let primary: PeerAnswer | undefined;
    let others: PeerAnswer[] = [];
    const { standbys: asked } = this;
    // A server that only says that it is full, or starts, was reached all the same.
    const reached = (answer?: PeerAnswer) =>
      answer !== undefined && (answer.writable || answer.standby || answer.speaks);
    try {
      [primary] = await this.ask([this.primary], LIMIT_MS, true);
      if (!reached(primary) && asked.length > 0) others = await this.ask(asked, STANDBYS_LIMIT_MS);
    } catch {
      // An agent that can't be asked says nothing about the network that clients use; a pooler that hangs is looked for by SilentPooler.
      return;
    }
    if (primary === undefined || this.closed) return;
    const problem = primary.problem ?? undefined;
    this.streak = nextStreak(this.streak, {
      from,
      until: this.now(),
      reachesPrimary: reached(primary),
      asked: [...asked],
      reaches: asked.filter((_name, index) => others[index]?.standby === true),
      ...(problem === undefined ? {} : { problem }),
    });
    this.remember();
    if (this.streak === undefined) this.through = 'unknown';
    else void this.askThrough();
  }

  private async ask(nodes: readonly string[], limitMs: number, briefly = false): Promise<PeerAnswer[]> {
    const addresses = nodes.map((name) => this.access.internal(name));
    const { answers } = await this.agent.use(limitMs + 500, (session) =>
      session.call('ask', { addresses, limitMs, ...(briefly ? { briefly } : {}) }, limitMs + 400),
    );
    return answers;
  }

  private remember(): void {
    const streaks = remembered.get(this.deps) ?? new Map<string, PathStreak>();
    remembered.set(this.deps, streaks);
    if (this.streak === undefined) streaks.delete(this.key);
    else streaks.set(this.key, this.streak);
  }

  /** An ordinary client's query, by PgBouncer's own way to the database. One at a time; it never throws. */
  private async askThrough(): Promise<void> {
    if (this.asking) return;
    this.asking = true;
    try {
      this.session ??= await openDoor(this.access, THROUGH_LIMIT_MS, { evenRefused: true });
      if (this.closed) return;
      await this.session.query('SELECT 1');
      this.through = 'answered';
    } catch (error) {
      this.through = isSilence(error) ? 'silent' : 'unknown';
      this.session?.close();
      this.session = undefined;
    } finally {
      this.asking = false;
      if (this.closed) this.session?.close();
    }
  }
}

/**
 * Did PgBouncer take the client, and nobody serve it? It says so itself where it has given up (SQLSTATE class 08), or lets the client
 * wait. A refused connection, or a refused password, is another trouble than the way to the database.
 */
export function isSilence(error: unknown): boolean {
  const code = (error as { code?: unknown }).code;
  if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code)) return code.startsWith('08');
  return /time(d )?out|terminated|no answer within/i.test(messageOf(error));
}
