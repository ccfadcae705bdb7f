import { safeByHand } from '../../cluster/guard/by-hand';
import { FULL_DISK_BYTES } from '../../cluster/guard/evidence';
import {
  leftOver,
  stoppedByHand,
  wordsOf,
  type LeftOver,
  type MemberFacts,
  type MembersRound,
} from '../../cluster/guard/mending';
import { copyLock } from '../../cluster/locks';
import type { NodeAnswer } from '../../cluster/guard/signals';
import { tooFewConfirm } from '../../cluster/guard/standby-loss';
import { openPostgresAgent, type PostgresAgent } from '../../systems/agent';
import { keepBeating } from '../context';
import { accessCluster, type ActivityDeps, type ClusterAccess } from '../deps';
import { howItEnded } from '../how-it-ended';
import { offNetworks } from '../put-back';
import { prepares } from '../rejoin/parts';
import { Astray } from './astray';
import { EndedContainers } from './ended-containers';
import { askFrom, HeldAgent } from './held-agents';
import { KilledStandbys } from './killed-standbys';
import { LedgerOfLook } from './known-ledger';
import { NodeProbe, withinLimit } from './probe';
import { SilentPooler } from './silent-pooler';
import { StoppedAgents } from './stopped-agents';
import { endOfStretch } from './stretch';

/** What the guard asks of one stretch of looking after what is left over. Names and numbers only. */
export interface MembersWatchRequest {
  cluster: string;
  /** A run may be started about it: else it is only told. */
  mayAct: boolean;
  /**
   * Containers that a client's way, the Sentinels or a failover need may be started, also while a run is at work on something else.
   * Absent where a version before this one asked: then as `mayAct` says.
   */
  mayStart?: boolean;
  /**
   * What the guard knows to be left over: with what key an attempt ended in vain, and when the next one is due, by Temporal's clock.
   * `waitMs` is for how long that is off as this stretch begins: it counts by a clock that no step moves. Absent where a version before
   * this one asked.
   */
  known: { node: string; says: string; key: string | null; notBefore: number; waitMs?: number }[];
  /** Return after this time, in milliseconds, if nothing happens. */
  forMs: number;
}

/** Why a stretch ended, and what was seen then. */
export interface MembersWatchResult {
  /** `due`: something is to be done now. `sees`: what is left over has changed. `quiet`: neither. */
  why: 'due' | 'sees' | 'quiet';
  leftOver: LeftOver[];
  /** The nodes that are due. */
  due: string[];
  /** Nodes that a person stopped. */
  byHand: string[];
  /** Containers that the watch has started, and agents that it has woken, each in a sentence. They are left over no more. */
  started?: string[];
  /** Standbys among them, which answer: what a failover was refused for may be possible now. */
  answering?: string[];
}

/** How often all is looked at while it is well, and while something is odd, in milliseconds. */
const EVERY_MS = 2000;
const ODD_EVERY_MS = 1000;
/** How long a node or an agent may take to answer, in milliseconds. */
const LIMIT_MS = 1000;
/** What is so for this long is told in these words, in milliseconds. */
const LASTS_MS = 5000;
/** A lock that is held is asked for again after this time, in milliseconds. */
const LOCK_EVERY_MS = 1000;

/**
 * Looks after the nodes that a fault, a fence or a run left in a state that does not change by itself, until the guard has to know, or
 * the time is over. Changes nothing but that it starts containers: those through which clients come, the Sentinels, and killed standbys
 * of a primary that gives no answer; and that it wakes agents that somebody stopped by a signal. Nothing of it stands in the workflow's history.
 */
export async function watchMembers(deps: ActivityDeps, request: MembersWatchRequest): Promise<MembersWatchResult> {
  const access = accessCluster(deps, request.cluster);
  const policy = access.topology.guard;
  const stopBeating = keepBeating(() => 'watching', 600);
  const ends = endOfStretch(deps, request.forMs);
  const look = new MembersLook(deps, access);
  const mayStart = request.mayStart ?? request.mayAct;
  const containers = new EndedContainers(deps, access, mayStart, request.known);
  const pooler = new SilentPooler(deps, access, request.known, mayStart);
  const agents = new StoppedAgents(deps, access, mayStart);
  const standbys = new KilledStandbys(deps, access, mayStart);
  const ledgers = new LedgerOfLook(deps, access);
  const astray = Astray.of(deps, request.cluster);
  const begunAt = performance.now();
  const words = new Map<string, { says: string; at: number }>();
  const keys = new Map(request.known.map(({ node, key }) => [node, key]));
  let lockedUntil = 0;
  try {
    for (;;) {
      agents.look();
      const [seenNow, ended] = await Promise.all([look.round(), containers.look()]);
      const { round, ledger } = await ledgers.of(seenNow);
      const members = leftOver(round, policy, ledger);
      const started = await standbys.start(members.filter((each) => each.started === true));
      // A container that was killed or frozen is told as that.
      const hangs = pooler.look(round).filter(({ node }) => !ended.some((each) => each.node === node));
      const around = { ...round, cluster: request.cluster, pooler: access.poolerName };
      const found = [...members.filter((each) => each.started !== true), ...started, ...ended, ...hangs].map((each) =>
        safeByHand(each, around),
      );
      const byHand = stoppedByHand(round);
      const now = performance.now();
      const justTried = found.filter(({ node }) => keys.get(node) === null).map(({ node }) => node);
      astray.look(found, round, now, justTried);
      for (const { node, key } of found) {
        // What an attempt left is where the next change counts from.
        if (keys.get(node) === null) keys.set(node, key);
      }
      for (const each of found) {
        if (words.get(each.node)?.says !== wordsOf(each)) words.set(each.node, { says: wordsOf(each), at: now });
      }
      const settled = found.filter(({ node, settleMs }) => astray.forMs(node, now) >= settleMs);
      // What is known already stays told until it is over, also while it changes.
      const told = found.filter(
        (each) => settled.includes(each) || request.known.some(({ node }) => node === each.node),
      );
      const forMs = ({ node }: LeftOver) => Math.min(astray.forMs(node, now), now - begunAt);
      const due = request.mayAct
        ? settled.filter((each) => isDue(each, request, keys, forMs(each), now - begunAt))
        : [];
      const answering = standbys.takeAnswering(round);
      const startedSays = [
        ...containers.takeStarted(),
        ...pooler.takeStarted(),
        ...agents.takeWoken(),
        ...answering.map(({ says }) => says),
      ];
      const seen = {
        leftOver: told,
        byHand,
        ...(startedSays.length === 0 ? {} : { started: startedSays }),
        ...(answering.length === 0 ? {} : { answering: answering.map(({ node }) => node) }),
      };
      if (due.length > 0 && now >= lockedUntil) {
        const free = await freeOf(deps, request.cluster, due);
        if (free.length > 0) return { why: 'due', ...seen, due: free };
        lockedUntil = now + LOCK_EVERY_MS;
      }
      // A server that crashes again and again would be in other words at each look.
      const lasting = settled.filter(({ node }) => now - (words.get(node)?.at ?? now) >= LASTS_MS);
      if (startedSays.length > 0 || differs(request, found, lasting)) return { why: 'sees', ...seen, due: [] };
      if (ends.over()) return { why: 'quiet', ...seen, due: [] };
      await pause(found.length > 0 || look.odd ? ODD_EVERY_MS : EVERY_MS, ends.signal);
    }
  } finally {
    stopBeating();
    look.close();
    containers.close();
    pooler.close();
    agents.close();
    ends.close();
  }
}

/** The nodes that no run has at this moment: neither PostgreSQL as a whole nor, for a copy, the node alone. */
async function freeOf(deps: ActivityDeps, cluster: string, due: readonly LeftOver[]): Promise<string[]> {
  if ((await deps.lockHolder(cluster)) !== undefined) return [];
  const nodes = due.map(({ node }) => node);
  const copied = await Promise.all(nodes.map((node) => deps.lockHolder(cluster, copyLock(node))));
  return nodes.filter((_node, index) => copied[index] === undefined);
}

/**
 * Its time has come, or something has changed since the last attempt.
 * @param forMs for how long it has been so while this stretch looks: each attempt ends one
 * @param stretchMs for how long this stretch has looked
 */
export function isDue(
  { node, key, leaves, started: byWatch, againMs = Infinity }: LeftOver,
  { known }: Pick<MembersWatchRequest, 'known'>,
  keys: ReadonlyMap<string, string | null>,
  forMs: number,
  stretchMs: number,
): boolean {
  // What the watch starts itself needs no run.
  if (leaves !== undefined || byWatch === true) return false;
  if (forMs >= againMs) return true;
  const before = known.find((each) => each.node === node);
  if (before === undefined) return true;
  const { waitMs, notBefore } = before;
  // The worker's clock may be minutes off that of Temporal's server, by which the guard counts.
  const over = waitMs === undefined ? Date.now() >= notBefore : stretchMs >= waitMs;
  return over || keys.get(node) !== key;
}

/** People are told something else than they were: something new, something in other words, or that it is over. */
function differs({ known }: MembersWatchRequest, found: readonly LeftOver[], lasting: readonly LeftOver[]): boolean {
  if (known.some(({ node }) => !found.some((each) => each.node === node))) return true;
  return lasting.some(({ node, says, leaves }) => {
    const told = known.find((each) => each.node === node);
    return told === undefined || told.says !== wordsOf({ says, leaves });
  });
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end, { once: true });
  });
}

/** Sessions with every node that are opened once and kept; agents are asked only of nodes that are not as they should be. */
class MembersLook {
  /** The last look found nobody writable, or somebody who does not stream. */
  odd = false;
  private readonly probes: NodeProbe[];
  private readonly agents = new Map<string, HeldAgent<PostgresAgent>>();

  constructor(
    private readonly deps: ActivityDeps,
    private readonly access: ClusterAccess,
  ) {
    const { nodes } = access.topology.postgres;
    this.probes = nodes.map(({ name }) => new NodeProbe(access, name, LIMIT_MS, () => undefined));
    for (const { name } of nodes)
      this.agents.set(name, new HeldAgent(name, () => openPostgresAgent(deps.docker, name)));
  }

  close(): void {
    for (const probe of this.probes) probe.close();
    for (const agent of this.agents.values()) agent.close();
  }

  async round(): Promise<MembersRound> {
    const answers = await Promise.all(this.probes.map((probe) => probe.ask()));
    const primaries = answers.filter(({ answered, inRecovery }) => answered && inRecovery === false);
    const [only, another] = primaries;
    const primary = another === undefined ? only : undefined;
    const streams = (primary?.standbys ?? []).map(({ node }) => node);
    const members = await Promise.all(answers.map((answer) => this.member(answer, primary, streams)));
    this.odd = primary === undefined || members.some(({ name }) => name !== primary.name && !streams.includes(name));
    return {
      writable: primaries.map(({ name }) => name),
      ...(primary?.systemIdentifier === undefined ? {} : { system: primary.systemIdentifier }),
      ...(primary === undefined ? {} : { primaryAt: this.access.internal(primary.name) }),
      streams,
      commitsWait: primary !== undefined && tooFewConfirm(primary),
      members,
    };
  }

  private async member(
    { name, answered, inRecovery, timeline }: NodeAnswer,
    primary: NodeAnswer | undefined,
    streams: readonly string[],
  ): Promise<MemberFacts> {
    const { optional } = this.access.node(name);
    const sql = answered
      ? { sql: { inRecovery: inRecovery !== false, ...(timeline === undefined ? {} : { timeline }) } }
      : {};
    // Nothing more is to be known of those who are well.
    if (name === primary?.name || streams.includes(name))
      return { name, optional, container: { status: 'running' }, ...sql };
    const container = await this.container(name);
    if (container.status !== 'running') return { name, optional, container, ...sql };
    const agent = await this.agent(name, primary?.name);
    return { name, optional, container, ...sql, ...(agent === undefined ? {} : { agent }) };
  }

  private async container(name: string): Promise<MemberFacts['container']> {
    try {
      const { status, exitCode, toldToStop } = await howItEnded(this.deps.docker, name, LIMIT_MS);
      const off =
        status === 'absent'
          ? undefined
          : await withinLimit(offNetworks(this.deps.docker, name), LIMIT_MS).catch(() => undefined);
      return {
        status,
        ...(exitCode === undefined ? {} : { exitCode }),
        ...(toldToStop === undefined ? {} : { toldToStop }),
        ...(off === undefined ? {} : { offNetworks: off }),
      };
    } catch {
      return { status: 'unknown' };
    }
  }

  private async agent(name: string, primary: string | undefined): Promise<MemberFacts['agent']> {
    const held = this.agents.get(name);
    if (held === undefined) return undefined;
    try {
      const said = await held.use(LIMIT_MS, (session) => session.call('observe', {}));
      const asked =
        primary === undefined ? undefined : await askFrom(held, this.access.internal(primary), LIMIT_MS / 2);
      return {
        desired: said.desired,
        postgres: said.postgres.state,
        busy: said.deadman !== null || said.job?.state === 'running',
        startGuard: said.startGuard,
        diskFull: said.disk.freeBytes < FULL_DISK_BYTES,
        empty: prepares(said),
        standby: said.signals.standby && said.promotion === null,
        ...(said.control === null ? {} : { timeline: said.control.timeline }),
        ...(asked?.answered === true ? { reaches: asked.sees } : {}),
      };
    } catch {
      return undefined;
    }
  }
}
