import { START_STACK } from '../commands';
import { connectCommand, offNetworksSays, type OffNetworks } from '../off-networks';
import { formatSize } from '../size';
import type { Endpoint } from '../topology';
import { FULL_DISK_BYTES } from './evidence';
import type { Ledger } from './ledger';
import { isForeign } from './ledger-rules';
import { isNamed } from './named-nodes';
import type { GuardPolicy } from './policy';

/** What is known of one PostgreSQL node, for the question whether something was left of a fault. */
export interface MemberFacts {
  name: string;
  optional: boolean;
  /** Docker's word; `unknown` where the engine gave no answer. With the code where it has ended, and its word where that does not tell. */
  container: { status: string; exitCode?: number; toldToStop?: boolean; offNetworks?: OffNetworks };
  /** What it says by SQL; absent where it does not answer. */
  sql?: { inRecovery: boolean; timeline?: number };
  /**
   * Where neither its server nor its agent answers: its files, read from outside, prove that it is a standby (standby-files.ts). The timeline
   * is the newest that its control file names; null where that can't be told. Absent without a proof, or where nobody had to look.
   */
  files?: { timeline: number | null };
  /** What its agent says; absent where it was not asked, or does not answer. */
  agent?: {
    desired: 'up' | 'held' | 'fenced';
    postgres: 'running' | 'starting' | 'stopping' | 'stopped';
    /** A dead-man switch or a job is at work: something is about to change by itself. */
    busy: boolean;
    startGuard: string | null;
    diskFull: boolean;
    /** It has no data: it waits for a primary to copy, or copies one. */
    empty?: boolean;
    /** Its data are a standby's: `standby.signal` lies there, and nobody asked for its promotion. Absent where it was not asked for. */
    standby?: boolean;
    /** The newest timeline that its data took part in; absent where that can't be read. */
    timeline?: number;
    /** From its place in the network it reaches the primary; absent where there is none to reach. */
    reaches?: boolean;
  };
}

/** One look at all of them. */
export interface MembersRound {
  /** Nodes that take writes, by their own word. */
  writable: string[];
  /** The database system of the only one of them; absent where there is none, or another one too. */
  system?: string;
  /** Where the other nodes reach the only one of them; absent as above. */
  primaryAt?: Endpoint;
  /** Nodes to which the only primary streams, or that are about to catch up. */
  streams: string[];
  /** The primary waits for standbys, and none streams: every commit waits. */
  commitsWait: boolean;
  members: MemberFacts[];
}

/** Something that a fault, a fence or a run left, and that is not as it should be. */
export interface LeftOver {
  /** The node; {@link NOBODY} where nobody takes writes. */
  node: string;
  /** Half a sentence: what is so. */
  says: string;
  /** Two looks with the same key: nothing has changed that could make an attempt end otherwise. */
  key: string;
  /** Half a sentence: why nothing is done about it now. Absent where the guard does. */
  leaves?: string;
  /** A person stopped it: the command that takes that back. */
  byHand?: string;
  /** Nobody but a person ends it: the command. */
  next?: string;
  /** It is tried again as soon as it is not so any more: the command that shows whether it still is. */
  look?: string;
  /**
   * The watch itself looks after its container, and starts it where it was killed: no run is needed for that. What it has started is told
   * in sentences beside this, in the watch's result, by the same name; both stand in the histories of guards, and this in their state.
   */
  started?: true;
  /** How long it must have been so before anything is done, in milliseconds. */
  settleMs: number;
  /** It is tried again after this time at the latest, in milliseconds: what an attempt was in vain for ends without a sign. */
  againMs?: number;
}

/** The node of what is left over where nobody takes writes. */
export const NOBODY = 'the primary';

/** A node that restarts, connects anew or is being looked after by its own agent has done so within this time, in milliseconds. */
const SETTLE_MS = 5000;
/** A WAL receiver that lost its primary tries every five seconds. */
const CONNECT_MS = 10_000;
/** An agent that says nothing may have no processor time: ending its container comes after patience. */
const SILENT_MS = 20_000;
/** The guard's failover goes first: it has acted, or was refused, by then. */
const HEADLESS_MS = 5000;
/** The same where a standby was asked for its promotion: whoever asked waits for it, and takes the lock after that. */
const PROMOTES_MS = 15_000;
/** Docker starts a container anew within this time that ended by itself, in milliseconds. */
const RESTART_MS = 1000;
/** Docker says nothing of a disk that answers again where nothing runs on it. */
const HANGS_AGAIN_MS = 30_000;
/** The first wait after an attempt that was in vain doubles up to this, in milliseconds. */
export const MAX_MENDING_BACKOFF_MS = 5 * 60_000;

/** A run that was started has taken its lock within this time, or was refused, in milliseconds. */
export const TAKES_LOCK_MS = 60_000;
/** The first pause while a run is in the way, and the longest, in milliseconds. */
const BUSY_MS = 2000;
const MAX_BUSY_PAUSE_MS = 60_000;

const ended: ReadonlySet<string> = new Set(['exited', 'dead']);

/**
 * A container that was told to end has ended with code 0, or 143 where nobody listened to the signal: `docker stop`, by a person or a
 * tool. One that was killed, ran out of memory or crashed has another code; so has one that did not end in its grace period, of which only
 * the engine can tell that somebody told it to. What a person stopped stays stopped.
 */
export function wasStoppedByHand({ status, exitCode, toldToStop }: MemberFacts['container']): boolean {
  return status === 'created' || (ended.has(status) && (exitCode === 0 || exitCode === 143 || toldToStop === true));
}

/** The nodes that a person stopped, froze or took off the networks, and that are to be left alone. */
export function stoppedByHand({ members }: Pick<MembersRound, 'members'>): string[] {
  return members
    .filter(
      ({ container }) =>
        container.status === 'paused' || wasStoppedByHand(container) || container.offNetworks?.by === 'somebody',
    )
    .map(({ name }) => name);
}

/** How long to wait after so many attempts that were in vain, in milliseconds. */
export function mendingBackoffMs(attempts: number, { backoff }: Pick<GuardPolicy, 'backoff'>): number {
  return Math.min(MAX_MENDING_BACKOFF_MS, backoff * 2 ** Math.max(0, attempts - 1));
}

/**
 * Whether a run that the guard started is in the way of a repair at a moment in which nobody holds the lock of PostgreSQL. Pure. One that
 * has just begun is about to take it. One that goes on without it later copies a node, which may take hours, or watches its soak: what
 * else is left over does not wait for that.
 * @param now milliseconds since the epoch
 */
export function isInTheWay(acting: { since: number } | undefined, now: number): boolean {
  return acting !== undefined && now - acting.since < TAKES_LOCK_MS;
}

/** How long to wait before it is asked again whether a run is in the way, after so many times, in milliseconds: each costs history. */
export function busyPauseMs(times: number): number {
  return Math.min(MAX_BUSY_PAUSE_MS, BUSY_MS * 2 ** Math.max(0, times - 1));
}

/**
 * What was left over and is not as it should be. Pure. Two writable nodes are another matter, and so is a node whose state is about
 * to change by itself: nothing is told of either.
 * @param ledger what the guard knows; absent where nobody had to ask, or nobody answered
 */
export function leftOver(
  round: MembersRound,
  policy: Pick<GuardPolicy, 'standbyLostAfter' | 'onStandbyLost'>,
  ledger?: KnownLedger,
): LeftOver[] {
  const { writable, members, system } = round;
  if (writable.length > 1) return [];
  const [primary] = writable;
  if (primary === undefined) return headless(members, ledger);
  if (ledger !== undefined && system !== undefined && isForeign(ledger, { systemIdentifier: system }))
    return [ofAnotherSystem(primary, system, ledger)];
  return members.flatMap((member) => {
    if (member.name === primary || round.streams.includes(member.name)) return [];
    const found = strayOf(member, primary, round.primaryAt);
    if (found === undefined) return [];
    // While commits wait for it nobody may take the lock from whoever lets them go on.
    const waits = round.commitsWait && policy.onStandbyLost === 'relax' ? policy.standbyLostAfter + SETTLE_MS : 0;
    return [{ ...found, node: member.name, key: keyOf(member), settleMs: Math.max(found.settleMs, waits) }];
  });
}

/** What has to be known of a ledger here. */
export type KnownLedger = Pick<Ledger, 'state' | 'primary' | 'timeline' | 'synchronous' | 'systemIdentifier'>;

/**
 * The only node that takes writes belongs to another database system than the ledger (A4): it was made anew in the place of a node with
 * data, or its data were replaced. It is no primary of this cluster, so nobody takes writes; and as long as it does, nobody can tell which
 * of the two systems is meant. To make the others follow it would throw away what they hold.
 */
const ofAnotherSystem = (node: string, system: string, { systemIdentifier }: KnownLedger): LeftOver => ({
  node: NOBODY,
  says: `nobody takes writes of database system ${systemIdentifier}, which the ledger is about: ${node} takes writes, and belongs to ${system} (A4)`,
  leaves: 'no client is led to it, and no node is made its standby: a person decides which system is meant',
  next: `docker stop ${node}`,
  key: `${node} of another system`,
  settleMs: SETTLE_MS,
});

/** What people are told of it. */
export const wordsOf = ({ says, leaves }: Pick<LeftOver, 'says' | 'leaves'>): string =>
  leaves === undefined ? says : `${says}; ${leaves}`;

/** Why a node is no standby of the primary; undefined where it is about to be one, or nobody can tell. */
function strayOf(
  { name, optional, container, sql, agent }: MemberFacts,
  primary: string,
  primaryAt: Endpoint = { host: primary, port: 5432 },
): Omit<LeftOver, 'node' | 'key'> | undefined {
  const { status } = container;
  const settleMs = SETTLE_MS;
  if (status === 'absent')
    return optional
      ? undefined
      : { says: 'it has no container', leaves: 'somebody has to make one', next: START_STACK, settleMs };
  if (status === 'unknown' || status === 'restarting') return undefined;
  const off = container.offNetworks;
  const stopped = asleep({ name, container });
  // What a person took off its networks has no agent that could be of use, and is left whatever it says.
  if (off?.by === 'somebody' && stopped?.leaves === undefined)
    return { says: offNetworksSays(off), leaves: 'it stays so', byHand: connectCommand(name, off), settleMs };
  if (stopped !== undefined)
    return {
      ...stopped,
      settleMs,
      ...(off === undefined || stopped.leaves !== undefined
        ? {}
        : { says: `${stopped.says}, and ${offNetworksSays(off)}`, againMs: HANGS_AGAIN_MS }),
    };
  if (off !== undefined && agent === undefined)
    return { says: `${offNetworksSays(off)}, and it has not ended yet`, settleMs: SILENT_MS };
  if (agent === undefined) return { says: 'its agent does not answer, and it does not stream', settleMs: SILENT_MS };
  if (agent.busy || agent.postgres === 'starting' || agent.postgres === 'stopping') return undefined;
  const what =
    off !== undefined
      ? offNetworksSays(off)
      : agent.desired !== 'up'
        ? `it is ${agent.desired}`
        : agent.startGuard !== null
          ? `it keeps itself down: ${agent.startGuard}`
          : agent.postgres === 'stopped'
            ? 'its PostgreSQL does not run'
            : sql === undefined
              ? 'its PostgreSQL gives no answer'
              : `${primary} does not stream to it`;
  return {
    says: what,
    ...whatComesFirst({ name, agent, off }, primary, primaryAt),
    settleMs: agent.desired === 'up' && agent.postgres === 'running' ? CONNECT_MS : settleMs,
  };
}

/**
 * What has to change before a node can be made a standby, and what shows whether it has. Never with a figure that changes from look to
 * look: what is told has to be in the same words for a while.
 */
function whatComesFirst(
  { name, agent, off }: { name: string; agent: NonNullable<MemberFacts['agent']>; off: OffNetworks | undefined },
  primary: string,
  { host, port }: Endpoint,
): Pick<LeftOver, 'leaves' | 'look'> {
  if (agent.diskFull)
    return {
      leaves: `its disk is full, less than ${formatSize(FULL_DISK_BYTES)} are free: that has to be mended first`,
      look: `docker exec ${name} df -h /var/lib/postgresql`,
    };
  if (agent.reaches === false && off === undefined)
    return {
      leaves: `it can't reach ${primary} over the network: that has to be mended first`,
      look: `docker exec ${name} pg_isready -h ${host} -p ${port}`,
    };
  return {};
}

/** What Docker says of a container, in half a sentence. */
export const containerWords = ({ status, exitCode }: MemberFacts['container']): string =>
  `its container is ${status}${exitCode === undefined ? '' : `, exit code ${exitCode}`}`;

/** What is to be said of a container that does not run. */
function asleep({
  name,
  container,
}: Pick<MemberFacts, 'name' | 'container'>): Pick<LeftOver, 'says' | 'leaves' | 'byHand'> | undefined {
  const { status } = container;
  if (status === 'paused')
    return { says: 'its container is paused', leaves: 'somebody froze it', byHand: `docker unpause ${name}` };
  if (status !== 'created' && !ended.has(status)) return undefined;
  const says = containerWords(container);
  return wasStoppedByHand(container)
    ? { says, leaves: 'it was told to stop', byHand: `docker start ${name}` }
    : { says };
}

/**
 * Nobody takes writes. Something is done only where every node is accounted for: a standby that answers, a container that does not
 * run, a server that is kept down for good, a node without data. A server that may run somewhere may be the primary, and merely not be
 * seen from here. Where it is the primary itself that was killed, a node of which nobody hears by SQL is accounted for by the proof that
 * it is a standby, too ({@link withProofs}). Else only a standby that was killed is started: a failover needs its word, and it can't become
 * a second primary. An optional node without container counts where the ledger names it: it is told, and the repair leaves it to a person
 * where nobody else has what it may have.
 */
function headless(members: readonly MemberFacts[], ledger: KnownLedger | undefined): LeftOver[] {
  const present = members.filter(
    ({ name, optional, container }) => !(optional && container.status === 'absent') || isNamed(ledger ?? null, name),
  );
  // A cluster that has no data yet is being made.
  const withData = present.filter(({ agent }) => agent?.empty !== true);
  if (withData.length === 0) return [];
  const seen = present.map((member) => accountOf(member));
  const words = seen.includes(undefined) ? withProofs(present, seen, ledger) : seen;
  if (words.includes(undefined)) {
    const named = ledger?.state === 'protected' ? ledger.synchronous : [];
    return present.filter(({ name }) => named.includes(name)).flatMap(killedStandby);
  }
  const found = {
    node: NOBODY,
    says: `nobody takes writes: ${present.map(({ name }, index) => `${name} ${words[index]}`).join(', ')}`,
    key: present.map(keyOf).join(', '),
    settleMs: present.some(wasAsked) ? PROMOTES_MS : HEADLESS_MS,
  };
  const able = withData.some(
    ({ sql, agent, container }) => sql !== undefined || agent !== undefined || isKilled(container),
  );
  return [
    able
      ? found
      : {
          ...found,
          leaves: `every node${withData.length === present.length ? '' : ' with data'} was told to stop`,
          ...startCommand(withData),
        },
  ];
}

/** Starts those that have a container; nothing is to be started where none has one. */
function startCommand(members: readonly MemberFacts[]): Pick<LeftOver, 'byHand'> {
  const names = members.filter(({ container }) => container.status !== 'absent').map(({ name }) => name);
  return names.length === 0 ? {} : { byHand: `docker start ${names.join(' ')}` };
}

/**
 * The same, where the node that the ledger names as the primary was killed: it has all that it ever acknowledged, and is started in its
 * place where nobody can have taken that. A node of which nobody hears by SQL is no primary where its agent says that its data are a
 * standby's, or its files prove it; both say whether it was promoted, and on which timeline it is. A later promotion needs a run that holds
 * the lock of PostgreSQL, which whoever starts the primary holds itself. What can't be told stays unknown.
 */
function withProofs(
  present: readonly MemberFacts[],
  seen: readonly (string | undefined)[],
  ledger: KnownLedger | undefined,
): readonly (string | undefined)[] {
  if (ledger === undefined || !mayReviveIn(present, ledger)) return seen;
  return present.map((member, index) => seen[index] ?? provenStandby(member, ledger.timeline));
}

/** Whether the ledger's primary was killed on its networks, and no node is known to have gone beyond its timeline. */
export function mayReviveIn(present: readonly MemberFacts[], ledger: KnownLedger): boolean {
  const primary = present.find(({ name }) => name === ledger.primary);
  if (ledger.state === 'unknown' || primary === undefined) return false;
  if (!isKilled(primary.container) || primary.container.offNetworks !== undefined) return false;
  return present.every(({ sql, agent, files }) =>
    [sql?.timeline, agent?.timeline, files?.timeline].every((each) => (each ?? 0) <= ledger.timeline),
  );
}

/** Why a node of which nobody hears by SQL is no primary, on a timeline that is not beyond this one; undefined without a proof. */
function provenStandby({ agent, files }: MemberFacts, timeline: number): string | undefined {
  const within = (its: number | null | undefined) => its != null && its <= timeline;
  if (agent?.standby === true && !agent.busy && within(agent.timeline)) return "is a standby by its agent's word";
  return agent === undefined && files !== undefined && within(files.timeline) ? 'is a standby by its files' : undefined;
}

/** It is in recovery, and its agent has a promotion of it on record. */
const wasAsked = ({ sql, agent }: MemberFacts): boolean => sql?.inRecovery === true && agent?.standby === false;

/** One that was killed on its networks: one that was taken off them may hang in its volume still, or a person has it. */
function killedStandby({ name, container }: MemberFacts): LeftOver[] {
  if (!isKilled(container) || container.offNetworks !== undefined) return [];
  return [{ node: name, says: containerWords(container), key: `${name} ended`, started: true, settleMs: RESTART_MS }];
}

/** A container that has ended, and that nobody told to stop. */
export const isKilled = (container: MemberFacts['container']): boolean =>
  ended.has(container.status) && !wasStoppedByHand(container);

function accountOf({ container, sql, agent }: MemberFacts): string | undefined {
  if (sql !== undefined) return 'is a standby';
  if (['exited', 'dead', 'created', 'absent'].includes(container.status)) return `is ${container.status}`;
  if (agent === undefined || agent.busy) return undefined;
  // Its first start goes on for as long as there is nobody to copy: it waits for the very primary that does not run.
  if (agent.empty === true) return 'has no data yet';
  if (agent.postgres !== 'stopped') return undefined;
  if (agent.startGuard !== null) return 'keeps itself down';
  return agent.desired === 'up' ? undefined : `is ${agent.desired}`;
}

/** Coarse on purpose: a server that crashes again and again is no change, and neither is what an attempt did to it. */
function keyOf({ name, container, agent }: MemberFacts): string {
  const way =
    agent === undefined
      ? 'silent'
      : `${agent.reaches === false ? 'cut off' : 'reached'}${agent.diskFull ? ', full' : ''}`;
  const off = container.offNetworks === undefined ? '' : `, off its networks by ${container.offNetworks.by}`;
  return `${name} ${ended.has(container.status) ? 'ended' : container.status}, ${way}${off}`;
}
