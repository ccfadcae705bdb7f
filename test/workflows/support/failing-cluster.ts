import { ApplicationFailure, WorkflowFailedError } from '@temporalio/client';
import type { Activities, FailoverMove, FailoverResult } from '../../../src/activities';
import type { Check } from '../../../src/cluster/check';
import type { Ledger } from '../../../src/cluster/guard/ledger';
import type { ObservedCluster } from '../../../src/cluster/observed';
import type { FailoverInput } from '../../../src/workflows/failover-input';
import { giveWaySignal, statusQuery } from '../../../src/workflows/messages';
import type { Report, RunState } from '../../../src/workflows/run-state';
import {
  clusterTopology,
  picture,
  PRIMARY,
  STANDBY,
  STANDBY_2,
  stopped,
  type Picture,
} from '../../cluster/support/picture';
import { protectedLedger } from './guarded-cluster';
import { eventually, type WorkflowServer } from './server';

/** Something that can't be repeated, so that a test need not wait for retries. */
export const fails = (says: string, type = 'Failed', details: Record<string, unknown> = {}) =>
  ApplicationFailure.create({ message: says, type, nonRetryable: true, details: [details] });

/** A check that refuses. */
export const refusal: Check = {
  id: 'I7',
  says: 'nothing acknowledged can be lost',
  refusal: 'acknowledged commits may be lost',
  result: 'refuse',
  measured: 'the ledger says degraded',
  limit: 'protected',
  next: 'veloz-ha postgres promote --allow-data-loss 16MiB',
};

let clusters = 0;
let runs = 0;

/** A cluster whose primary was killed, and activities that do what the test says and write down that they were asked. */
export class FailingCluster {
  readonly name = `f${++clusters}-${process.pid}`;
  readonly did: string[] = [];
  moved: FailoverMove | undefined;
  ledger: Ledger | undefined = protectedLedger();
  seen: Picture = picture();
  soakedMs: number | undefined;
  observed: () => Promise<ObservedCluster> = () => Promise.resolve(this.seen.observed);
  readonly can: Partial<Activities> = {};
  result: Partial<FailoverResult> = {};

  constructor(private readonly server: WorkflowServer) {
    stopped(this.seen.node(PRIMARY));
  }

  activities(): Partial<Activities> {
    const released = () => Date.now();
    const all: Partial<Activities> = {
      describeCluster: () => Promise.resolve({ name: this.name, topology: clusterTopology() }),
      observe: () => this.observed(),
      readLedger: () => Promise.resolve(this.ledger),
      lockHolder: () => Promise.resolve('switchover/other'),
      heldLocks: () => Promise.resolve([]),
      planFailOver: () => Promise.resolve({ checks: [{ ...refusal, result: 'ok' }], target: STANDBY }),
      failOver: (move) => {
        this.moved = move;
        return Promise.resolve({
          target: STANDBY,
          others: [],
          checks: [{ ...refusal, result: 'ok' }],
          fence: `${PRIMARY}: its container is exited, and the fence lies in its volume`,
          lossBound: 0,
          proof: `${STANDBY} was heard`,
          receivedByTarget: '0/5000000',
          timelineBefore: 3,
          names: '',
          subSteps: [{ id: 'fence', says: `fence ${PRIMARY}, and prove it`, ms: 90, atMs: 40 }],
          marks: {
            fencedAt: released(),
            promotedAt: released(),
            routedAt: released(),
            releasedAt: released(),
            fenceMs: 90,
            promoteMs: 130,
            routeMs: 9,
          },
          warnings: [],
          ...this.result,
        });
      },
      undoFailOver: () => Promise.resolve(true),
      recordPromotion: () => Promise.resolve({ timeline: 4, epoch: 2, detail: 'epoch 2, timeline 4', warnings: [] }),
      lookAtRejoin: () => Promise.resolve({ state: 'streams', says: `${PRIMARY} streams from ${STANDBY}` }),
      startAsStandby: () => Promise.resolve({ streams: true, ms: 300 }),
      settleRejoin: () =>
        Promise.resolve({
          protectedAt: Date.now(),
          timeline: 4,
          names: 'veloz_standby',
          detail: 'synchronous',
          freedBytes: 0,
          warnings: [],
        }),
      verifyMove: (_request, soakMs) => {
        this.soakedMs = soakMs;
        return Promise.resolve({ detail: 'one primary', warnings: [], soakedMs: soakMs });
      },
      releaseNodes: () => Promise.resolve(),
      ...this.can,
    };
    return Object.fromEntries(
      Object.entries(all).map(([name, activity]) => [
        name,
        (...args: unknown[]) => {
          this.did.push(name);
          return (activity as (...values: unknown[]) => unknown)(...args);
        },
      ]),
    );
  }

  /** What a guard hands over. */
  incident(rest: Partial<FailoverInput['incident']> = {}): FailoverInput {
    const since = Date.now() - 60;
    return {
      cluster: this.name,
      approval: 'given',
      soak: '0s',
      startedBy: `guard of ${this.name}`,
      expectedPrimary: PRIMARY,
      incident: {
        run: `failover-${this.name}/6f9619ff-8b86-4d01-b42d-00cf4fc964ff`,
        since,
        decidedAt: since + 46,
        kind: 'dead',
        says: `${PRIMARY} is dead`,
        signals: [{ at: since, source: 'docker', says: 'the container is exited', speaks: 'for' }],
        lastLsn: '0/5000000',
        ledger: protectedLedger(),
        ...rest,
      },
    };
  }

  /** Runs a failover beside `body`, to its end. */
  async run(
    input: unknown,
    body: (handle: FailoverHandle) => Promise<unknown> = () => Promise.resolve(),
  ): Promise<{ type?: string; message?: string; report: Report }> {
    return this.server.withWorker(this.activities(), async (taskQueue) => {
      const workflowId = `failover-${this.name}-${++runs}`;
      const args = input === undefined ? [] : [input];
      const handle = await this.server.client.start('failover', { taskQueue, workflowId, args });
      await body({
        abort: () => handle.executeUpdate('abort', { args: [{ by: 'ada' }] }),
        approve: () => handle.executeUpdate('approve', { args: [{ by: 'ada', why: 'go' }] }),
        reject: () => handle.executeUpdate('reject', { args: [{ by: 'ada', why: 'not now' }] }),
        cancel: async () => {
          await handle.cancel();
        },
        giveWay: (primary) => handle.signal(giveWaySignal, { primary, why: `${primary} is dead` }),
        asks: () =>
          eventually('a question', async () => {
            const state = await handle.query(statusQuery);
            return state.phase === 'awaiting approval' ? state : undefined;
          }),
      });
      try {
        return { report: (await handle.result()) as Report };
      } catch (error) {
        const cause = error instanceof WorkflowFailedError ? error.cause : undefined;
        if (!(cause instanceof ApplicationFailure)) throw error;
        const report = cause.details?.[0] as Report;
        return { type: cause.type ?? '', message: cause.message, report };
      }
    });
  }
}

/** A failover that runs. */
export interface FailoverHandle {
  abort(): Promise<unknown>;
  approve(): Promise<unknown>;
  reject(): Promise<unknown>;
  cancel(): Promise<void>;
  /** The guard asks it to let go of its lock, for this primary. */
  giveWay(primary: string): Promise<void>;
  /** Waits until it asks. */
  asks(): Promise<RunState>;
}

export { PRIMARY, STANDBY, STANDBY_2 };
