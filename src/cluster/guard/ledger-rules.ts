import { formatMs } from '../duration';
import { lsnBytes, type Lsn } from '../lsn';
import { confirms, mayConfirm, notThemselves, NOT_ITSELF, streamsItself } from './heard';
import { ledgerOfSystem, type Ledger } from './ledger';
import type { GuardPolicy } from './policy';
import { isWritable } from './rounds';
import type { NodeAnswer, Round } from './signals';

/*
 * What the ledger promises: while it says `protected`, every commit that the primary acknowledged on the ledger's timeline is on at
 * least one node of `synchronous`. So a failover that hears ALL nodes of `synchronous` and promotes the most advanced of them loses
 * nothing that was acknowledged (decideFailover). Hearing some of them is not enough, whatever the names are:
 *
 * - `ANY 1 (…)` with several standbys: each commit was confirmed by any one of them, and nobody knows by which.
 * - `FIRST 1 (…)`, or the plain name, with several standbys of one name: one is `sync`, the others are `potential`, and in the
 *   millisecond in which the first drops, another takes its place. Between two rounds commits may have been confirmed by either. So a
 *   `potential` standby counts as synchronous here, also one that is still catching up. `async` ones are in no name and never confirm.
 *
 * Joining is easy: a node counts from the round in which it is seen connected. Leaving is not: a node that dropped may be the only one
 * that has the last commits, while the other is behind. It is kept until another node of the set has received everything that the
 * primary had written at a moment at which the first was already away: since then nothing can have been confirmed by it alone. With
 * one standby that moment never comes while it is away, commits wait, and the ledger rightly goes on saying `protected`: what was
 * acknowledged is on that standby, and a failover to it, once it is back, loses nothing.
 *
 * Beginning is not either: commits that were acknowledged before the names were set may be missing on the standby that now says
 * `sync`. `protected` begins when a confirming standby has received everything up to a position that the primary had reached after its
 * names were set.
 *
 * Settings that let some commits pass (`synchronous_commit` off or local, for the server, a role or a database) end the promise, and so
 * does a standby without slot that confirms commits, or would as soon as another one ends: nobody knows which node it is. After either, `protected` begins anew.
 *
 * A standby is known by its slot. Somebody else who takes that confirms in its name, and is found out by what the standby says itself; and
 * a commit whose wait is cancelled is acknowledged without a standby. Both are in no setting, and a failover looks at what the primary was
 * heard to say last (heard.ts).
 *
 * What stays open are sessions that set `synchronous_commit` for themselves, or go on with what their role had when they began; and the
 * time since the ledger was last confirmed (confirmation.ts), two rounds at most, or the old primary's own files are asked: a
 * person who empties the names by hand, or a standby that joins for the first time and confirms commits, followed by the loss of the
 * primary (and of that standby) within that time. A ledger that is older proves nothing. Whatever this product does to the names is in
 * the ledger first.
 */

/** How the `why` of a ledger begins while settings let some commits pass. */
export const SOME_PASS = 'some commits wait for no standby that is known';

/** For how long the ledger's primary has to answer as a standby before that is believed, in milliseconds. */
const STANDBY_FOR_MS = 1000;

const nodesOf = (round: Round): NodeAnswer[] => [round.sql, ...round.others];
const answerOf = (round: Round, node: string): NodeAnswer | undefined =>
  nodesOf(round).find(({ name }) => name === node);
const namesOf = (answer: NodeAnswer): string => (answer.names ?? '').trim();
/** Every commit waits for a standby, as far as settings tell. */
const waitsAlways = (answer: NodeAnswer): boolean => namesOf(answer) !== '' && answer.weak === undefined;
/** Seen twice: a session that ends lets its slot go a moment before it is gone itself. */
const isWeak = (primary: NodeAnswer, history: readonly NodeAnswer[]): boolean =>
  primary.weak !== undefined && (history[0] === undefined || history[0].weak !== undefined);
const connectedOf = (answer: NodeAnswer): string[] =>
  (answer.standbys ?? []).filter(({ syncState }) => mayConfirm.has(syncState)).map(({ node }) => node);
const listed = (nodes: readonly string[]): string => nodes.join(' and ');

/**
 * What a round makes of the ledger; undefined when nothing changes. Pure.
 *
 * The primary's silence changes nothing: what was known before the failure is the point of the ledger. A writable node other than the
 * ledger's primary (after a switchover, or a promotion by hand) is taken over, under the next epoch, when it is the only one and its
 * timeline is not older; on the same timeline only if the ledger's primary answers as a standby, since a promotion begins a new one.
 * @param earlier rounds before this one, oldest first (this one at their end does no harm): they make the proof of who has what
 *   possible under load, where a standby is always a little behind at one moment
 */
export function nextLedger(
  ledger: Ledger,
  round: Round,
  policy: GuardPolicy,
  now: number,
  earlier: readonly Round[] = [],
): Ledger | undefined {
  const writable = nodesOf(round).filter(isWritable);
  const [primary] = writable;
  if (primary === undefined) {
    if (ledger.primary === null || !isStandbyNow(ledger.primary, round, earlier)) return undefined;
    // Silence says nothing; this is an answer. Somebody was promoted, or will be, whom the ledger does not know.
    const why = `${ledger.primary}, which it knows as primary, answers as a standby, and no node takes writes`;
    return changed(ledger, { ...ledger, state: 'unknown', why }, now);
  }
  if (writable.length > 1) {
    const each = writable.map(({ name, timeline }) => `${name} on timeline ${timeline}`);
    return changed(
      ledger,
      { ...ledger, state: 'unknown', why: `${writable.length} nodes are writable: ${listed(each)}` },
      now,
    );
  }
  const problem = whyNotOf(ledger, round, primary) ?? whyAnotherHistory(ledger, primary);
  if (problem !== undefined) return changed(ledger, { ...ledger, state: 'unknown', why: problem }, now);

  const timeline = primary.timeline ?? ledger.timeline;
  const same = ledger.primary === primary.name && ledger.timeline === timeline;
  const { heard, ...known } = ledgerOfSystem(ledger, primary.systemIdentifier);
  const base: Ledger = same
    ? { ...known, ...(heard === undefined ? {} : { heard }) }
    : {
        ...known,
        state: 'unknown',
        primary: primary.name,
        timeline,
        epoch: ledger.epoch + 1,
        synchronous: [],
        names: '',
      };
  const history = historyOf(earlier, round, primary.name, timeline);
  return changed(ledger, { ...base, ...protectionOf(base, primary, round, history, policy, earlier) }, now);
}

/** Does the node answer as a standby for longer than the other nodes' answers may be old, as in the middle of a switchover? */
function isStandbyNow(node: string, round: Round, earlier: readonly Round[]): boolean {
  const rounds = [...earlier.filter(({ at }) => at < round.at), round];
  const first = rounds.findLastIndex((each) => {
    const answer = answerOf(each, node);
    return answer?.answered !== true || answer.inRecovery !== true;
  });
  const since = rounds[first + 1];
  return since !== undefined && round.at - since.at >= STANDBY_FOR_MS;
}

/**
 * Whether a node that takes writes belongs to another database system than the ledger: a new one was made in its place, or its data
 * were replaced. Nothing that the ledger says is about it.
 */
export function isForeign(
  ledger: Pick<Ledger, 'systemIdentifier'>,
  answer: Pick<NodeAnswer, 'systemIdentifier'>,
): boolean {
  return (
    ledger.systemIdentifier !== undefined &&
    answer.systemIdentifier !== undefined &&
    answer.systemIdentifier !== ledger.systemIdentifier
  );
}

/** Why the only writable node can't be taken for the primary; undefined when it can. */
function whyNotOf(ledger: Ledger, round: Round, primary: NodeAnswer): string | undefined {
  if (ledger.primary === null) return undefined;
  if (isForeign(ledger, primary))
    return `${primary.name} takes writes and belongs to another database system than this ledger: ${primary.systemIdentifier} and ${ledger.systemIdentifier}; a new one was made in its place, or its data were replaced, and nothing is done on its word. If that is meant, the guard has to begin anew: guard stop, then guard start`;
  const { name, timeline = ledger.timeline } = primary;
  if (timeline < ledger.timeline)
    return `${name} is writable on timeline ${timeline}, and ${ledger.primary} was on the newer timeline ${ledger.timeline}`;
  if (name === ledger.primary) return undefined;
  if (timeline === ledger.timeline && answerOf(round, ledger.primary)?.inRecovery !== true)
    return `${name} is writable on timeline ${timeline} without having been promoted, and ${ledger.primary}, the primary of that timeline, does not say that it is a standby`;
  const foreign = nodesOf(round).find(
    ({ answered, systemIdentifier }) =>
      answered && systemIdentifier !== undefined && systemIdentifier !== primary.systemIdentifier,
  );
  if (foreign !== undefined)
    return `${name} is writable, and ${foreign.name} belongs to another database system: ${primary.systemIdentifier} and ${foreign.systemIdentifier}`;
  return undefined;
}

/** How the `why` of a ledger begins while its primary has less than a standby has replayed of it. */
export const WENT_BACK = 'the WAL of the primary went back';

/** Why nothing that standbys confirm counts: the primary is of another history than they are. Undefined while nothing speaks for that. */
function whyAnotherHistory(ledger: Ledger, { name, timeline }: NodeAnswer): string | undefined {
  const wentBack = ledger.heard?.wentBack;
  if (wentBack === undefined || ledger.primary !== name || (timeline ?? ledger.timeline) !== ledger.timeline)
    return undefined;
  return `${WENT_BACK}: ${name} had WAL up to ${wentBack.to}, and a standby had replayed ${wentBack.from} of it; its data were replaced by older ones, or its disk lost what it had written. What standbys confirm proves nothing, and commits may be on ${name} alone. To go on with ${name}: a rejoin of each standby with --method copy, which keeps aside what only that has, then guard stop, then guard start`;
}

/** Earlier rounds in which this very primary answered on this timeline, newest first, up to the first in which it did not. */
function historyOf(earlier: readonly Round[], round: Round, primary: string, timeline: number): NodeAnswer[] {
  const answers: NodeAnswer[] = [];
  for (const past of earlier.filter(({ at }) => at < round.at).reverse()) {
    const answer = answerOf(past, primary);
    if (answer === undefined || !isWritable(answer) || answer.timeline !== timeline) break;
    answers.push(answer);
  }
  return answers;
}

type Protection = Pick<Ledger, 'state' | 'synchronous' | 'names' | 'why'>;

function protectionOf(
  ledger: Ledger,
  primary: NodeAnswer,
  round: Round,
  history: readonly NodeAnswer[],
  policy: GuardPolicy,
  earlier: readonly Round[],
): Protection {
  const names = namesOf(primary);
  if (names === '')
    return {
      state: 'degraded',
      synchronous: [],
      names,
      why: 'commits wait for no standby: synchronous_standby_names is empty',
    };

  if (isWeak(primary, history))
    return {
      state: 'degraded',
      synchronous: connectedOf(primary),
      names,
      why: `${SOME_PASS}: ${listed(primary.weak ?? [])}`,
    };

  const other = notThemselves(ledger, primary, [...earlier.filter(({ at }) => at < round.at), round]);
  if (other !== undefined) return { state: 'degraded', synchronous: connectedOf(primary), names, why: other };

  const connected = connectedOf(primary);
  const confirming = (primary.standbys ?? [])
    .filter(confirms)
    .map(({ node }) => node)
    .sort();
  const hasUpTo = (node: string, mark: Lsn | undefined): boolean => {
    const answer = answerOf(round, node);
    if (mark === undefined || answer?.answered !== true || answer.inRecovery !== true || answer.lsn === undefined)
      return false;
    const sameTimeline = answer.timeline === undefined || answer.timeline === primary.timeline;
    return sameTimeline && lsnBytes(answer.lsn) >= lsnBytes(mark);
  };

  let members: readonly string[] = ledger.synchronous;
  if (ledger.state !== 'protected') {
    // Sessions hear of new names a moment before all of the server does: the round that sees them first proves nothing yet.
    const seenBefore = ledger.names !== '';
    const named = answersWhile(primary, history, (answer, before) => waitsAlways(answer) && waitsAlways(before));
    // And commits wait only once the checkpointer has taken the names: it has where it is at rest a round after they were seen.
    const inForce = named.findLast(({ takesReloads }) => takesReloads !== false);
    const itself = (node: string): boolean => {
      const answer = answerOf(round, node);
      return answer !== undefined && streamsItself(answer) && hasUpTo(node, inForce?.lsn);
    };
    if (!seenBefore || history[0]?.weak !== undefined || !confirming.some(itself)) {
      // What was found out over several rounds is not taken back by the first one of a new stretch.
      if (confirming.length > 0 && ledger.why.startsWith(NOT_ITSELF))
        return { state: 'degraded', synchronous: ledger.synchronous, names, why: ledger.why };
      return {
        state: 'degraded',
        synchronous: confirming,
        names,
        why:
          confirming.length === 0
            ? 'no standby confirms, and commits wait: what was acknowledged before may be on no standby'
            : `${listed(confirming)} ${confirming.length === 1 ? 'confirms' : 'confirm'}, but was not seen to have what was acknowledged before`,
      };
    }
    // Since that position anybody who was connected may have confirmed, and have left with it.
    members = [...new Set(named.flatMap(connectedOf))];
  }

  const kept = members.filter((node) => {
    if (connected.includes(node)) return false;
    const without = answersWhile(primary, history, (answer) => !connectedOf(answer).includes(node));
    return !connected.some((other) => hasUpTo(other, without.at(-1)?.lsn));
  });
  const synchronous = [...new Set([...connected, ...kept])].sort();
  if (confirming.length > 0) {
    const aside =
      kept.length === 0 ? '' : `; ${listed(kept)} left, and may have commits that the others have not received yet`;
    return { state: 'protected', synchronous, names, why: `${confirmedBy(confirming)}${aside}` };
  }
  const then =
    policy.onStandbyLost === 'relax'
      ? `for ${formatMs(policy.standbyLostAfter)} at most, then they go on without it and without protection`
      : 'until one is back';
  return {
    state: 'protected',
    synchronous,
    names,
    why: `${listed(synchronous)} ${synchronous.length === 1 ? 'is' : 'are'} away, and commits wait ${then}: all that was acknowledged is there, unless somebody cancels a commit that waits`,
  };
}

const confirmedBy = (confirming: readonly string[]): string =>
  `${listed(confirming)} ${confirming.length === 1 ? 'confirms' : 'confirm'} each commit before it is acknowledged`;

/**
 * The newest answers of the primary in a row that are `good`, newest first; the present one is. The position in the last of them is
 * the easiest for a standby to have.
 * @param good is also told the answer before, or the same one when there is none
 */
function answersWhile(
  primary: NodeAnswer,
  history: readonly NodeAnswer[],
  good: (answer: NodeAnswer, before: NodeAnswer) => boolean,
): NodeAnswer[] {
  const end = history.findIndex((answer, index) => !good(answer, history[index + 1] ?? answer));
  return [primary, ...(end === -1 ? history : history.slice(0, end))];
}

/** The ledger with its `since`, or undefined when it says what it said before. */
function changed(before: Ledger, after: Ledger, now: number): Ledger | undefined {
  const same =
    before.state === after.state &&
    before.primary === after.primary &&
    before.timeline === after.timeline &&
    before.names === after.names &&
    before.why === after.why &&
    before.synchronous.join(' ') === after.synchronous.join(' ');
  if (same) return undefined;
  const sameState = before.state === after.state && before.epoch === after.epoch;
  return { ...after, since: sameState ? before.since : now };
}

/**
 * The ledger for a primary that is about to stop waiting for standbys: written before PostgreSQL is told (B3).
 * @param why in a sentence, for people
 */
export function relaxedLedger(ledger: Ledger, why: string, now: number): Ledger {
  return {
    ...ledger,
    state: 'degraded',
    synchronous: [],
    names: '',
    since: ledger.state === 'degraded' ? ledger.since : now,
    why,
  };
}
