import { formatMs } from '../duration';
import { lsnBytes, type Lsn } from '../lsn';
import type { Ledger } from './ledger';
import { isWritable } from './rounds';
import type { NodeAnswer, Round } from './signals';

/*
 * What the ledger alone does not tell about a primary that says `protected`, and what a failover has to know of the moments before it:
 *
 * - Commits that wait for nobody. A wait that is cancelled (pg_cancel_backend, a driver's time limit, Ctrl-C) ends with a WARNING, and the
 *   commit is acknowledged although no standby has it (PostgreSQL 17, SyncRepWaitForLSN). No view tells of that. So where commits waited
 *   and no standby confirmed, whoever takes over has to have all that the primary had written, or the primary's own WAL is asked.
 * - Who confirms. A walsender is known by its slot, and whoever takes the slot of a standby that is down confirms in its name: a copy of its
 *   volume, `pg_receivewal --synchronous`. So whoever takes over has to have what was confirmed, by the primary's own word, and a connection
 *   counts for the standby once that says itself that it streams.
 * - What the primary has. Its data may be replaced by older ones (a volume, a snapshot of its machine), or its disk lose what it had
 *   written. A standby that had more goes on confirming it, and PostgreSQL acknowledges commits up to there which no standby has. A
 *   primary sends nothing that is not on its own disk, so one that has less than a standby has replayed is another history from then on.
 *
 * It moves with each round and is kept as `confirmedAt` is: in the watch's heartbeat, and in the ledger as of the last news.
 */

/** What was heard of the standbys' confirmations when the ledger's primary answered last. */
export interface Heard {
  /** Milliseconds since the epoch of that round. */
  at: number;
  /** The furthest position that the primary ever named, on the ledger's timeline, as confirmed over a slot that commits wait for. */
  confirmed?: Lsn;
  /** The furthest position up to which the primary ever said, on the ledger's timeline, that its own disk has its WAL. */
  flushed?: Lsn;
  /**
   * The furthest position that a standby which streams from the primary ever said, on the ledger's timeline, to have replayed. Records of
   * which only the beginning reached the disk are flushed and sent as well, and given up by a primary that crashes; none is ever replayed.
   */
  replayed?: Lsn;
  /** The primary has less than that by its own word; absent while it was never seen so. */
  wentBack?: WentBack;
  /** Commits wait, or one would, and no standby confirms; absent while one does. */
  waiting?: Waiting;
  /** Every standby that may confirm, and since when over this connection. */
  connections?: Readonly<Record<string, Connection>>;
}

/** The primary's WAL ended before what a standby had replayed of it. */
export interface WentBack {
  /** Milliseconds since the epoch of the round that saw it. */
  at: number;
  /** What a standby had replayed. */
  from: Lsn;
  /** What the primary had on its disk then. */
  to: Lsn;
  /** Nodes that have said since, by their own word, that they have replayed more than the primary had; absent where none has. */
  by?: readonly string[];
}

/** Commits wait, or one would, and no standby confirms. */
export interface Waiting {
  /** Milliseconds since the epoch of the first round that saw it, and of the newest one. */
  since: number;
  until: number;
  /** What the primary had on its disk then: the end of what may have been acknowledged without a standby. */
  upTo: Lsn;
  /** A standby confirms again, and has not come to `upTo` yet. */
  again?: true;
}

/** A walsender that serves the slot of a node. */
export interface Connection {
  /** Its process on the primary; absent where the primary does not tell. */
  pid?: number;
  /** Milliseconds since the epoch of the first round that saw it. */
  since: number;
  /** The node itself said, over this connection's time, that it streams. */
  vouched?: true;
}

/** Seen over this time, in milliseconds, and in two rounds: under load a standby is behind in any one of them. */
const IN_VAIN_MS = 100;
/** Longer than the answer of a standby in a round may be old, in milliseconds. */
export const OLDER_THAN_ANSWERS_MS = 1000;
/** How long a standby may leave open whether a connection over its slot is its own, in milliseconds: it starts, or is paused meanwhile. */
const VOUCHED_WITHIN_MS = 3000;
/** How the `why` of a ledger begins while somebody else may confirm for a standby. */
export const NOT_ITSELF = 'somebody else may confirm commits';

/** States of `pg_stat_replication.sync_state` in which a commit may rest on the node alone, now or a millisecond later. */
export const mayConfirm: ReadonlySet<string> = new Set(['sync', 'quorum', 'potential']);

/** Does the primary say that commits wait for it, and go on by its word? */
export const confirms = ({ state, syncState }: { state: string; syncState: string }): boolean =>
  state === 'streaming' && (syncState === 'sync' || syncState === 'quorum');

/** The later of two positions. */
const further = (a: Lsn | undefined, b: Lsn | undefined): Lsn | undefined =>
  a === undefined || (b !== undefined && lsnBytes(b) > lsnBytes(a)) ? b : a;

/**
 * What a round adds to what was heard. Pure. Only an answer of the ledger's primary, on the ledger's timeline, adds anything.
 * @param previous what the primary answered in the round before; undefined where there was none
 */
export function heardAfter(
  before: Heard | undefined,
  { primary, timeline }: Pick<Ledger, 'primary' | 'timeline'>,
  round: Round,
  previous: NodeAnswer | undefined,
): Heard | undefined {
  const { sql, at } = round;
  if (sql.name !== primary || !isWritable(sql) || sql.timeline !== timeline) return before;
  const connected = (sql.standbys ?? []).filter(({ syncState }) => mayConfirm.has(syncState));
  const wentBack = wentBackAfter(before, round, connected);
  // Those who follow it by now have its history: what was heard before is of another one.
  const kept = before?.wentBack !== undefined && wentBack === undefined ? undefined : before;
  const confirmed = connected.reduce((furthest, { flush }) => further(furthest, flush), kept?.confirmed);
  const flushed = further(kept?.flushed, sql.flushed ?? undefined);
  const replayed = ownAnswers(round, connected).reduce(
    (furthest, answer) => further(furthest, answer.timeline === timeline ? answer.replayed : undefined),
    kept?.replayed,
  );
  const waiting = waitingAfter(kept?.waiting, at, sql, previous);
  const connections = connectionsAfter(before?.connections ?? {}, round, connected);
  return {
    at,
    ...(confirmed === undefined ? {} : { confirmed }),
    ...(flushed === undefined ? {} : { flushed }),
    ...(replayed === undefined ? {} : { replayed }),
    ...(wentBack === undefined ? {} : { wentBack }),
    ...(waiting === undefined ? {} : { waiting }),
    ...(Object.keys(connections).length === 0 ? {} : { connections }),
  };
}

/** What the standbys that are connected say themselves in this round, as far as they stream. */
const ownAnswers = ({ others }: Round, connected: NonNullable<NodeAnswer['standbys']>): NodeAnswer[] =>
  connected.flatMap(({ node }) => others.filter((other) => other.name === node && streamsItself(other)));

/**
 * It is held against what was heard in the rounds before: of answers in one round nobody knows which was first. It is over where every
 * standby that is connected, and everybody who has said to have more, streams and has no more than the primary, while that is still behind
 * what was replayed before: they were copied from it. One that was not copied is refused by the primary until that is past what it has,
 * and follows then with another history in its data. Once the primary is past that, no position tells the two apart, and only people can
 * say that it is over.
 */
function wentBackAfter(
  before: Heard | undefined,
  round: Round,
  connected: NonNullable<NodeAnswer['standbys']>,
): WentBack | undefined {
  const { sql, at } = round;
  const known = before?.wentBack;
  if (sql.flushed === undefined) return known;
  const to = sql.flushed;
  const isBehind = (mark: Lsn | undefined): mark is Lsn => mark !== undefined && lsnBytes(to) < lsnBytes(mark);
  const ahead = round.others
    .filter(
      (other) => other.answered && other.inRecovery === true && isOfItsSystem(other, sql) && isBehind(other.replayed),
    )
    .map(({ name }) => name);
  if (known === undefined)
    return isBehind(before?.replayed) ? withBy({ at, from: before.replayed, to }, ahead) : undefined;
  const by = [...new Set([...(known.by ?? []), ...ahead])].sort();
  const own = ownAnswers(round, connected);
  const follow =
    connected.length > 0 &&
    own.length === connected.length &&
    by.every((node) => own.some(({ name }) => name === node)) &&
    own.every(({ replayed, timeline }) => timeline === sql.timeline && replayed !== undefined && !isBehind(replayed));
  return follow && isBehind(known.from) ? undefined : withBy(known, by);
}

const withBy = (wentBack: WentBack, by: readonly string[]): WentBack =>
  by.length === 0 ? wentBack : { ...wentBack, by };

/** Of the same database system, as far as both tell: positions of another one say nothing. */
const isOfItsSystem = (one: NodeAnswer, other: NodeAnswer): boolean =>
  one.systemIdentifier === undefined ||
  other.systemIdentifier === undefined ||
  one.systemIdentifier === other.systemIdentifier;

function waitingAfter(
  before: Waiting | undefined,
  at: number,
  sql: NodeAnswer,
  previous: NodeAnswer | undefined,
): Waiting | undefined {
  if ((sql.names ?? '').trim() === '') return undefined;
  // What hangs on the primary's own disk is sent to nobody, and acknowledged to nobody.
  const upTo = sql.flushed ?? sql.lsn;
  const confirming = (sql.standbys ?? []).filter(confirms);
  if (upTo === undefined || confirming.some(({ flush }) => flush === undefined)) return before;
  const has = (mark: Lsn) => confirming.some(({ flush }) => flush !== undefined && lsnBytes(flush) >= lsnBytes(mark));
  if (has(upTo)) return undefined;
  const moved = confirming.some(({ node, flush }) => {
    const earlier = previous?.standbys?.find((each) => each.node === node)?.flush;
    return earlier !== undefined && flush !== undefined && lsnBytes(flush) > lsnBytes(earlier);
  });
  const known = confirming.length === 0 || previous?.standbys !== undefined;
  if (known && !moved) return { since: before?.since ?? at, until: at, upTo };
  if (before === undefined || !isInVain(before)) return undefined;
  if (!known) return { since: before.since, until: at, upTo };
  if (before.again === true) return has(before.upTo) ? undefined : before;
  // Between the newest round without a confirmation and this one a wait may still have been cancelled.
  return { ...before, upTo, again: true };
}

function connectionsAfter(
  before: Readonly<Record<string, Connection>>,
  { at, others }: Round,
  connected: NonNullable<NodeAnswer['standbys']>,
): Record<string, Connection> {
  return Object.fromEntries(
    connected.map(({ node, pid }): [string, Connection] => {
      const known = before[node];
      const since = known !== undefined && known.pid === pid ? known.since : at;
      const own = others.find(({ name }) => name === node);
      const vouched =
        (known?.since === since && known.vouched === true) ||
        (at - since >= OLDER_THAN_ANSWERS_MS && own !== undefined && streamsItself(own));
      return [node, { ...(pid === undefined ? {} : { pid }), since, ...(vouched ? { vouched } : {}) }];
    }),
  );
}

/** Does the node say itself that it is a standby that streams? */
export function streamsItself({ answered, inRecovery, receiver }: NodeAnswer): boolean {
  return answered && inRecovery === true && (receiver === undefined || receiver === 'streaming');
}

/** The furthest position that the ledger's primary had on its own disk for certain, by its own word; undefined where it was never heard. */
export const hadAtLeast = ({ heard }: Pick<Ledger, 'heard'>): Lsn | undefined =>
  [heard?.confirmed, heard?.flushed, heard?.waiting?.upTo].reduce(further, undefined);

/** Have commits waited for nobody, for longer than a standby is behind under load? */
export function isInVain(waiting: Waiting | undefined): boolean {
  return waiting !== undefined && waiting.until - waiting.since >= IN_VAIN_MS;
}

/** May a commit whose wait was cancelled be on the primary alone, as far as the standbys' own answers in this round tell? */
export function mayBeAlone(heard: Heard | undefined, { others }: Pick<Round, 'others'>, timeline: number): boolean {
  const waiting = heard?.waiting;
  if (waiting === undefined || !isInVain(waiting)) return false;
  return !others.some(
    (other) =>
      other.answered &&
      other.inRecovery === true &&
      other.timeline === timeline &&
      other.lsn !== undefined &&
      lsnBytes(other.lsn) >= lsnBytes(waiting.upTo),
  );
}

/**
 * Why it is not known that the standbys which the primary lists confirm themselves, in a sentence; undefined while nothing speaks against
 * it. A standby that gives no answer for a while is believed as long as the connection lasts over which it was heard.
 * @param rounds the newest ones, this one at their end, oldest first
 */
export function notThemselves(
  { heard }: Pick<Ledger, 'heard'>,
  primary: NodeAnswer,
  rounds: readonly Round[],
): string | undefined {
  const round = rounds.at(-1);
  if (round === undefined) return undefined;
  for (const { node } of (primary.standbys ?? []).filter(confirms)) {
    const [now, before] = [rounds.length, rounds.length - 1].map((end) =>
      contradiction(node, primary, rounds.slice(0, end)),
    );
    if (now !== undefined && before !== undefined)
      return `${NOT_ITSELF} over the slot of ${node}: ${primary.name} hears of more than ${node} has received itself`;
    const connection = heard?.connections?.[node];
    const own = round.others.find(({ name }) => name === node);
    const answers = own?.answered === true && own.inRecovery === true;
    if (!answers && connection !== undefined && connection.vouched !== true) {
      if (round.at - connection.since >= VOUCHED_WITHIN_MS)
        return `${NOT_ITSELF} over the slot of ${node}: ${node} has not said for ${formatMs(VOUCHED_WITHIN_MS)} that it streams itself`;
    }
  }
  return undefined;
}

/** What was confirmed over the slot of a node a while ago, where the node says now that it has less. */
function contradiction(node: string, primary: NodeAnswer, rounds: readonly Round[]): Lsn | undefined {
  const round = rounds.at(-1);
  const own = round?.others.find(({ name }) => name === node);
  if (round === undefined || own?.answered !== true || own.inRecovery !== true || own.lsn === undefined)
    return undefined;
  if (own.timeline !== undefined && own.timeline !== primary.timeline) return undefined;
  const rowOf = ({ sql, others }: Round) => {
    const answer = [sql, ...others].find(({ name }) => name === primary.name);
    if (answer === undefined || !isWritable(answer) || answer.timeline !== primary.timeline) return undefined;
    return answer.standbys?.find((each) => each.node === node);
  };
  const pid = rowOf(round)?.pid;
  for (const earlier of [...rounds].reverse()) {
    const row = rowOf(earlier);
    if (row === undefined || row.pid !== pid) return undefined;
    if (round.at - earlier.at < OLDER_THAN_ANSWERS_MS) continue;
    return row.flush !== undefined && lsnBytes(own.lsn) < lsnBytes(row.flush) ? row.flush : undefined;
  }
  return undefined;
}

/** The same ledger, with what was heard last. It has to be of the same primary and timeline. */
export function withHeard(ledger: Ledger, heard: Heard | undefined): Ledger {
  if (heard === undefined || heard.at <= (ledger.heard?.at ?? -Infinity)) return ledger;
  return { ...ledger, heard };
}
