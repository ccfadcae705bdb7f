import type { StepState, SubStep } from '../run-state';

/** What a step reports when it is done. */
export interface StepResult {
  detail?: string;
  subSteps?: SubStep[];
  warnings?: string[];
}

/** One action of a runbook. A runbook is a list of these. */
export interface Step {
  id: string;
  /** What it does, as a sentence in the imperative. */
  says: string;
  /** Milliseconds, from earlier runs or measured limits. */
  expectedMs?: number;
  run(): Promise<StepResult | void>;
  /** Puts back what `run` changed, also when `run` died in its middle. Registered before `run` begins. */
  undo?: { says: string; run(): Promise<string | void> };
  /**
   * It only prepares, waits or watches: it is left in its middle where this node, the primary by then, has failed, or its commits wait.
   */
  givesWayFor?(): string;
  /** Present on exactly one step: after it there is only forward. */
  pointOfNoReturn?: {
    /** Called when the step failed, with why. Puts it back and returns true; false when it is too late for that. */
    rollBack(cause: unknown): Promise<boolean>;
  };
}

/** What the runner needs of whoever runs it: a clock, and to be heard. */
export interface RunnerHost {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Why the run must stop, once somebody asked; asked between steps. */
  abortRequested(): string | undefined;
  /**
   * Carries out what may be left in its middle, once somebody has to act at once for this primary. Absent where nobody can ask for that.
   * @throws ApplicationFailure with the reason, when it was left
   */
  untilAsked?<T>(primary: string, work: () => Promise<T>): Promise<T>;
  /** The steps' states changed. */
  changed(says: string): void;
  warn(warning: string): void;
  pointOfNoReturnPassed(): void;
}

/** How the steps ended. */
export type StepsOutcome =
  | { kind: 'done' }
  /** Everything was put back. */
  | { kind: 'rolled back'; step: string; cause: unknown }
  | { kind: 'aborted'; why: string }
  /** A step after the point of no return failed for good. */
  | { kind: 'incomplete'; step: string; cause: unknown }
  /** Something could not be put back. */
  | { kind: 'undo failed'; step: string; cause: unknown; undoCause: unknown };

/** The states with which a list of steps begins. */
export function initialStepStates(steps: readonly Step[]): StepState[] {
  return steps.map((step) => ({
    id: step.id,
    says: step.says,
    state: 'pending',
    pointOfNoReturn: step.pointOfNoReturn !== undefined,
    ...(step.expectedMs === undefined ? {} : { expectedMs: step.expectedMs }),
  }));
}

/** Temporal wraps what an activity threw. */
function innermost(error: unknown): unknown {
  let current = error;
  while (current instanceof Error && current.cause instanceof Error) current = current.cause;
  return current;
}

/** The innermost message of a chain of causes. */
export function rootMessage(error: unknown): string {
  const root = innermost(error);
  return root instanceof Error ? root.message : String(root);
}

/** The type of the innermost failure; undefined when it is no failure of Temporal's. */
export const rootType = (error: unknown): string | undefined =>
  (innermost(error) as { type?: string } | undefined)?.type ?? undefined;

/** What the innermost failure tells beside its message: the fields that an activity gave to it. */
export const rootDetails = (error: unknown): Record<string, unknown> =>
  ((innermost(error) as { details?: unknown[] } | undefined)?.details?.[0] as Record<string, unknown> | undefined) ??
  {};

/**
 * Carries out steps in order. A failure or an abort before the point of no return undoes, in reverse order, every step that
 * began; after it there is only forward.
 *
 * The states are changed in place, so that whoever shows them sees each change.
 */
export async function runSteps(steps: readonly Step[], states: StepState[], host: RunnerHost): Promise<StepsOutcome> {
  const begun: { step: Step; state: StepState }[] = [];
  let passed = false;

  for (const [index, step] of steps.entries()) {
    const state = states[index];
    if (state === undefined) throw new Error(`step ${step.id} has no state`);
    const abort = passed ? undefined : host.abortRequested();
    if (abort !== undefined) {
      const undone = await undoSteps(begun, host);
      return undone.ok
        ? { kind: 'aborted', why: abort }
        : { kind: 'undo failed', step: undone.step, cause: new Error(abort), undoCause: undone.cause };
    }
    begun.push({ step, state });
    try {
      await runStep(step, state, host);
    } catch (cause) {
      if (passed) return { kind: 'incomplete', step: step.id, cause };
      const decided = await settleFailure(step, state, host, cause);
      if (decided === 'forward') {
        passed = true;
        passPointOfNoReturn(host);
        try {
          await runStep(step, state, host);
        } catch (again) {
          return { kind: 'incomplete', step: step.id, cause: again };
        }
        continue;
      }
      if (decided !== 'undone') return { kind: 'undo failed', step: step.id, cause, undoCause: decided.cause };
      const undone = await undoSteps(begun, host);
      return undone.ok
        ? { kind: 'rolled back', step: step.id, cause }
        : { kind: 'undo failed', step: undone.step, cause, undoCause: undone.cause };
    }
    if (step.pointOfNoReturn !== undefined) {
      passed = true;
      passPointOfNoReturn(host);
    }
  }
  return { kind: 'done' };
}

/** Whoever asked for an abort while the step was under way learns that it came to nothing. */
function passPointOfNoReturn(host: RunnerHost): void {
  host.pointOfNoReturnPassed();
  const late = host.abortRequested();
  if (late !== undefined) host.warn(`${late}, but too late: the point of no return was passed`);
}

async function runStep(step: Step, state: StepState, host: RunnerHost): Promise<void> {
  state.state = 'running';
  state.startedAt = host.now();
  delete state.detail;
  host.changed(step.says);
  try {
    const result =
      step.givesWayFor !== undefined && host.untilAsked !== undefined
        ? await host.untilAsked(step.givesWayFor(), () => step.run())
        : await step.run();
    state.ms = host.now() - state.startedAt;
    state.state = 'done';
    if (result?.detail !== undefined) state.detail = result.detail;
    if (result?.subSteps !== undefined) state.subSteps = result.subSteps;
    for (const warning of result?.warnings ?? []) host.warn(warning);
    host.changed(step.says);
  } catch (cause) {
    state.ms = host.now() - state.startedAt;
    state.state = 'failed';
    state.detail = rootMessage(cause);
    host.changed(`${step.says}: failed`);
    throw cause;
  }
}

/** After a failure of the step itself: was it put back, is there only forward, or is neither possible? */
async function settleFailure(
  step: Step,
  state: StepState,
  host: RunnerHost,
  why: unknown,
): Promise<'undone' | 'forward' | { cause: unknown }> {
  if (step.pointOfNoReturn === undefined) return 'undone';
  host.changed(`${step.says}: failed; looking whether it can be put back`);
  try {
    if (!(await step.pointOfNoReturn.rollBack(why))) return 'forward';
    state.state = 'undone';
    return 'undone';
  } catch (cause) {
    return { cause };
  }
}

async function undoSteps(
  begun: { step: Step; state: StepState }[],
  host: RunnerHost,
): Promise<{ ok: true } | { ok: false; step: string; cause: unknown }> {
  for (const { step, state } of [...begun].reverse()) {
    if (step.undo === undefined) continue;
    state.state = 'undoing';
    host.changed(step.undo.says);
    try {
      const detail = await step.undo.run();
      state.state = 'undone';
      if (typeof detail === 'string') state.detail = detail;
      host.changed(step.undo.says);
    } catch (cause) {
      state.state = 'failed';
      state.detail = `could not be undone: ${rootMessage(cause)}`;
      host.changed(`${step.undo.says}: failed`);
      return { ok: false, step: step.id, cause };
    }
  }
  return { ok: true };
}
