import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { rewindOrCopy, windowMs, type RejoinWork, type RejoinWorkRequest } from '../../../src/activities/rejoin/data';
import { PRIMARY, STANDBY } from '../../cluster/support/picture';
import { done, FakeAgent, job } from './fake-agent';

const rewind = { method: 'rewind', why: 'it wrote on', divergedAt: '0/5000000', divergedTimeline: 2 } as const;
const copy = { method: 'copy', why: 'it has no data' } as const;

/** One call of the activity. */
function work(agent: FakeAgent, rest: Partial<RejoinWorkRequest> = {}): Promise<RejoinWork> {
  const request: RejoinWorkRequest = {
    cluster: 'veloz',
    run: 'run 7',
    node: PRIMARY,
    primary: STANDBY,
    method: 'auto',
    turn: 1,
    plan: rewind,
    ...rest,
  };
  // A refusal is what one of the tests is about: it need not be printed.
  const environment = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
  return environment.run<unknown[], RejoinWork, () => Promise<RejoinWork>>(() => rewindOrCopy(agent.deps, request));
}

describe('the data of a node is made to fit', () => {
  let agent: FakeAgent;
  beforeEach(() => (agent = new FakeAgent()));

  test('a rewind is begun and waited for', async () => {
    agent.jobs = [null, job(), done({ quarantine: '/q' })];
    expect(await work(agent)).toMatchObject({
      done: true,
      method: 'rewind',
      ms: 1000,
      doneBytes: 4096,
      quarantine: '/q',
    });
    expect(agent.asked).toEqual(['rewind']);
  });

  test('an attempt whose predecessor died joins what is under way', async () => {
    agent.jobs = [job(), job(), done()];
    expect(await work(agent)).toMatchObject({ done: true, method: 'rewind' });
    expect(agent.asked).toEqual([]);
  });

  test('one that comes after the end finds it done', async () => {
    agent.jobs = [done()];
    expect(await work(agent)).toMatchObject({ done: true, method: 'rewind' });
    expect(agent.asked).toEqual([]);
  });

  test('what an earlier run did is nothing to go by', async () => {
    agent.jobs = [done({ run: 'run 6', startedAtMs: 1 }), done()];
    await work(agent);
    expect(agent.asked).toEqual(['rewind']);
  });

  test('what an earlier run is still at is joined, and its end is ours', async () => {
    const theirs = { run: 'run 6', kind: 'copy', startedAtMs: 77 } as const;
    agent.jobs = [job(theirs)];
    const first = await work(agent);
    expect(first).toMatchObject({ done: false, startedAtMs: 77 });
    agent.jobs = [done(theirs)];
    expect(await work(agent, { startedAtMs: 77 })).toMatchObject({ done: true, method: 'copy' });
    expect(agent.asked).toEqual([]);
  });

  test('a long one returns with how far it is', async () => {
    agent.jobs = [null, job({ doneBytes: 2048, startedAtMs: Date.now() - 1000 })];
    agent.rewind = job({ doneBytes: 0, startedAtMs: Date.now() - 1000 });
    const said = await work(agent);
    expect(said).toMatchObject({ done: false, phase: 'pg_rewind', doneBytes: 2048, totalBytes: 4096 });
    expect(said.bytesPerSecond).toBeGreaterThan(0);
    expect(said.remainingMs).toBeGreaterThan(0);
  });
});

describe('a rewind that comes to nothing becomes a copy', () => {
  let agent: FakeAgent;
  beforeEach(() => (agent = new FakeAgent()));
  const copied = done({ kind: 'copy', startedAtMs: 1_795_405_910_000, endedAtMs: 1_795_405_914_000 });

  test.each<[what: string, set: (agent: FakeAgent) => void, why: string]>([
    [
      'it fails',
      () =>
        (agent.jobs = [
          null,
          job({ state: 'failed', error: 'no common ancestor' }),
          job({ state: 'failed', error: 'no common ancestor' }),
          copied,
        ]),
      'the rewind failed while pg_rewind: no common ancestor',
    ],
    [
      'its container ended, and the worker with it',
      () => (agent.jobs = [job({ state: 'interrupted' }), copied]),
      'the rewind was interrupted while pg_rewind',
    ],
    [
      'the agent refuses it',
      () => {
        agent.rewind = 'NoSuchWal';
        agent.jobs = [null, copied];
      },
      'the rewind was refused',
    ],
  ])('because %s', async (_what, set, why) => {
    set(agent);
    const said = await work(agent);
    expect(said).toMatchObject({ done: true, method: 'copy', ms: 4000 });
    expect(said.fellBack).toContain(why);
    expect(agent.asked.at(-1)).toBe('copy');
    expect(agent.asked.filter((command) => command === 'copy')).toHaveLength(1);
  });

  test('a refusal because of another run is no reason for a copy', async () => {
    agent.rewind = 'Superseded';
    await expect(work(agent)).rejects.toMatchObject({ type: 'Superseded' });
    expect(agent.asked).toEqual(['rewind']);
  });

  test('a copy that fails is told, and begun anew by the next call', async () => {
    agent.jobs = [null, job({ kind: 'copy', state: 'failed', phase: 'pg_basebackup', error: 'no space' })];
    const first = await work(agent, { plan: copy });
    expect(first).toMatchObject({ done: false, failed: 'the copy failed while pg_basebackup: no space' });
    agent.jobs = [job({ kind: 'copy', state: 'failed' }), copied];
    expect(await work(agent, { plan: copy, startedAtMs: first.startedAtMs })).toMatchObject({ done: true });
    expect(agent.asked).toEqual(['copy', 'copy']);
  });
});

describe('a node that copies the primary at its own first start', () => {
  const starting = (startGuard: string) => ({
    desired: 'up',
    postgres: { state: 'starting', pid: null, sinceMs: 5 },
    control: null,
    startGuard,
  });

  test('is waited for while it copies, and not where it does not get on with that', async () => {
    const agents = [new FakeAgent(), new FakeAgent()] as const;
    agents[0].seen = starting('Copying the primary veloz-postgres-standby:5432.');
    agents[1].seen = starting('Preparing the data directory failed and is begun anew: no route');
    const [copies, fails] = await Promise.all(agents.map((agent) => work(agent, { plan: undefined, startedAtMs: 5 })));
    expect(copies).toMatchObject({
      done: false,
      method: 'copy',
      phase: 'Copying the primary veloz-postgres-standby:5432.',
    });
    expect([copies?.failed, fails?.failed]).toEqual([undefined, expect.stringContaining('no route')]);
    expect(agents.map(({ asked }) => asked)).toEqual([[], []]);
  });

  test('is ready once its server starts', async () => {
    const agent = new FakeAgent();
    agent.seen = { desired: 'up', postgres: { state: 'starting', pid: 9, sinceMs: 6 }, control: {}, startGuard: null };
    expect(await work(agent, { plan: undefined })).toMatchObject({ done: true, method: 'copy' });
  });
});

test('a copy of five days fits into one history, and a short one is shown closely', () => {
  expect(windowMs(undefined)).toBe(2000);
  expect(windowMs(10_000)).toBe(5000);
  let calls = 1;
  for (let age = windowMs(undefined); age < 5 * 86_400_000; calls++) age += windowMs(age);
  // Six events each; the server ends a workflow at 51 200.
  expect(6 * calls).toBeLessThan(48_000);
  expect(windowMs(5 * 86_400_000)).toBe(60_000);
});
