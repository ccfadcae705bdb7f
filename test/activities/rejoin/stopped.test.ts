import { MockActivityEnvironment } from '@temporalio/testing';
import { lookAtRejoin, type RejoinLook } from '../../../src/activities/rejoin/look';
import { FakeEngine, PRIMARY, STANDBY } from '../guard/support/fake-engine';

// Whether it can be had back is another matter: here nobody reaches the new primary.
jest.mock('../../../src/systems/postgres', () => ({
  ...jest.requireActual<object>('../../../src/systems/postgres'),
  connectPostgres: () => Promise.reject(new Error('nobody is asked here')),
}));

describe('an old primary that nobody asked to have back', () => {
  let engine: FakeEngine;
  beforeEach(() => {
    engine = new FakeEngine();
    Object.assign(engine.deps, { environment: { VELOZ_PG_HA_PASSWORD: 'x', VELOZ_PG_PASSWORD: 'x' } });
  });

  const look = (status: string, exitCode: number | undefined, leavesStopped = true) => {
    engine.status[PRIMARY] = status;
    if (exitCode !== undefined) engine.exitCodes[PRIMARY] = exitCode;
    const request = {
      cluster: 'veloz',
      run: 'run 7',
      node: PRIMARY,
      primary: STANDBY,
      method: 'auto' as const,
      turn: 0,
    };
    return new MockActivityEnvironment().run<[], RejoinLook, () => Promise<RejoinLook>>(() =>
      lookAtRejoin(engine.deps, leavesStopped ? { ...request, leavesStopped } : request),
    );
  };

  test.each([0, 143])('and that was told to stop (code %d) is left, and nothing is done to it', async (exitCode) => {
    expect(await look('exited', exitCode)).toEqual({
      state: 'left',
      says: `${PRIMARY} was told to stop (its container is exited, exit code ${exitCode}), and stays so`,
    });
    expect(engine.did).toEqual([]);
  });

  test('and so is one that Docker, or a fence, had to kill for that', async () => {
    engine.toldToStop.push(PRIMARY);
    expect(await look('exited', 137)).toMatchObject({ state: 'left' });
    expect(engine.did).toEqual([]);
  });

  test.each<[string, string, number | undefined, boolean]>([
    ['was killed', 'exited', 137, true],
    ['ran out of memory or crashed', 'exited', 1, true],
    ['runs again by now', 'running', undefined, true],
    ['was never started', 'created', undefined, true],
    ['was told to stop, and is asked for by a person', 'exited', 0, false],
  ])('one that %s is not', async (_what, status, exitCode, leaves) => {
    await expect(look(status, exitCode, leaves)).rejects.toThrow('nobody is asked here');
  });
});
