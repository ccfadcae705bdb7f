import { withHeard } from '../../cluster/guard/heard';
import { confirmedLedger } from '../../cluster/guard/ledger';
import type { PoolerAgent, PostgresAgent, PostgresObservation } from '../../systems/agent';
import { attempt, lastHeartbeat } from '../context';
import type { ActivityDeps, ClusterAccess } from '../deps';
import { carryOut } from '../failover/critical-section';
import { emptyJournal, type FailoverJournal } from '../failover/journal';
import type { FailoverMove } from '../failover/move';
import type { OpenWays } from '../failover/parts';
import { Overtaken, stillMine, stillWanted } from '../still-mine';
import { watchToken } from '../token';
import type { HeldAgent } from './held-agents';
import { messageOf } from './probe';
import type { WatchRequest, WatchResult } from './watch';

/** A failure that a watch found. */
export type FoundFailure = WatchResult & { failure: NonNullable<WatchResult['failure']> };

/** What each heartbeat carries from the moment on at which a watch acts: the next attempt goes on with it. */
export interface ActingBeat {
  found: FoundFailure;
  journal: FailoverJournal;
}

/** How long an agent may take to say what is on record there, in milliseconds. */
const RECORD_LIMIT_MS = 700;
/** The same for a claim, or to let clients go. */
const COMMAND_LIMIT_MS = 1000;

/** What it reaches nodes by. */
interface Ways {
  pooler: HeldAgent<PoolerAgent>;
  agents: ReadonlyMap<string, HeldAgent<PostgresAgent>>;
  /** Gives away what is open to the pooler and to these nodes. */
  giveWays(nodes: readonly string[]): OpenWays;
  /** Every process of the primary has ended, by Docker's word, and nobody has started it since. */
  primaryEnded(): boolean;
}

/**
 * Carries the critical section of a failover out in the watch that saw the failure: clients wait for no hand-over. The run that the guard
 * starts then finds what was done, under the same run id, and goes on with it.
 */
export class ActAtOnce {
  /** Present while it is at it. */
  beat: ActingBeat | undefined = actingOf(lastHeartbeat());
  /** An attempt before this one may have asked somebody to be promoted who gives no answer now. */
  private mayHaveAsked = false;

  constructor(
    private readonly deps: ActivityDeps,
    private readonly access: ClusterAccess,
    private readonly request: WatchRequest,
    private readonly ways: Ways,
    /** Has Temporal hear {@link beat} as it is now. */
    private readonly tell: () => void,
  ) {}

  /**
   * To be asked before a later attempt believes anything else: what the one before it began is gone on with. It is found in the last
   * heartbeat, and in the agents' own records, since the last moments before a death are in no heartbeat.
   * @returns what that attempt had found, and what has been done; undefined when nothing but clients and claims was taken
   */
  async resume(): Promise<WatchResult | undefined> {
    const { incidentRun: run, cluster } = this.request;
    const earlier = this.beat;
    const said = await this.records();
    const asked = [...said.values()].find(({ promotion }) => promotion?.run === run)?.promotion;
    const fence = said.get(this.source)?.fencedBy;
    const fenced = fence?.run === run ? fence : undefined;
    const began =
      asked != null ? 'promotion' : (earlier?.journal.began ?? (fenced === undefined ? undefined : 'fence'));
    if (began === undefined) {
      this.beat = undefined;
      this.mayHaveAsked = this.candidates.some((name) => !said.has(name));
      await this.takeBack(said);
      return undefined;
    }
    const found = earlier?.found ?? this.unheard(asked?.atMs ?? fenced?.atMs ?? Date.now());
    const journal = earlier?.journal ?? emptyJournal();
    journal.began = began;
    this.beat = { found, journal };
    const holder = await this.deps.lockHolder(cluster);
    if (holder !== undefined) return withActed(found, journal, `run ${holder} holds the lock of PostgreSQL`);
    return this.act(found);
  }

  /** Acts. Never throws: whatever was begun is told, and the run that follows goes on with it. */
  async act(found: FoundFailure): Promise<WatchResult> {
    const { incidentRun: run } = this.request;
    const journal = this.beat?.journal ?? emptyJournal();
    const goesOn = journal.began !== undefined;
    if (this.mayHaveAsked) journal.began = 'promotion';
    this.beat = { found, journal };
    this.tell();
    const token = watchToken(run, 'act');
    try {
      await carryOut(this.deps, this.access, this.moveOf(found), {
        token,
        journal,
        beat: this.tell,
        first: attempt() === 1,
        ways: () => this.ways.giveWays(this.candidates),
        // What people have said meanwhile counts until the fence begins. After it somebody has to be promoted.
        permit: goesOn ? stillMine : stillWanted,
        sourceEnded: () => this.ways.primaryEnded(),
        // To read the WAL of the old primary takes seconds: the run that follows does that, under the lock.
        readsWal: false,
        tells: false,
      });
      return withActed(found, journal);
    } catch (error) {
      // It is not certain that anybody follows. A refusal has let clients go already; after anything else the run that follows holds them.
      if (error instanceof Overtaken || (error as { type?: string }).type === 'Failed')
        await this.ways.pooler
          .use(COMMAND_LIMIT_MS, (agent) => agent.call('release', { token }))
          .catch(() => undefined);
      return withActed(found, journal, messageOf(error));
    }
  }

  private get source(): string {
    return this.request.ledger.primary ?? '';
  }

  private get candidates(): string[] {
    return this.access.topology.postgres.nodes.map(({ name }) => name).filter((name) => name !== this.source);
  }

  private moveOf({ failure, confirmedAt, heard }: FoundFailure): FailoverMove {
    const { cluster, incidentRun, ledger } = this.request;
    return {
      cluster,
      run: incidentRun,
      source: this.source,
      candidates: this.candidates,
      ledger: withHeard(confirmedLedger(ledger, confirmedAt), heard),
      kind: failure.kind,
      decidedAt: failure.decidedAt,
      since: failure.since,
      watched: failure.watched === true,
      ...(failure.lastLsn === undefined ? {} : { lastLsn: failure.lastLsn }),
      holdLimitMs: this.access.topology.limits.hold,
    };
  }

  /** What every agent that answers has on record. */
  private async records(): Promise<Map<string, PostgresObservation>> {
    const said = new Map<string, PostgresObservation>();
    await Promise.all(
      [...this.ways.agents].map(async ([name, agent]) => {
        const seen = await agent.use(RECORD_LIMIT_MS, (session) => session.call('observe', {})).catch(() => undefined);
        if (seen !== undefined) said.set(name, seen);
      }),
    );
    return said;
  }

  /** Nodes that an attempt before this one took are given back: its worker may only have been frozen, and must not go on. */
  private async takeBack(said: ReadonlyMap<string, PostgresObservation>): Promise<void> {
    const token = watchToken(this.request.incidentRun, 'hold');
    await Promise.all(
      [...said].map(async ([name, { token: owner }]) => {
        if (owner?.run !== token.run) return;
        await this.ways.agents
          .get(name)
          ?.use(COMMAND_LIMIT_MS, async (agent) => {
            await agent.call('claim', { token });
            await agent.call('forget', { token });
          })
          .catch(() => undefined);
      }),
    );
  }

  /** What an attempt found that died before anybody heard of it. */
  private unheard(at: number): FoundFailure {
    return {
      why: 'failed',
      at: Date.now(),
      state: 'failed',
      sees: `${this.source} had failed, as a worker saw that died in the middle of the failover`,
      signals: [],
      failure: { kind: 'dead', since: at, decidedAt: at, heldSince: null },
    };
  }
}

function withActed(found: FoundFailure, journal: FailoverJournal, problem?: string): WatchResult {
  if (journal.began === undefined) return found;
  const acted = { journal, ...(problem === undefined ? {} : { problem }) };
  return { ...found, failure: { ...found.failure, acted } };
}

/** What the heartbeat of an attempt before this one says of what it did. */
function actingOf(beat: unknown): ActingBeat | undefined {
  return typeof beat === 'object' && beat !== null ? (beat as { acting?: ActingBeat }).acting : undefined;
}
