import { rootMessage } from '../../../src/workflows/runbook/runner';

describe('the message of a failure', () => {
  test('is that of the innermost cause, because Temporal wraps what an activity threw', () => {
    const inner = new Error('disk full');
    const outer = new Error('Workflow failed', { cause: new Error('Activity task failed', { cause: inner }) });
    expect(rootMessage(outer)).toBe('disk full');
    expect(rootMessage(inner)).toBe('disk full');
  });

  test('is the text of whatever else was thrown', () => {
    expect(rootMessage('plain')).toBe('plain');
    expect(rootMessage(new Error('a', { cause: 'not an error' }))).toBe('a');
    expect(rootMessage(undefined)).toBe('undefined');
  });
});
