import {
  initialStepStates,
  runSteps,
  type RunnerHost,
  type Step,
  type StepsOutcome,
} from '../../../src/workflows/runbook/runner';
import type { StepState } from '../../../src/workflows/run-state';

/** Writes down all that the runner does, in order. The clock goes on by 10 ms each time it is looked at. */
class Book implements RunnerHost {
  readonly log: string[] = [];
  readonly warnings: string[] = [];
  readonly said: string[] = [];
  passed = 0;
  abort: string | undefined;
  private time = 0;

  now(): number {
    return (this.time += 10);
  }
  abortRequested(): string | undefined {
    return this.abort;
  }
  changed(says: string): void {
    this.said.push(says);
  }
  warn(warning: string): void {
    this.warnings.push(warning);
  }
  pointOfNoReturnPassed(): void {
    this.passed += 1;
    this.log.push('no return');
  }
}

/** A step that writes down its doing and its undoing. */
function step(book: Book, id: string, rest: Partial<Step> = {}): Step {
  return {
    id,
    says: `do ${id}`,
    run: () => {
      book.log.push(id);
      return Promise.resolve();
    },
    undo: {
      says: `undo ${id}`,
      run: () => {
        book.log.push(`undo ${id}`);
        return Promise.resolve();
      },
    },
    ...rest,
  };
}

/** Does its part and then fails, the given number of times. */
function failing(book: Book, id: string, message: string, times = Infinity): Pick<Step, 'run'> {
  let left = times;
  return {
    run: () => {
      book.log.push(id);
      left -= 1;
      return left >= 0 ? Promise.reject(new Error(message)) : Promise.resolve();
    },
  };
}

/** The step after which there is only forward; it says whether it could be put back. */
function turning(book: Book, id: string, rollBack: () => Promise<boolean>, rest: Partial<Step> = {}): Step {
  return step(book, id, {
    undo: undefined,
    pointOfNoReturn: {
      rollBack: () => {
        book.log.push(`roll back ${id}`);
        return rollBack();
      },
    },
    ...rest,
  });
}
const never = (): Promise<boolean> => Promise.reject(new Error('it was not to be asked'));

async function run(book: Book, steps: Step[]): Promise<{ outcome: StepsOutcome; states: StepState[] }> {
  const states = initialStepStates(steps);
  return { outcome: await runSteps(steps, states, book), states };
}
const statesOf = (states: StepState[]) => states.map(({ id, state }) => `${id} ${state}`);

describe('steps that succeed', () => {
  test('run in order, each once, and nothing is undone', async () => {
    const book = new Book();
    const { outcome, states } = await run(book, [
      step(book, 'a'),
      turning(book, 'b', never),
      step(book, 'c', { undo: undefined }),
    ]);
    expect(outcome).toEqual({ kind: 'done' });
    expect(book.log).toEqual(['a', 'b', 'no return', 'c']);
    expect(statesOf(states)).toEqual(['a done', 'b done', 'c done']);
  });

  test('wait for the one before to be finished', async () => {
    const book = new Book();
    const slow = step(book, 'a', {
      run: async () => {
        book.log.push('a begins');
        await new Promise((resolve) => setTimeout(resolve, 5));
        book.log.push('a ends');
      },
    });
    await run(book, [slow, step(book, 'b')]);
    expect(book.log).toEqual(['a begins', 'a ends', 'b']);
  });

  test('are all done when there is none', async () => {
    expect((await run(new Book(), [])).outcome).toEqual({ kind: 'done' });
  });

  test('leave when they began, how long they took, and what they measured', async () => {
    const book = new Book();
    const subSteps = [{ id: 'hold', says: 'hold clients', ms: 4, atMs: 0 }];
    const { states } = await run(book, [
      step(book, 'a', {
        expectedMs: 7,
        run: () => Promise.resolve({ detail: '3 slots', subSteps, warnings: ['odd'] }),
      }),
    ]);
    expect(states).toEqual([
      {
        id: 'a',
        says: 'do a',
        state: 'done',
        pointOfNoReturn: false,
        expectedMs: 7,
        startedAt: 10,
        ms: 10,
        detail: '3 slots',
        subSteps,
      },
    ]);
    expect(book.warnings).toEqual(['odd']);
  });

  test('are seen at work: each change is told when the states show it', async () => {
    const book = new Book();
    const seen: string[] = [];
    const steps = [step(book, 'a'), turning(book, 'b', never)];
    const states = initialStepStates(steps);
    book.changed = () => seen.push(statesOf(states).join(', '));
    expect(statesOf(states)).toEqual(['a pending', 'b pending']);
    await runSteps(steps, states, book);
    expect(seen).toEqual(['a running, b pending', 'a done, b pending', 'a done, b running', 'a done, b done']);
  });

  test('need a state each', async () => {
    const book = new Book();
    await expect(runSteps([step(book, 'a')], [], book)).rejects.toThrow('step a has no state');
    expect(book.log).toEqual([]);
  });
});

describe('a failure before the point of no return', () => {
  test('undoes what began in reverse order, the failed step included, for it may have done half of its work', async () => {
    const book = new Book();
    const { outcome, states } = await run(book, [
      step(book, 'a'),
      step(book, 'b', { undo: undefined }),
      step(book, 'c', failing(book, 'c', 'disk full')),
      step(book, 'd'),
    ]);
    expect(book.log).toEqual(['a', 'b', 'c', 'undo c', 'undo a']);
    expect(outcome).toMatchObject({ kind: 'rolled back', step: 'c', cause: { message: 'disk full' } });
    expect(statesOf(states)).toEqual(['a undone', 'b done', 'c undone', 'd pending']);
    expect(book.passed).toBe(0);
  });

  test('leaves a failed step that has no undo as failed, with the reason', async () => {
    const book = new Book();
    const { states } = await run(book, [step(book, 'a', { ...failing(book, 'a', 'no'), undo: undefined })]);
    expect(states).toMatchObject([{ state: 'failed', detail: 'no', ms: 10 }]);
  });

  test('keeps what an undo says', async () => {
    const book = new Book();
    const undo = { says: 'undo a', run: () => Promise.resolve('slots dropped') };
    const { states } = await run(book, [step(book, 'a', { undo }), step(book, 'b', failing(book, 'b', 'no'))]);
    expect(states[0]).toMatchObject({ state: 'undone', detail: 'slots dropped' });
  });

  test('shows the undoing while it goes on', async () => {
    const book = new Book();
    let during = '';
    const steps: Step[] = [
      step(book, 'a', {
        undo: { says: 'undo a', run: () => Promise.resolve(void (during = statesOf(states).join())) },
      }),
      step(book, 'b', { ...failing(book, 'b', 'no'), undo: undefined }),
    ];
    const states = initialStepStates(steps);
    await runSteps(steps, states, book);
    expect(during).toBe('a undoing,b failed');
    expect(book.said).toContain('undo a');
  });

  test('says what could not be put back, and stops there: what was done before it may rest on it', async () => {
    const book = new Book();
    const { outcome, states } = await run(book, [
      step(book, 'a'),
      step(book, 'b', { undo: { says: 'undo b', run: () => Promise.reject(new Error('node is gone')) } }),
      step(book, 'c', failing(book, 'c', 'disk full')),
    ]);
    expect(outcome).toMatchObject({
      kind: 'undo failed',
      step: 'b',
      cause: { message: 'disk full' },
      undoCause: { message: 'node is gone' },
    });
    expect(book.log).toEqual(['a', 'b', 'c', 'undo c']);
    expect(states[1]).toMatchObject({ state: 'failed', detail: 'could not be undone: node is gone' });
    expect(states[0]).toMatchObject({ state: 'done' });
  });
});

describe('an abort', () => {
  test('before the first step changes nothing', async () => {
    const book = new Book();
    book.abort = 'aborted by ann';
    const { outcome, states } = await run(book, [step(book, 'a')]);
    expect(outcome).toEqual({ kind: 'aborted', why: 'aborted by ann' });
    expect(book.log).toEqual([]);
    expect(statesOf(states)).toEqual(['a pending']);
  });

  test('between two steps lets the running one end, and then puts everything back', async () => {
    const book = new Book();
    const { outcome, states } = await run(book, [
      step(book, 'a'),
      step(book, 'b', {
        run: () => {
          book.log.push('b');
          book.abort = 'aborted by ann: lunch';
          return Promise.resolve();
        },
      }),
      turning(book, 'c', never),
    ]);
    expect(outcome).toEqual({ kind: 'aborted', why: 'aborted by ann: lunch' });
    expect(book.log).toEqual(['a', 'b', 'undo b', 'undo a']);
    expect(statesOf(states)).toEqual(['a undone', 'b undone', 'c pending']);
  });

  test('that can’t be put back says so', async () => {
    const book = new Book();
    const { outcome } = await run(book, [
      step(book, 'a', {
        run: () => Promise.resolve(void (book.abort = 'aborted by ann')),
        undo: { says: 'undo a', run: () => Promise.reject(new Error('node is gone')) },
      }),
      step(book, 'b'),
    ]);
    expect(outcome).toMatchObject({
      kind: 'undo failed',
      step: 'a',
      cause: { message: 'aborted by ann' },
      undoCause: { message: 'node is gone' },
    });
    expect(book.log).toEqual([]);
  });

  test('that comes while the point of no return is passed is too late: the run goes forward and says so', async () => {
    const book = new Book();
    const { outcome } = await run(book, [
      step(book, 'a'),
      turning(book, 'b', never, { run: () => Promise.resolve(void (book.abort = 'aborted by ann')) }),
      step(book, 'c'),
    ]);
    expect(outcome).toEqual({ kind: 'done' });
    expect(book.log).toEqual(['a', 'no return', 'c']);
    expect(book.warnings).toEqual(['aborted by ann, but too late: the point of no return was passed']);
  });

  test('after the point of no return is not even asked for', async () => {
    const book = new Book();
    const { outcome } = await run(book, [
      turning(book, 'a', never),
      step(book, 'b', { run: () => Promise.resolve(void (book.abort = 'aborted by ann')) }),
      step(book, 'c'),
    ]);
    expect(outcome).toEqual({ kind: 'done' });
    expect(book.log).toEqual(['a', 'no return', 'c']);
    expect(book.warnings).toEqual([]);
  });
});

describe('a failure of the step of no return', () => {
  test('that was put back undoes the steps before it', async () => {
    const book = new Book();
    const { outcome, states } = await run(book, [
      step(book, 'a'),
      turning(book, 'b', () => Promise.resolve(true), failing(book, 'b', 'stop took too long')),
      step(book, 'c'),
    ]);
    expect(outcome).toMatchObject({ kind: 'rolled back', step: 'b', cause: { message: 'stop took too long' } });
    expect(book.log).toEqual(['a', 'b', 'roll back b', 'undo a']);
    expect(statesOf(states)).toEqual(['a undone', 'b undone', 'c pending']);
  });

  test('that can’t be put back any more is tried again, forward only', async () => {
    const book = new Book();
    const { outcome, states } = await run(book, [
      step(book, 'a'),
      turning(book, 'b', () => Promise.resolve(false), failing(book, 'b', 'worker died', 1)),
      step(book, 'c'),
    ]);
    expect(outcome).toEqual({ kind: 'done' });
    expect(book.log).toEqual(['a', 'b', 'roll back b', 'no return', 'b', 'c']);
    expect(statesOf(states)).toEqual(['a done', 'b done', 'c done']);
    expect(states[1]).not.toHaveProperty('detail');
    expect(book.passed).toBe(1);
  });

  test('that fails forward as well leaves the run incomplete, and undoes nothing', async () => {
    const book = new Book();
    const { outcome, states } = await run(book, [
      step(book, 'a'),
      turning(book, 'b', () => Promise.resolve(false), failing(book, 'b', 'target is gone')),
      step(book, 'c'),
    ]);
    expect(outcome).toMatchObject({ kind: 'incomplete', step: 'b', cause: { message: 'target is gone' } });
    expect(book.log).toEqual(['a', 'b', 'roll back b', 'no return', 'b']);
    expect(statesOf(states)).toEqual(['a done', 'b failed', 'c pending']);
  });

  test('of which nobody can say whether it can be put back undoes nothing, and says so', async () => {
    const book = new Book();
    const { outcome, states } = await run(book, [
      step(book, 'a'),
      turning(book, 'b', () => Promise.reject(new Error('agent is silent')), failing(book, 'b', 'worker died')),
    ]);
    expect(outcome).toMatchObject({
      kind: 'undo failed',
      step: 'b',
      cause: { message: 'worker died' },
      undoCause: { message: 'agent is silent' },
    });
    expect(book.log).toEqual(['a', 'b', 'roll back b']);
    expect(statesOf(states)).toEqual(['a done', 'b failed']);
    expect(book.passed).toBe(0);
  });

  test('is not aborted on the way forward', async () => {
    const book = new Book();
    const { outcome } = await run(book, [
      turning(
        book,
        'a',
        () => {
          book.abort = 'cancelled';
          return Promise.resolve(false);
        },
        failing(book, 'a', 'worker died', 1),
      ),
      step(book, 'b'),
    ]);
    expect(outcome).toEqual({ kind: 'done' });
    expect(book.warnings).toEqual(['cancelled, but too late: the point of no return was passed']);
  });
});

describe('a failure after the point of no return', () => {
  test('leaves the run incomplete: nothing is undone, and nothing further is tried', async () => {
    const book = new Book();
    const { outcome, states } = await run(book, [
      step(book, 'a'),
      turning(book, 'b', never),
      step(book, 'c', failing(book, 'c', 'does not catch up')),
      step(book, 'd'),
    ]);
    expect(outcome).toMatchObject({ kind: 'incomplete', step: 'c', cause: { message: 'does not catch up' } });
    expect(book.log).toEqual(['a', 'b', 'no return', 'c']);
    expect(statesOf(states)).toEqual(['a done', 'b done', 'c failed', 'd pending']);
  });
});
