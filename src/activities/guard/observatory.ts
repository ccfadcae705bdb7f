import type { CarriedStreak } from '../../cluster/guard/client-path';
import { FULL_DISK_BYTES } from '../../cluster/guard/evidence';
import type { GuardPolicy } from '../../cluster/guard/policy';
import type { ContainerWord, NodeAnswer, Round } from '../../cluster/guard/signals';
import type { PoolerAgent, PostgresAgent } from '../../systems/agent';
import { openPoolerAgent, openPostgresAgent } from '../../systems/agent';
import { SteadyClock } from '../clock';
import type { ActivityDeps, ClusterAccess } from '../deps';
import type { OpenWays } from '../failover/parts';
import { ClientPathWatch } from './client-path-watch';
import { askFrom, HeldAgent } from './held-agents';
import { messageOf, NodeProbe, withinLimit } from './probe';
import { WriteWatch } from './write-watch';

/** Docker's words of which each means that a container is gone. */
const gone: ReadonlySet<ContainerWord> = new Set<ContainerWord>(['exited', 'dead', 'absent', 'created']);
/** The primary's agent watches its disk, and is asked anew this often, in milliseconds. */
const DISK_WATCH_MS = 2000;
/** The same where nobody watches it: an agent that is older, or does not answer now. */
const DISK_EVERY_MS = 500;

/** A container that dies within this time after a signal died of it, in milliseconds: docker-compose grants 30 s for an end. */
const DIES_OF_IT_MS = 40_000;

/** How often the others are asked while the primary is well, in milliseconds; a second primary is seen within two seconds. */
const OTHERS_EVERY_MS = 350;
const SILENT_OTHERS_EVERY_MS = 1000;
/** The watch begins after this time, in milliseconds, whoever has not answered by then: Docker may hang for one container. */
const WARM_LIMIT_MS = 500;
/** How soon rounds follow in a hurry, in milliseconds, and how many of them. */
const SOON_MS = 40;
const HURRIED_ROUNDS = 3;

/** Docker's word on a container, and when it ended if it has. */
interface ContainerEnd {
  word: ContainerWord;
  endedAt?: number;
}

/** All the ways in which the guard looks at a cluster, opened once and kept: probes, agents, and Docker's events. */
export class Observatory {
  readonly pooler: HeldAgent<PoolerAgent>;
  /** Every time that a round tells: what is counted between two of them is a duration, whatever happens to the wall clock. */
  readonly clock = new SteadyClock();
  private readonly probes = new Map<string, NodeProbe>();
  readonly agents = new Map<string, HeldAgent<PostgresAgent>>();
  private readonly lastAnswers = new Map<string, { at: number; answer: NodeAnswer }>();
  private endEvents: (() => void) | undefined;
  /** Wakes whoever pauses between two rounds. */
  private wake: (() => void) | undefined;
  /** The primary's session ended, or Docker spoke of its container, since the last round. */
  private alarmed = false;
  /** Docker said that the primary's container died: it need not be asked by SQL any more. */
  private died: { promise: Promise<void>; resolve: () => void };
  /** When Docker said last that somebody had a signal sent to the primary's container: when it dies of that, Docker starts it no more. */
  private signalledAt = -Infinity;
  /** When the primary's container died after that, by Docker's word. Milliseconds since the epoch. */
  private endedAt: number | undefined;
  private wasCutOff = false;
  /** So many rounds follow soon: the session of a standby ended, and the primary may hear of it a moment later. */
  private hurried = 0;
  private wasSilent = false;
  private nextAt = this.clock.now();
  private diskAt = 0;
  private closed = false;
  /** Its agent watches the primary's disk now. */
  private diskWatched = false;
  private diskFull = false;
  private readonly writes: WriteWatch;
  private readonly clientPath: ClientPathWatch;

  constructor(
    private readonly deps: ActivityDeps,
    private readonly access: ClusterAccess,
    private readonly expected: string | null,
    private readonly policy: GuardPolicy,
    counted?: CarriedStreak,
  ) {
    this.died = withResolver();
    this.pooler = new HeldAgent(access.poolerName, () => openPoolerAgent(deps.docker, access.poolerName));
    for (const { name } of access.topology.postgres.nodes) {
      this.probes.set(name, new NodeProbe(access, name, policy.probeLimit, () => this.alarm(name)));
      this.agents.set(name, new HeldAgent(name, () => openPostgresAgent(deps.docker, name)));
    }
    const primary = this.primaryName();
    this.writes = WriteWatch.of(deps, access, primary, policy);
    const pooler = new HeldAgent(access.poolerName, () => openPoolerAgent(deps.docker, access.poolerName));
    this.clientPath = new ClientPathWatch(deps, access, primary, pooler, counted);
  }

  /** For how long the pooler has not reached the primary, for the next stretch; undefined while it does. */
  get pathCounted(): CarriedStreak | undefined {
    return this.clientPath.carried;
  }

  /** Opens what will be needed at the moment of a failure. What can't be opened now is opened when it is asked for. */
  async open(): Promise<void> {
    const agents = [this.pooler, ...this.agents.values()];
    const listening = withinLimit(this.listen(), WARM_LIMIT_MS).catch(() => undefined);
    await Promise.all([...agents.map((agent) => agent.warm(WARM_LIMIT_MS)), listening]);
    void this.watchDisk(this.primaryName());
    this.clientPath.start();
    this.nextAt = this.clock.now();
  }

  close(): void {
    this.closed = true;
    this.endEvents?.();
    this.pooler.close();
    for (const agent of this.agents.values()) agent.close();
    for (const probe of this.probes.values()) probe.close();
    this.writes.close(this.deps);
    this.clientPath.close();
  }

  /** Every process of the primary has ended, by Docker's word, and nobody has started it since. */
  primaryEnded(): boolean {
    return this.end() !== undefined;
  }

  /** Gives away the ways that are open to the pooler and to these nodes: whoever acts now has no time to open others. */
  giveWays(nodes: readonly string[]): OpenWays {
    const pooler = this.pooler.take();
    return {
      ...(pooler === undefined ? {} : { pooler }),
      candidates: nodes.map((name) => {
        const [agent, sql] = [this.agents.get(name)?.take(), this.probes.get(name)?.take()];
        return { name, ...(agent === undefined ? {} : { agent }), ...(sql === undefined ? {} : { sql }) };
      }),
    };
  }

  /**
   * Waits for the next round, or for a sign that something happened.
   * @param withinMs at most this long, in milliseconds, where something is due
   */
  async pause(signal: AbortSignal, withinMs = Infinity): Promise<void> {
    const within = this.hurried > 0 ? Math.min(SOON_MS, withinMs) : withinMs;
    this.hurried = Math.max(0, this.hurried - 1);
    this.nextAt = Math.min(this.nextAt + this.policy.probeInterval, this.clock.now() + within);
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

  /**
   * One look at everything. The cheap questions always; the others once the primary is silent.
   * @param onGone called at once when the primary's session was cut or its container died: before anything else is known
   */
  async round(onGone: () => Promise<void>): Promise<Round> {
    const at = this.clock.now();
    const lateMs = Math.max(0, at - this.nextAt);
    const wasCut = this.alarmed;
    this.wasCutOff = wasCut;
    this.alarmed = false;
    const primary = this.primaryName();
    if (wasCut) void onGone();
    const others = this.othersOf(primary);
    // Once it is silent everything is asked at the same time: each round costs one limit, and not three.
    let deep = wasCut || this.wasSilent ? this.deepLook(primary) : undefined;
    const sql = await this.askPrimary(primary, deep?.container);
    this.wasSilent = !sql.answered;
    if (sql.answered) {
      deep?.forget();
      const write = this.writes.look(sql);
      this.clientPath.look(sql);
      const clientPath = this.clientPath.sign();
      const agent = await this.diskOf(primary);
      return {
        at,
        lateMs,
        primary,
        sql,
        others: await others,
        ...(agent === undefined ? {} : { agent }),
        ...(write === undefined ? {} : { write }),
        ...(clientPath === undefined ? {} : { clientPath }),
      };
    }
    deep ??= this.deepLook(primary);
    const { container, agent, witnesses } = deep;
    const { word, endedAt } = await container;
    if (gone.has(word)) {
      // Two independent ways say so: nobody has to wait for the others.
      deep.forget();
      return {
        at,
        lateMs,
        primary,
        sql,
        others: await withinSoon(others),
        container: word,
        ...(endedAt === undefined ? {} : { endedAt }),
      };
    }
    return {
      at,
      lateMs,
      primary,
      sql,
      others: await others,
      container: word,
      agent: await agent,
      witnesses: await witnesses,
    };
  }

  /** The node that the ledger names; while it names none, the first of the topology. */
  private primaryName(): string {
    return this.expected ?? this.access.topology.postgres.nodes[0]?.name ?? '';
  }

  private deepLook(primary: string) {
    const container = this.containerOf(primary);
    const agent = this.agentOf(primary);
    const witnesses = this.witnessesOf(primary);
    const forget = () => {
      for (const asked of [container, agent, witnesses]) asked.catch(() => undefined);
    };
    return { container, agent, witnesses, forget };
  }

  private async askPrimary(primary: string, container: Promise<ContainerEnd> | undefined): Promise<NodeAnswer> {
    if (this.wasCutOff && container !== undefined && gone.has((await container).word))
      return { name: primary, answered: false, ms: 0, problem: 'the session was ended' };
    const { died } = this;
    const asked = this.probes.get(primary)?.ask(this.writes.backend) ?? Promise.reject(new Error('no such node'));
    return Promise.race([
      asked,
      died.promise.then(() => ({ name: primary, answered: false, ms: 0, problem: 'its container died' })),
    ]);
  }

  /** The other nodes. While the primary is well they are asked less often, and one that does not answer the least. */
  private async othersOf(primary: string): Promise<NodeAnswer[]> {
    const others = [...this.probes].filter(([name]) => name !== primary);
    return Promise.all(
      others.map(async ([name, probe]) => {
        const last = this.lastAnswers.get(name);
        const every = last?.answer.answered === false ? SILENT_OTHERS_EVERY_MS : OTHERS_EVERY_MS;
        if (last !== undefined && !this.wasSilent && !this.wasCutOff && this.clock.now() - last.at < every)
          return last.answer;
        const answer = await probe.ask();
        this.lastAnswers.set(name, { at: this.clock.now(), answer });
        return answer;
      }),
    );
  }

  private async containerOf(node: string): Promise<ContainerEnd> {
    // Docker keeps who asks for the state waiting until the teardown of the container is through: 100 to 200 ms longer than the event.
    const known = this.end();
    if (known !== undefined) return known;
    const asked = withinLimit(this.deps.docker.inspect(node), this.policy.probeLimit * 2).then(
      ({ status, endedAt }): ContainerEnd => ({
        word: status as ContainerWord,
        ...(endedAt === undefined ? {} : { endedAt }),
      }),
      (): ContainerEnd => ({ word: 'unknown' }),
    );
    return Promise.race([asked, this.died.promise.then(() => this.end() ?? asked)]);
  }

  /** By Docker's events the primary's container has ended of a signal, and was not started since. */
  private end(): ContainerEnd | undefined {
    return this.endedAt === undefined ? undefined : { word: 'exited', endedAt: this.endedAt };
  }

  private async agentOf(node: string): Promise<NonNullable<Round['agent']>> {
    try {
      const agent = this.agents.get(node);
      if (agent === undefined) throw new Error('no such node');
      const said = await agent.use(this.policy.probeLimit, (session) => session.call('observe', {}));
      return {
        answered: true,
        postgres: said.postgres.state,
        sinceMs: said.postgres.sinceMs,
        desired: said.desired,
        freeDiskBytes: said.disk.freeBytes,
      };
    } catch (error) {
      return { answered: false, problem: messageOf(error) };
    }
  }

  private witnessesOf(primary: string): Promise<NonNullable<Round['witnesses']>> {
    const address = this.access.internal(primary);
    const others = [...this.agents].filter(([name]) => name !== primary).map(([, agent]) => agent);
    return Promise.all(
      [...others, this.pooler].map(async (agent) => {
        const { node, sees, answered, problem } = await askFrom(agent, address, this.policy.probeLimit);
        return { node, sees, answered, ...(problem === undefined ? {} : { problem }) };
      }),
    );
  }

  /** A primary that answers and can't write is found by its disk. */
  private async diskOf(primary: string): Promise<Round['agent'] | undefined> {
    if (this.diskWatched || this.clock.now() < this.diskAt) return this.diskFull ? this.agentOf(primary) : undefined;
    this.diskAt = this.clock.now() + DISK_EVERY_MS;
    const agent = await this.agentOf(primary);
    this.diskFull = agent.freeDiskBytes !== undefined && agent.freeDiskBytes < FULL_DISK_BYTES;
    return agent;
  }

  /**
   * Has the primary's agent say at once when its disk is full. Each write fails from then on, and clients try again within
   * milliseconds: the next round would come too late for them.
   */
  private async watchDisk(primary: string): Promise<void> {
    while (!this.closed) {
      try {
        const agent = this.agents.get(primary);
        if (agent === undefined) return;
        const session = await agent.get();
        const args = { belowBytes: FULL_DISK_BYTES, waitMs: DISK_WATCH_MS };
        const { freeBytes } = await session.call('watchDisk', args, DISK_WATCH_MS + 1000);
        this.diskWatched = true;
        const full = freeBytes < FULL_DISK_BYTES;
        if (full && !this.diskFull) this.wake?.();
        this.diskFull = full;
        // It answers at once for as long as the disk is full.
        if (full) await sleepUnref(this.policy.probeInterval);
      } catch {
        this.diskWatched = false;
        await sleepUnref(DISK_WATCH_MS);
      }
    }
  }

  private async listen(): Promise<void> {
    const primary = this.primaryName();
    try {
      const end = await this.deps.docker.events(
        [primary],
        ({ action }) => {
          if (action === 'kill') this.signalledAt = this.clock.now();
          if (action === 'die') {
            if (this.clock.now() - this.signalledAt <= DIES_OF_IT_MS) this.endedAt = this.clock.now();
            this.died.resolve();
          }
          if (action === 'start') this.forgetEnd();
          if (['die', 'pause', 'unpause', 'start'].includes(action)) this.alarm(primary);
        },
        () => {
          // Its start may be missed from here on: what Docker said last counts no more.
          this.forgetEnd();
          if (!this.closed) setTimeout(() => void this.listen(), 1000).unref();
        },
      );
      // Closed while the stream was being opened: nobody else ends it.
      if (this.closed) end();
      else this.endEvents = end;
    } catch {
      if (!this.closed) setTimeout(() => void this.listen(), 1000).unref();
    }
  }

  private forgetEnd(): void {
    this.died = withResolver();
    this.signalledAt = -Infinity;
    this.endedAt = undefined;
  }

  private alarm(node: string): void {
    if (node !== this.primaryName()) {
      // A standby that ended: whether commits wait for it is asked at once.
      this.lastAnswers.delete(node);
      this.hurried = HURRIED_ROUNDS;
      this.wake?.();
      return;
    }
    this.alarmed = true;
    this.wake?.();
  }
}

const sleepUnref = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms).unref());

function withResolver(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}

/** What is known within a moment; the rest is not waited for. */
async function withinSoon(answers: Promise<NodeAnswer[]>): Promise<NodeAnswer[]> {
  return withinLimit(answers, 30).catch(() => []);
}
