import type { Client } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import { MockActivityEnvironment } from '@temporalio/testing';
import { heartbeat, sleep } from '../../src/activities/context';
import { accessCluster } from '../../src/activities/deps';
import { fenceNode } from '../../src/activities/fence';
import { Overtaken, Permit, stillMine, stillWanted } from '../../src/activities/still-mine';
import { startOldPrimary } from '../../src/activities/repair/start-primary';
import { wakeNode } from '../../src/activities/repair/wake';
import { rewindOrCopy } from '../../src/activities/rejoin/data';
import { fencedAgent } from '../../src/activities/rejoin/parts';
import { Attempt, overtaken } from './attempts';
import { FakeEngine, PRIMARY, STANDBY } from './guard/support/fake-engine';

const { WORKFLOW_EXECUTION_STATUS_RUNNING: RUNNING, WORKFLOW_EXECUTION_STATUS_TERMINATED: TERMINATED } =
  temporal.api.enums.v1.WorkflowExecutionStatus;
const { PENDING_ACTIVITY_STATE_CANCEL_REQUESTED: TOLD_TO_END } = temporal.api.enums.v1.PendingActivityState;

/** An activity's second attempt, and what Temporal says of its run when it is asked. */
function secondAttempt(says: () => object | Promise<object>, heartbeatTimeoutMs = 1000): MockActivityEnvironment {
  const client = {
    // The environment takes a client that it can have follow its cancellation.
    withAbortSignal: (_signal: AbortSignal, body: () => unknown) => body(),
    options: { namespace: 'default' },
    workflowService: { describeWorkflowExecution: () => Promise.resolve(says()) },
  } as unknown as Client;
  const workflowExecution = { workflowId: 'failover-veloz', runId: 'r' };
  return new MockActivityEnvironment(
    { activityId: '7', attempt: 2, workflowExecution, heartbeatTimeoutMs },
    { client },
  );
}

const running = (attempt: number, activityId = '7') => ({
  workflowExecutionInfo: { status: RUNNING },
  pendingActivities: [{ activityId, attempt }],
});

describe('an attempt that is about to act without a token', () => {
  test('may while Temporal says that it is the current one', async () => {
    await secondAttempt(() => running(2)).run(() => stillMine('kill n'));
  });

  test('may not when another attempt goes on', async () => {
    await expect(secondAttempt(() => running(3)).run(() => stillMine('kill n'))).rejects.toThrow(
      new Overtaken('this attempt may not kill n any more: attempt 3 goes on, and this is attempt 2'),
    );
  });

  test('may not when its activity has ended', async () => {
    await expect(secondAttempt(() => running(1, '8')).run(() => stillMine('kill n'))).rejects.toThrow(
      'this attempt may not kill n any more: its activity has ended',
    );
  });

  test('may not when Temporal does not tell', async () => {
    const silent = secondAttempt(() => Promise.reject(new Error('unavailable')));
    await expect(silent.run(() => stillMine('kill n'))).rejects.toThrow(
      'Temporal does not say whether this attempt may kill n: unavailable',
    );
  });

  test('asks again where the answer is old: the worker stood still in between', async () => {
    let asked = 0;
    const slow = secondAttempt(async () => {
      asked += 1;
      if (asked === 1) await sleep(600);
      return running(asked === 1 ? 2 : 3);
    });
    await expect(slow.run(() => stillMine('kill n'))).rejects.toThrow('attempt 3 goes on');
    expect(asked).toBe(2);
  });

  test('of a run that was terminated goes to its end, unless its worker stood still', async () => {
    const ended = () => ({ workflowExecutionInfo: { status: TERMINATED } });
    const acts = async (pauseMs: number) => {
      heartbeat('here');
      await sleep(pauseMs);
      // What a thawed event loop does first.
      heartbeat('here again');
      await stillMine('kill n');
    };
    await secondAttempt(ended, 100).run(() => acts(1));
    await expect(secondAttempt(ended, 100).run(() => acts(150))).rejects.toThrow(
      'this attempt may not kill n any more: its run has ended, and this worker stood still meanwhile',
    );
  });

  test('that was told to end goes on with what it has begun, and begins nothing', async () => {
    const told = () => ({
      workflowExecutionInfo: { status: RUNNING },
      pendingActivities: [{ activityId: '7', attempt: 2, state: TOLD_TO_END }],
    });
    await secondAttempt(told).run(() => stillMine('fence n'));
    await expect(secondAttempt(told).run(() => stillWanted('fence n'))).rejects.toThrow(
      'this attempt may not fence n any more: it was asked to end',
    );
    const ended = () => ({ workflowExecutionInfo: { status: TERMINATED } });
    await expect(secondAttempt(ended).run(() => stillWanted('fence n'))).rejects.toThrow('its run has ended');
    await secondAttempt(() => running(2)).run(() => stillWanted('fence n'));
  });

  test('kills no container, lays no fence and cuts nobody off when it thaws at the fence', async () => {
    const engine = new FakeEngine();
    engine.status[PRIMARY] = 'paused';
    const upstream = { host: 'veloz-postgres-standby', port: 5432 };
    const late = secondAttempt(() => running(3)).run(() =>
      fenceNode(engine.deps, accessCluster(engine.deps, 'veloz'), { run: 'r', attempt: 1 }, PRIMARY, upstream),
    );
    await expect(late).rejects.toThrow(Overtaken);
    expect(engine.did).toEqual([]);
  });
});

describe('a permit for a critical section', () => {
  test('asks again only where its word is older than half a second', async () => {
    const attempt = new Attempt(1, () => 1);
    await attempt.run(async () => {
      const permit = new Permit();
      permit.askAhead('promote n');
      await permit.may('promote n');
      await permit.may('follow n');
      expect(attempt.asked).toBe(1);
      await sleep(510);
      await permit.may('follow n');
      expect(attempt.asked).toBe(2);
    });
  });

  test('that was refused stays so', async () => {
    const attempt = overtaken();
    await attempt.run(async () => {
      const permit = new Permit();
      for (const what of ['promote n', 'follow n']) await expect(permit.may(what)).rejects.toThrow(Overtaken);
    });
    expect(attempt.asked).toBe(1);
  });
});

describe('an attempt that stood still starts no container of PostgreSQL, which a person may have stopped meanwhile:', () => {
  let engine: FakeEngine;
  beforeEach(() => {
    engine = new FakeEngine();
    engine.status[STANDBY] = 'exited';
  });
  afterEach(() => expect(engine.did).toEqual([]));
  const request = { cluster: 'veloz', run: 'r', node: STANDBY, turn: 0, primary: PRIMARY, method: 'auto' as const };

  test('a repair that wakes a node', async () => {
    await expect(overtaken().run(() => wakeNode(engine.deps, request))).rejects.toThrow(Overtaken);
  });

  test('a repair that starts the old primary', async () => {
    const { method: _, primary: _primary, ...repair } = request;
    await expect(overtaken().run(() => startOldPrimary(engine.deps, repair))).rejects.toThrow(Overtaken);
  });

  test('a rejoin, behind the fence that lies in its volume, or whose node makes its first copy', async () => {
    engine.status[STANDBY] = 'created';
    const upstream = { host: PRIMARY, port: 5432 };
    const fenced = overtaken().run(() =>
      fencedAgent(engine.deps, accessCluster(engine.deps, 'veloz'), { run: 'r', attempt: 1 }, STANDBY, upstream),
    );
    await expect(fenced).rejects.toThrow(Overtaken);
    await expect(overtaken().run(() => rewindOrCopy(engine.deps, request))).rejects.toThrow(Overtaken);
  });
});
