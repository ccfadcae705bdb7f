import { ApplicationFailure, setHandler, upsertSearchAttributes } from '@temporalio/workflow';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { durationMs, formatMs } from '../cluster/duration';
import { HOLDS_UP_MS } from '../cluster/guard/run-end';
import {
  guardQuery,
  handOverUpdate,
  maintenanceUpdate,
  setModeUpdate,
  stopGuardUpdate,
  type GuardEvent,
  type GuardState,
} from './guard-messages';
import { searchAttributeNames, type Decision } from './messages';

/** The search attribute that tells a guard's mode. */
export const phaseKey = defineSearchAttributeKey(searchAttributeNames.phase, SearchAttributeType.KEYWORD);

/** What people reach of a guard. */
export interface GuardControls {
  /** Shown as it is, and changed by what people say. */
  state: GuardState;
  note(kind: GuardEvent['kind'], says: string): void;
  /** The state was changed: it follows from now on, and what was told already is told again. */
  changed(): void;
  /** Takes back the question that waits for an answer, if there is one. */
  withdraw(why: string): void;
  stop(): void;
  /** Begins the history anew. Returns what has to end before, if anything. */
  handOver(): string | undefined;
}

const nameOf = (decision: Decision | undefined): string => decision?.by ?? 'somebody who gave no name';
const because = (decision: Decision | undefined): string => (decision?.why === undefined ? '' : `: ${decision.why}`);

function refuse(says: string): never {
  throw ApplicationFailure.nonRetryable(says, 'BadInput');
}

/** Answers the query and the Updates by which people ask a guard and tell it what it may do. */
export function listenToPeople(guard: GuardControls): void {
  const { state } = guard;
  const changed = (says: string): string => {
    guard.changed();
    return says;
  };
  setHandler(guardQuery, () => state);
  setHandler(
    setModeUpdate,
    (wanted) => {
      const before = state.mode;
      state.mode = wanted.mode;
      upsertSearchAttributes([{ key: phaseKey, value: state.mode }]);
      if (before !== wanted.mode)
        guard.note('mode', `${before} → ${wanted.mode}, by ${nameOf(wanted)}${because(wanted)}`);
      if (wanted.mode !== 'approve') guard.withdraw(`the mode is ${wanted.mode} now`);
      return changed(before === wanted.mode ? `the mode is ${before} already` : `the mode is ${wanted.mode} now`);
    },
    {
      validator: (wanted?: { mode?: string }) => {
        if (!['auto', 'approve', 'off'].includes(wanted?.mode ?? ''))
          refuse(`mode: expected auto, approve or off, got ${String(wanted?.mode)}. Next: {"mode": "auto"}`);
      },
      description: 'What the guard does on its own: {"mode": "auto" | "approve" | "off"}',
    },
  );
  setHandler(
    maintenanceUpdate,
    (wanted) => {
      if (!wanted.on) {
        const was = state.maintenance !== undefined;
        delete state.maintenance;
        if (was) guard.note('maintenance', `off, by ${nameOf(wanted)}${because(wanted)}`);
        return changed(was ? 'maintenance mode is off' : 'maintenance mode was off already');
      }
      const now = Date.now();
      state.maintenance = {
        by: nameOf(wanted),
        ...(wanted.why === undefined ? {} : { why: wanted.why }),
        since: now,
        until: wanted.for === undefined ? null : now + durationMs(wanted.for),
      };
      const how = wanted.for === undefined ? 'until it is switched off' : `for ${wanted.for}`;
      guard.note('maintenance', `on ${how}, by ${nameOf(wanted)}${because(wanted)}`);
      return changed(`maintenance mode is on ${how}`);
    },
    {
      validator: (wanted?: { on?: unknown; for?: string }) => {
        if (typeof wanted?.on !== 'boolean') refuse('on: expected true or false. Next: {"on": true, "for": "30m"}');
        if (wanted?.for === undefined) return;
        try {
          durationMs(wanted.for);
        } catch (error) {
          refuse(`for: ${(error as Error).message}`);
        }
      },
      description: 'The guard watches and does nothing: {"on": true, "for": "30m"}',
    },
  );
  setHandler(
    handOverUpdate,
    (decision?: Decision) => {
      const first = guard.handOver();
      guard.note('handed over', `to the next version, by ${nameOf(decision)}${because(decision)}`);
      return changed(
        first === undefined
          ? 'the guard begins its history anew: stop the workers, install, start them'
          : `the guard begins its history anew once ${first} has ended, at the latest ${formatMs(HOLDS_UP_MS)} after it began: wait for that before you stop the workers`,
      );
    },
    { description: 'Begin the history anew, before another version of the workers takes over' },
  );
  setHandler(
    stopGuardUpdate,
    (decision?: Decision) => {
      guard.stop();
      guard.note('mode', `stopped by ${nameOf(decision)}${because(decision)}`);
      return changed('the guard ends: nothing fails over by itself any more');
    },
    { description: 'End the guard' },
  );
}
