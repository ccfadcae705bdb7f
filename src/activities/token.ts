import type { Token } from '../systems/agent';
import { attempt } from './context';

/** The activities of a run that change nodes, in the order in which they may follow each other. */
const stages = [
  'watch',
  'prepare',
  'move',
  'roll back',
  'unprepare',
  'fail over',
  'undo fail over',
  'settle',
  'rejoin',
  'release',
] as const;
export type Stage = (typeof stages)[number];

/** Temporal counts the attempts of each activity from 1; agents need one count that grows over the whole run. */
const ATTEMPTS_PER_STAGE = 1_000_000;
/** A stage made of several activities, one after the other, numbers them: each may be tried this often. */
const ATTEMPTS_PER_TURN = 100;

/**
 * The token of this attempt of this stage: newer than that of any earlier stage or attempt of the run.
 * @param turn which activity of the stage it is, from 0, where a stage is made of several
 */
export function tokenOf(run: string, stage: Stage, turn = 0): Token {
  return { run, attempt: stages.indexOf(stage) * ATTEMPTS_PER_STAGE + turn * ATTEMPTS_PER_TURN + attempt() };
}

/**
 * The token of this attempt of a watch, for one of the two things that it does under the run that would follow: to hold clients, and
 * then to carry the failover out itself. Of one attempt the second is newer; a later attempt's are newer than both; and those of the
 * run's own steps are newer than all. They have their place among the attempts of the first stage, and not in a stage of their own: that
 * would move the numbers of every stage behind it, while workers of two versions may be at one run.
 */
export function watchToken(run: string, what: 'hold' | 'act'): Token {
  return { run, attempt: 2 * attempt() - (what === 'hold' ? 1 : 0) };
}
