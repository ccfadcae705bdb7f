import type { Ledger } from '../../../../src/cluster/guard/ledger';
import type { Token } from '../../../../src/systems/agent';
import { slotName } from '../../../../src/cluster/topology';
import {
  FakeEngine,
  FakeServers,
  POOLER,
  PRIMARY,
  primaryRow,
  Refusal,
  silence,
  STANDBY,
  STANDBY_2,
  standbyRow,
  wellObserved,
} from './fake-engine';

/** A ledger by which every commit of the primary is on its standby, confirmed this moment. */
export const protectedLedger = (now = Date.now()): Ledger => ({
  version: 1,
  state: 'protected',
  primary: PRIMARY,
  timeline: 3,
  epoch: 1,
  synchronous: [STANDBY],
  names: 'veloz_standby',
  since: now,
  why: `${STANDBY} confirms each commit before it is acknowledged`,
  confirmedAt: now,
});

/** Names by the ports under which the picture's servers are reached. */
const names: Record<number, string> = { 15432: PRIMARY, 15433: STANDBY, 15434: STANDBY_2 };

/**
 * A primary and a standby, with agents that keep claims, fences and promotions on record as real ones do, and a pooler. A third node is
 * in the topology and has no container.
 */
export class ActingCluster {
  readonly engine = new FakeEngine();
  readonly servers = new FakeServers();
  /** Who has claimed each node. */
  readonly claims = new Map<string, Token>();
  /** Which run asked for a node's promotion. */
  readonly promotions = new Map<string, { run: string; atMs: number }>();
  /** Which run fenced a node for good. */
  readonly fences = new Map<string, { run: string; wasPrimary: boolean; atMs: number }>();
  /** Where the WAL on a node's disk ends, as its agent reads it; undefined where that can't be read. */
  readonly walEnds = new Map<string, { timeline: number; lsn: string } | undefined>([
    [PRIMARY, { timeline: 3, lsn: '0/5000000' }],
  ]);
  /** Where a promotion leaves the old timeline; that of what the standby has received, unless a test says otherwise. */
  leftAt: string | undefined;
  /** Files in `pg_wal` of a node, by name. */
  readonly walFiles = new Map<string, Buffer>();
  /** Up to where the standby has received. */
  received = '0/5000000';
  /** Up to where the primary has written. */
  written = '0/5000000';
  /** The run whose hold is in place. */
  hold: Token | undefined;
  route = PRIMARY;
  /** The servers that don't answer. */
  readonly down = new Set<string>([STANDBY_2]);
  primary = PRIMARY;
  /** How long a promotion takes, in milliseconds. */
  promotionMs = 0;
  /** Changing commands that were carried out: `<node> <command> <attempt>`. */
  readonly did: string[] = [];
  /** Called before each of an agent's commands; what it returns is answered instead. */
  before: (node: string, command: string, args: Record<string, unknown>) => unknown = () => undefined;

  constructor() {
    this.engine.status[STANDBY_2] = 'absent';
    Object.assign(this.engine.deps, { environment: { VELOZ_PG_HA_PASSWORD: 'x', VELOZ_PG_PASSWORD: 'x' } });
    this.engine.onPutFile = (node) =>
      this.fences.set(node, { run: String(this.engine.files.at(-1)?.content.run), wasPrimary: true, atMs: 7 });
    this.engine.nodeFile = (node, path) => {
      const name = path.replace('/var/lib/postgresql/data/pg_wal/', '');
      if (name === '00000004.history' && this.promotions.has(node))
        return `1\t0/3000000\tno recovery target specified\n3\t${this.leftAt ?? this.received}\tno recovery target specified\n`;
      return this.walFiles.get(name);
    };
    this.engine.agent = (node, command, args) => this.before(node, command, args) ?? this.answer(node, command, args);
    this.servers.connect = (node) => (this.down.has(node) ? new Error('connect ECONNREFUSED') : undefined);
    this.servers.answer = (node, sql) => this.query(node, sql);
  }

  /** In place of `connectPostgres`. */
  readonly connect = (
    { port }: { port: number },
    _login: unknown,
    limitMs?: number,
    options?: { onEnd?: () => void },
  ) => this.servers.sql(names[port] ?? 'pooler', limitMs, options);

  /** The container of a node has ended. */
  kill(node = PRIMARY): void {
    this.engine.status[node] = 'exited';
    this.stop(node);
  }

  /** The container of the primary ends by somebody's signal, and Docker tells the events before it tells the state. */
  killBySignal(): void {
    this.engine.events?.onEvent('kill');
    this.kill();
  }

  /** The server of a node ends. */
  stop(node: string): void {
    this.down.add(node);
    for (const { node: of, session } of this.servers.sessions) if (of === node && !session.closed) session.cut();
    if (node === PRIMARY) this.engine.events?.onEvent('die');
  }

  /** The container of the primary is frozen: it answers nobody. */
  freeze(): void {
    this.engine.status[PRIMARY] = 'paused';
    this.down.add(PRIMARY);
  }

  /** A frozen primary goes on. */
  thaw(): void {
    this.engine.status[PRIMARY] = 'running';
    this.down.delete(PRIMARY);
  }

  /** The primary is cut off its network: its server runs, and only Docker leads to its agent. */
  isolate(): void {
    this.down.add(PRIMARY);
  }

  private row(node: string): Record<string, unknown> {
    const writable = node === this.primary;
    const row = {
      ...(writable ? primaryRow : standbyRow),
      ...(writable ? { lsn: this.written, flushed: this.written } : {}),
      timeline: this.promotions.has(node) ? 4 : 3,
      in_recovery: !writable,
      names: writable ? 'veloz_standby' : null,
      standbys: writable
        ? [{ slot: slotName(STANDBY), syncState: 'sync', state: 'streaming', flush: '0/5000000' }]
        : null,
      received: this.received,
      replayed: this.received,
      applyDelayMs: 0,
      segment: 1024 ** 2,
      status: null,
    };
    return row;
  }

  private query(node: string, sql: string): unknown {
    if (this.down.has(node)) return new Error('Connection terminated');
    if (sql.includes('FROM pg_stat_wal_receiver WHERE pid IS NOT NULL') && sql.startsWith('SELECT 1')) return [];
    if (sql.startsWith(`SELECT current_setting('synchronous_standby_names')`)) return { names: '' };
    return this.row(node);
  }

  private answer(node: string, command: string, args: Record<string, unknown>): unknown {
    const token = args.token as Token | undefined;
    const owner = this.claims.get(node);
    if (command === 'observe') return this.observed(node);
    if (command === 'walEnd') return this.walEnd(node, args);
    if (command === 'ask')
      return {
        answers: (args.addresses as unknown[]).map(() => ({
          writable: false,
          standby: false,
          speaks: false,
          problem: 'refused',
          ms: 1,
        })),
      };
    if (token === undefined) return new Refusal('BadRequest', `${command} is not in this play`);
    if (command === 'claim') {
      if (owner?.run === token.run && token.attempt < owner.attempt) return superseded(token, owner);
      this.claims.set(node, token);
      return {};
    }
    if (owner?.run !== token.run || owner.attempt !== token.attempt) return superseded(token, owner);
    return this.carriedOut(node, command, token, args);
  }

  private walEnd(node: string, { fromLsn }: Record<string, unknown>): unknown {
    const end = this.walEnds.get(node);
    if (fromLsn === undefined && !this.fences.has(node)) return new Refusal('Running', 'PostgreSQL runs here.');
    return end === undefined
      ? new Refusal('WalEndTimeout', 'Reading the WAL took longer than 10 s.')
      : { ...end, systemIdentifier: '77', state: 'in production' };
  }

  private carriedOut(node: string, command: string, token: Token, args: Record<string, unknown>): unknown {
    if (command !== 'hold' || this.hold === undefined) this.did.push(`${node} ${command} ${token.attempt}`);
    switch (command) {
      case 'forget':
        this.claims.delete(node);
        break;
      case 'hold':
        this.hold ??= token;
        break;
      case 'release':
        this.hold = undefined;
        break;
      case 'route':
        this.route = args.host as string;
        break;
      case 'fenceNow':
        this.fences.set(node, { run: token.run, wasPrimary: true, atMs: 7 });
        this.stop(node);
        return { already: false, ms: 20, control: null };
      case 'start':
        this.fences.delete(node);
        this.down.delete(node);
        break;
      case 'promote':
        this.promotions.set(node, { run: token.run, atMs: 8 });
        if (this.promotionMs === 0) this.primary = node;
        else setTimeout(() => (this.primary = node), this.promotionMs);
        break;
    }
    return { already: false, ms: 1 };
  }

  private observed(node: string): unknown {
    if (node === POOLER)
      return {
        token: this.claims.get(node) ?? null,
        hold: this.hold === undefined ? null : { state: 'holding', sinceMs: 5, remainingMs: 4000, token: this.hold },
      };
    return {
      ...wellObserved,
      postgres: { ...wellObserved.postgres, state: this.down.has(node) ? 'stopped' : 'running' },
      desired: this.fences.has(node) ? 'fenced' : 'up',
      token: this.claims.get(node) ?? null,
      promotion: this.promotions.get(node) ?? null,
      fencedBy: this.fences.get(node) ?? null,
    };
  }
}

const superseded = (token: Token, owner: Token | undefined) =>
  new Refusal(
    'Superseded',
    `Run ${token.run} attempt ${token.attempt} was refused: this node belongs to run ${owner?.run ?? 'nobody'} attempt ${owner?.attempt ?? 0}.`,
  );

export { POOLER, PRIMARY, Refusal, silence, STANDBY, STANDBY_2 };
