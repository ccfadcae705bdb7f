import { eventsBetween } from '../../src/report/events';
import { doneSteps, pendingSteps, stateWith } from './made-up';

const short = (events: ReturnType<typeof eventsBetween>) =>
  events.map((event) =>
    event.event === 'phase' ? event.phase : `${event.index + 1}/${event.total} ${event.step.state}`,
  );

test('nothing happened, nothing is told', () => {
  expect(eventsBetween(stateWith(), stateWith())).toEqual([]);
});

test('the first look tells the phase and the steps that have begun', () => {
  expect(short(eventsBetween(undefined, stateWith({ steps: [doneSteps[0]!, ...pendingSteps.slice(1)] })))).toEqual([
    'checking',
    '1/4 done',
  ]);
});

test('steps that came and went between two looks are told in their order', () => {
  const after = stateWith({
    phase: 'running',
    steps: [...doneSteps.slice(0, 2), { ...pendingSteps[2]!, state: 'running' }, pendingSteps[3]!],
  });
  expect(short(eventsBetween(stateWith(), after))).toEqual(['running', '1/4 done', '2/4 done', '3/4 running']);
});

test('what is put back is told last, and backwards', () => {
  const before = stateWith({
    phase: 'running',
    steps: [doneSteps[0]!, doneSteps[1]!, { ...pendingSteps[2]!, state: 'running' }, pendingSteps[3]!],
  });
  const after = stateWith({
    phase: 'undoing',
    steps: [
      { ...doneSteps[0]!, state: 'undoing' },
      { ...doneSteps[1]!, state: 'undone' },
      { ...pendingSteps[2]!, state: 'failed' },
      pendingSteps[3]!,
    ],
  });
  expect(short(eventsBetween(before, after))).toEqual(['undoing', '3/4 failed', '2/4 undone', '1/4 undoing']);
});
