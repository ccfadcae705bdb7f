import { isRefused } from '../../cluster/client-refusal';
import type { NodeSql, ObservedCluster, ObservedNode, ObservedPooler } from '../../cluster/observed';
import { readinessFindings, readinessKey, type Readiness } from '../../cluster/readiness/findings';
import { triedPath } from '../../cluster/readiness/replication-path';
import type { NodeReadiness } from '../../cluster/readiness/observed';
import type { PoolerAgent, PostgresAgent } from '../../systems/agent';
import { observeSqlOf, type PostgresSession } from '../../systems/postgres';
import { readinessOf } from '../../systems/postgres-readiness';
import { clientLogins } from '../client-logins';
import { agentPart, observeConsole } from '../observe';
import type { ClusterAccess } from '../deps';
import type { HeldAgent } from './held-agents';
import { messageOf } from './probe';

/** How often the nodes are asked, in milliseconds. */
const EVERY_MS = 4000;
/** What costs more, such as a start that is tried, is asked in each of so many looks. */
const DEEP_EVERY = 3;
/**
 * An answer in which a login or a file of access was found well may be this old, in milliseconds, where no file has changed since: each
 * login costs a server several times what it is asked. Whoever asks once, such as a plan or `status`, asks anew.
 */
const KEPT_MS = 20_000;
const SQL_LIMIT_MS = 3000;
const AGENT_LIMIT_MS = 11_000;
/** How long an agent may take to say how its node is, in milliseconds. */
const OBSERVE_LIMIT_MS = 2000;
/** An agent that gave no answer is asked again after this time, in milliseconds. */
const SILENT_EVERY_MS = 1000;

interface Seen {
  session?: PostgresSession;
  sql: NodeSql | null;
  agent: ObservedNode['agent'];
  readiness: NodeReadiness;
  /** So many times in a row its agent gave no answer. */
  silent: number;
}

/**
 * Asks of each node, all the time and beside the watching, whether it could be stopped, started, promoted and followed. It holds
 * its own sessions, so that a question that takes long never delays the watch.
 */
export class ReadinessWatch {
  private readonly nodes = new Map<string, Seen>();
  private timer: NodeJS.Timeout | undefined;
  private closed = false;
  private looks = 0;
  /** What was seen last, and what was seen the same twice: a moment's lag is no news. */
  private last: Readiness | undefined;
  private confirmed: Readiness | undefined;
  /** How a client fared at each standby, when that was tried last. */
  private clients: Awaited<ReturnType<typeof clientLogins>> = new Map();
  private console: ObservedPooler['console'] = null;

  constructor(
    private readonly access: ClusterAccess,
    private readonly agents: ReadonlyMap<string, HeldAgent<PostgresAgent>>,
    private readonly pooler?: HeldAgent<PoolerAgent>,
    private readonly everyMs = EVERY_MS,
  ) {}

  start(): void {
    this.timer = setTimeout(() => void this.turn(), this.everyMs / 4);
    this.timer.unref();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    for (const { session } of this.nodes.values()) session?.close();
  }

  /** What two looks agree on, if it is not what is known already. */
  news(known: string | undefined): Readiness | undefined {
    return this.confirmed === undefined || readinessKey(this.confirmed) === known ? undefined : this.confirmed;
  }

  private async turn(): Promise<void> {
    const began = performance.now();
    try {
      this.take(await this.look());
    } catch {
      // Nothing of a look that failed is told; the next one begins anew.
      this.last = undefined;
    }
    if (this.closed) return;
    // That one is silent is told once two looks agree on it, and so soon after the first.
    const silent = [...this.nodes.values()].some(({ silent: times }) => times === 1);
    const everyMs = silent ? Math.min(SILENT_EVERY_MS, this.everyMs) : this.everyMs;
    this.timer = setTimeout(() => void this.turn(), Math.max(everyMs - (performance.now() - began), 500));
    this.timer.unref();
  }

  private take(observed: ObservedCluster): void {
    // Without a primary that answers there is other news.
    if (observed.nodes.filter(({ sql }) => sql?.inRecovery === false).length !== 1) {
      this.last = undefined;
      return;
    }
    const findings = readinessFindings(this.access.topology, observed);
    const now: Readiness = { at: observed.at, ready: !findings.some(({ result }) => result === 'refuse'), findings };
    if (this.last !== undefined && readinessKey(this.last) === readinessKey(now)) this.confirmed = now;
    this.last = now;
  }

  private async look(): Promise<ObservedCluster> {
    const deep = this.looks++ % DEEP_EVERY === 0 || this.last === undefined || isOfAMoment(this.last);
    const { topology, name, poolerName } = this.access;
    const [nodes] = await Promise.all([
      Promise.all(topology.postgres.nodes.map(async (node) => this.node(node.name, deep))),
      deep ? this.askConsole() : undefined,
    ]);
    const [primary, second] = nodes.filter(({ sql }) => sql?.inRecovery === false);
    if (primary !== undefined && second === undefined)
      for (const standby of nodes.filter((node) => node.sql?.inRecovery === true)) {
        const connectBack = triedPath(primary, standby);
        if (connectBack !== undefined) standby.connectBack = connectBack;
      }
    if (deep) await this.askClients(nodes);
    for (const node of nodes) {
      const client = this.clients.get(node.name);
      if (client !== undefined && node.sql !== null) node.client = client;
    }
    return {
      cluster: name,
      at: Date.now(),
      docker: { ok: true },
      nodes,
      pooler: { name: poolerName, agent: null, console: this.console },
    };
  }

  /** The primary, whose clients are there, is asked only for a comparison: applications may have something that runs at each login. */
  private async askClients(nodes: readonly ObservedNode[]): Promise<void> {
    const of = (inRecovery: boolean) =>
      nodes.filter(({ sql }) => sql?.inRecovery === inRecovery).map(({ name }) => name);
    this.clients = new Map();
    try {
      const session = await this.pooler?.get();
      if (session === undefined) return;
      this.clients = await clientLogins(this.access, session, of(true), KEPT_MS);
      // Where it may be the same on the primary, that is asked, too.
      if ([...this.clients.values()].some((client) => client.readOnly || isRefused(client)))
        this.clients = new Map([...this.clients, ...(await clientLogins(this.access, session, of(false), KEPT_MS))]);
    } catch {
      // An older agent refuses it, and one that is silent is the watch's matter.
    }
  }

  private async askConsole(): Promise<void> {
    // A console that is silent is the watch's matter.
    this.console = await observeConsole(this.access).catch(() => null);
  }

  private async node(name: string, deep: boolean): Promise<ObservedNode> {
    const seen = this.seen(name);
    await Promise.all([this.askSql(name, seen, deep), this.askAgent(name, seen, deep)]);
    const { promotable, optional } = this.access.node(name);
    const there = seen.sql !== null || seen.agent !== null;
    return {
      name,
      internal: this.access.internal(name),
      promotable,
      optional,
      container: { exists: there, running: there, status: there ? 'running' : 'unknown', restartPolicy: 'unknown' },
      agent: seen.agent,
      sql: seen.sql,
      readiness: { ...seen.readiness },
    };
  }

  private seen(name: string): Seen {
    const found = this.nodes.get(name) ?? { sql: null, agent: null, readiness: { agent: null, sql: null }, silent: 0 };
    this.nodes.set(name, found);
    return found;
  }

  private async askSql(name: string, seen: Seen, deep: boolean): Promise<void> {
    try {
      seen.session ??= await this.access.sql(name, SQL_LIMIT_MS);
      if (this.closed) return seen.session.close();
      if (deep || seen.sql === null) seen.sql = await observeSqlOf(seen.session);
      seen.readiness.sql = await readinessOf(seen.session);
      delete seen.readiness.sqlError;
    } catch (error) {
      seen.session?.close();
      delete seen.session;
      seen.sql = null;
      seen.readiness.sql = null;
      seen.readiness.sqlError = messageOf(error);
    }
  }

  /** Each look asks whether it answers: what a silent one said before is no word on its node, which nobody could promote now. */
  private async askAgent(name: string, seen: Seen, deep: boolean): Promise<void> {
    const held = this.agents.get(name);
    if (held === undefined) return;
    try {
      seen.agent = agentPart(await held.use(OBSERVE_LIMIT_MS, (session) => session.call('observe', {})));
    } catch (error) {
      seen.silent += 1;
      seen.agent = null;
      seen.readiness.agent = null;
      seen.readiness.agentError = messageOf(error);
      return;
    }
    const wasSilent = seen.silent > 0;
    seen.silent = 0;
    if (!deep && !wasSilent) return;
    try {
      const session = await held.get();
      seen.readiness.agent = await session.call(
        'readiness',
        { pooler: this.access.poolerName, keptMs: KEPT_MS },
        AGENT_LIMIT_MS,
      );
      delete seen.readiness.agentError;
    } catch (error) {
      // The session is the watch's own: what is wrong with it is the watch's matter.
      seen.readiness.agent = null;
      seen.readiness.agentError = messageOf(error);
    }
  }
}

/** A commit waits for a moment under any load: two looks agree on that only if both ask. */
function isOfAMoment({ findings }: Readiness): boolean {
  return findings.some(({ id, result }) => result === 'refuse' && (id === 'B2' || id === 'B8'));
}
