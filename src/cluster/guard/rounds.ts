import { lsnBytes, type Lsn } from '../lsn';
import type { GuardPolicy } from './policy';
import type { ContainerWord, NodeAnswer, Round } from './signals';

/** By how much the clock of another machine may be off, in milliseconds, for a time by it to prove something. */
export const CLOCK_SKEW_MS = 1000;

/** Docker's words for a container that is certainly not running. */
const gone: ReadonlySet<ContainerWord> = new Set<ContainerWord>(['exited', 'dead', 'absent', 'created']);

/** Does the node take writes, by its own word? */
export function isWritable(answer: NodeAnswer): boolean {
  return answer.answered && answer.inRecovery === false;
}

/** Is the container certainly not there, or ended and not about to be restarted? */
export function isGone(word: ContainerWord | undefined): boolean {
  return word !== undefined && gone.has(word);
}

/**
 * Whether a primary can have ended at this moment, by the word of its own machine: Docker's or its agent's. That machine's clock may be
 * off: an end in the future is none, and neither is one well before the primary was heard last, however long ago that is by now.
 * @param at milliseconds since the epoch, now, by the clock of the worker that watches
 * @param heardAt when its last answer was heard, by a worker's clock; undefined where nobody knows
 */
export function mayHaveEnded(end: number, at: number, heardAt: number | undefined): boolean {
  return end <= at && (heardAt === undefined || heardAt - end <= CLOCK_SKEW_MS);
}

/**
 * For how long the observer itself was stalled around a round, in milliseconds: the round began late, or its limit was noticed late.
 * A worker that was frozen in the middle of a question finds the limit over when it wakes, although the answer lies in its socket.
 */
export function stalledMs(round: Round, policy: GuardPolicy): number {
  return Math.max(round.lateMs, round.sql.answered ? 0 : round.sql.ms - policy.probeLimit);
}

/** Was the observer stalled for so long that silence in this round means nothing? */
export function isStalled(round: Round, policy: GuardPolicy): boolean {
  return stalledMs(round, policy) > 2 * policy.probeInterval;
}

/** The newest rounds in which the primary gave no answer, oldest first: everything since its last answer. */
export function silentRounds(rounds: readonly Round[]): Round[] {
  const last = rounds.findLastIndex((round) => round.sql.answered);
  return rounds.slice(last + 1);
}

/**
 * Did the primary's connection end rather than merely stay silent? A dead address swallows connects without an answer, and so does a
 * frozen server; a reset or a refusal is somebody's word that there is no server.
 */
export function isCutOff(answer: NodeAnswer): boolean {
  const problem = answer.problem ?? '';
  if (answer.answered || /time(d )?out|no answer within/i.test(problem)) return false;
  return /reset|refused|\bended\b|\bdied\b|terminat|closed|EPIPE|starting up|shutting down|recovery mode|57P0/i.test(
    problem,
  );
}

/**
 * Does somebody who must know say that PostgreSQL ended and comes back: its agent, which is the parent of the server process, or
 * Docker? Not when a run or a person stopped it.
 */
export function saysCrashed(round: Round): boolean {
  if (round.sql.answered) return false;
  const { agent, container } = round;
  if (agent?.answered === true)
    return agent.desired === 'up' && agent.postgres !== undefined && agent.postgres !== 'running';
  return container === 'restarting';
}

/** How a silent round looks: nobody gets an answer from a server that should be running. */
export type Silence = 'hung' | 'isolated';

/**
 * What a silent round speaks for, by itself. Undefined when it proves nothing: the primary answered, somebody sees it, or nobody
 * else could be asked (I1: silence needs a second, independent way).
 */
export function silenceOf(round: Round): Silence | undefined {
  const { container, agent, witnesses = [] } = round;
  if (round.sql.answered || container === undefined) return undefined;
  if (witnesses.some(({ answered, sees }) => answered && sees)) return undefined;
  if (container === 'paused') return 'hung';
  if (container !== 'running' && container !== 'unknown') return undefined;
  if (!witnesses.some(({ answered }) => answered)) return undefined;
  if (agent?.answered !== true) return 'hung';
  return agent.postgres === 'running' ? 'isolated' : undefined;
}

/** What a standby that streams has received. */
function receivedBy(round: Round, node: string): Lsn | undefined {
  const answer = round.others.find(({ name }) => name === node);
  return answer?.answered === true && answer.receiver === 'streaming' ? answer.lsn : undefined;
}

/** A standby that still receives WAL while the primary gives us no answer (I4). */
export interface WalAdvance {
  node: string;
  /** In how many of the counted pairs of rounds its received position grew. */
  times: number;
  /** Did it grow between the two newest rounds? */
  lately: boolean;
}

/**
 * Standbys whose received WAL grew while the primary was silent. What grew up to the second silent round may have been sent before
 * the failure and is not counted; neither is what lies more than `window` pairs back, so that a primary which failed after a while of
 * doubt is found.
 */
export function walAdvances(silent: readonly Round[], window: number): WalAdvance[] {
  const counted = silent.slice(Math.max(1, silent.length - window - 1));
  const newest = counted.at(-1);
  if (newest === undefined) return [];
  return newest.others.flatMap(({ name }) => {
    const grew = counted.slice(1).map((round, index) => {
      const earlier = counted[index];
      const [before, after] = [earlier === undefined ? undefined : receivedBy(earlier, name), receivedBy(round, name)];
      return before !== undefined && after !== undefined && lsnBytes(after) > lsnBytes(before);
    });
    const times = grew.filter(Boolean).length;
    return times === 0 ? [] : [{ node: name, times, lately: grew.at(-1) === true }];
  });
}
