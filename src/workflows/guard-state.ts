import { log, workflowInfo } from '@temporalio/workflow';
import type { ClusterDescription } from '../activities';
import { emptyLedger } from '../cluster/guard/ledger';
import type { GuardEvent, GuardInput, GuardKnowledge, GuardState } from './guard-messages';

const EVENTS_KEPT = 50;
/** With this everything that is found is told. */
const nothingTold = { failed: false, splitBrain: false, standbyLost: false, standbyBack: false } as const;

/** The state that a history begins with: what the one before handed over, or that of a guard that has not looked yet. */
export function firstState(described: ClusterDescription, input: GuardInput): GuardState {
  const { workflowId, runId } = workflowInfo();
  const now = Date.now();
  const state: GuardState = input.carried ?? {
    version: 1,
    cluster: described.name,
    workflowId,
    runId,
    mode: input.mode ?? described.topology.guard.mode,
    ledger: emptyLedger(now),
    sees: 'It has not looked yet.',
    waitsFor: '',
    next: '',
    signals: [],
    events: [],
    startedAt: now,
  };
  state.runId = runId;
  return state;
}

/** What a history knows at its beginning. */
export function firstKnowledge(input: GuardInput): GuardKnowledge {
  return input.known ?? { ...nothingTold, sees: 'healthy', failures: 0 };
}

/** What was told while nothing could be done about it is to be told again. */
export function forget(known: GuardKnowledge): void {
  Object.assign(known, nothingTold);
}

/** Adds an event to those that people are shown. */
export function noteEvent(state: GuardState, kind: GuardEvent['kind'], says: string, run?: string): void {
  state.events.push({ at: Date.now(), kind, says, ...(run === undefined ? {} : { run }) });
  while (state.events.length > EVENTS_KEPT) state.events.shift();
  log.info(`guard: ${kind}: ${says}`);
}
