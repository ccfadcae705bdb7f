import { ApplicationFailure } from '@temporalio/common';
import { workerLogger } from '../../src/worker/log';

const logged = (error: unknown): Record<string, unknown> => {
  const lines: string[] = [];
  workerLogger({ write: (line) => void lines.push(line) }).warn({ error, attempt: 1 }, 'Activity failed');
  return JSON.parse(lines[0] ?? '') as Record<string, unknown>;
};

test('a failed activity is told with its reason', () => {
  const failure = ApplicationFailure.create({
    message: 'Another run took the nodes',
    type: 'Failed',
    nonRetryable: true,
  });
  expect(logged(failure)).toMatchObject({
    msg: 'Activity failed',
    attempt: 1,
    error: {
      type: 'Failed',
      message: 'Another run took the nodes',
      stack: expect.stringContaining('log.test.ts') as unknown,
    },
  });
});

test('what the core tells as a sentence stays one', () => {
  expect(logged('tcp connect error').error).toBe('tcp connect error');
});
