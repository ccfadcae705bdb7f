import type { Token } from '../systems/agent';
import { attempt } from './context';

/** The activities of a run that change nodes, in the order in which they may follow each other. */
const stages = ['prepare', 'move', 'roll back', 'unprepare', 'settle', 'release'] as const;
export type Stage = (typeof stages)[number];

/** Temporal counts the attempts of each activity from 1; agents need one count that grows over the whole run. */
const ATTEMPTS_PER_STAGE = 1_000_000;

/** The token of this attempt of this stage: newer than that of any earlier stage or attempt of the run. */
export function tokenOf(run: string, stage: Stage): Token {
  return { run, attempt: stages.indexOf(stage) * ATTEMPTS_PER_STAGE + attempt() };
}
