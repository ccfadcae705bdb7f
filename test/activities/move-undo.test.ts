import { MockActivityEnvironment } from '@temporalio/testing';
import { accessCluster, type ClusterAccess } from '../../src/activities/deps';
import type { MoveRequest, Parts } from '../../src/activities/move-parts';
import { putBack } from '../../src/activities/move-undo';
import { FakeEngine, PRIMARY, STANDBY } from './guard/support/fake-engine';

/** Asks for everything to be put back while the source's server does not end. Returns what its agent was told to do. */
async function undo({ reached = true } = {}): Promise<[string, Record<string, unknown>][]> {
  const told: [string, Record<string, unknown>][] = [];
  let state = 'stopping';
  const source = {
    call: (name: string, args: Record<string, unknown>) => {
      if (name !== 'observe') told.push([name, args]);
      if (name === 'start') state = 'running';
      return Promise.resolve({ desired: 'held', postgres: { state }, signals: { standby: false } });
    },
  };
  const pooler = { call: () => Promise.resolve({}) };
  const access = {
    ...accessCluster(new FakeEngine().deps, 'veloz'),
    sql: () =>
      reached
        ? Promise.resolve({ query: () => Promise.resolve([{ in_recovery: false }]), close: () => undefined })
        : Promise.reject(new Error('connect EHOSTUNREACH')),
  } as unknown as ClusterAccess;
  const request = { cluster: 'veloz', run: 'r', source: PRIMARY, target: STANDBY } as MoveRequest;
  const parts = { token: { run: 'r', attempt: 1 }, source, pooler } as unknown as Parts;
  await new MockActivityEnvironment().run(() => putBack(access, request, parts));
  return told;
}

test('a source that still stops is ended and started as it was, rather than waited for while clients wait', async () => {
  const began = performance.now();
  expect(await undo()).toEqual([['start', { token: { run: 'r', attempt: 1 }, as: 'primary', endsStop: true }]]);
  expect(performance.now() - began).toBeLessThan(10_000);
});

test('a source that nobody reaches once it runs again keeps clients no longer than a moment', async () => {
  const began = performance.now();
  expect(await undo({ reached: false })).toHaveLength(1);
  expect(performance.now() - began).toBeLessThan(10_000);
});
