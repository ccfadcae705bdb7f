import type { RunState, StepState } from '../workflows/run-state';

/** The part of a run's state that events are made from. A run that has ended has it in its report. */
export type Progress = Pick<RunState, 'phase' | 'says' | 'steps'>;

/** Something that happened in a run between two looks at it. */
export type RunEvent =
  | { event: 'phase'; phase: RunState['phase']; says: string }
  | { event: 'step'; index: number; total: number; step: StepState };

/**
 * What happened between two states of a run, in the order in which it must have happened: forward steps first to last,
 * then what was put back, last to first. A step that went through several states between two looks is one event.
 */
export function eventsBetween(before: Progress | undefined, after: Progress): RunEvent[] {
  const events: RunEvent[] = [];
  if (before?.phase !== after.phase) events.push({ event: 'phase', phase: after.phase, says: after.says });
  const total = after.steps.length;
  const changed = after.steps
    .map((step, index) => ({ event: 'step' as const, index, total, step }))
    .filter(({ step }) => {
      const earlier = before?.steps.find((other) => other.id === step.id);
      return earlier === undefined ? step.state !== 'pending' : earlier.state !== step.state;
    });
  const back = (step: StepState) => step.state === 'undoing' || step.state === 'undone';
  return [
    ...events,
    ...changed.filter(({ step }) => !back(step)),
    ...changed.filter(({ step }) => back(step)).reverse(),
  ];
}
