import { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type { ObservedCluster } from '../../../src/cluster/observed';
import type { HeldLock, LockName } from '../../../src/cluster/locks';
import type { Tier } from '../../../src/cluster/maintenance/sides';
import { lockWorkflowId, statusQuery } from '../../../src/workflows/messages';
import type { Outcome, Report, RunState } from '../../../src/workflows/run-state';
import { enginesWith, ENGINES, fullTopology, redisWith, REDIS } from '../../cluster/maintenance/tiers';
import { picture, PRIMARY, STANDBY, turned } from '../../cluster/support/picture';
import { eventually, type WorkflowServer } from './server';

/** What a runbook of a tier was asked for. */
export interface ChildInput {
  cluster: string;
  mode: 'plan' | 'run';
  approval: string;
  target: string;
  startedBy: string;
  reason: string;
  expectedActive?: string;
  expectedMaster?: string;
  expectedPrimary?: string;
}

const tierOf: Readonly<Record<string, Tier>> = {
  engineSwitchover: 'engine',
  redisFailover: 'redis',
  switchover: 'postgres',
};

/** A run of a runbook that ended badly. */
export const ended = (type: string, outcome: Outcome, says: string) =>
  ApplicationFailure.create({
    message: says,
    type,
    nonRetryable: true,
    details: [{ version: 1, outcome, says, warnings: [], steps: [], checks: [], next: [] }],
  });

let clusters = 0;

/** A stack of all tiers that exists in a maintenance's eyes only. */
export class MaintainedCluster {
  readonly name = `m${++clusters}-${process.pid}`;
  /** Who is active in each tier. */
  readonly active: Record<Tier, string> = { engine: ENGINES[0], redis: REDIS[0], postgres: PRIMARY };
  /** What was asked of the runbooks, in order: `plan engine veloz-engine-2`. */
  readonly asked: string[] = [];
  readonly inputs: ChildInput[] = [];
  /** The ids of the runbooks' runs. */
  readonly ids: string[] = [];
  /** How many runbooks move something at this moment, and how many did at most. */
  moving = 0;
  most = 0;
  /** How a runbook ends instead of doing what it is asked for: by `plan engine`, `run postgres`. */
  readonly fails = new Map<string, () => Error>();
  /** Called while a runbook moves a tier. */
  whileMoving: (tier: Tier) => Promise<unknown> = () => Promise.resolve();
  topology = fullTopology();
  constructor(private readonly server: WorkflowServer) {}

  activities(): object {
    return {
      describeCluster: () => Promise.resolve({ name: this.name, topology: this.topology }),
      observe: () => Promise.resolve(this.postgres()),
      observeRedis: () => Promise.resolve(redisWith(this.active.redis, this.name)),
      observeEngines: () => Promise.resolve(enginesWith(this.active.engine, this.name)),
      heldLocks: async (_cluster: string, locks: readonly LockName[]) =>
        (await Promise.all(locks.map((lock) => this.held(lock)))).flat(),
      conduct: (workflow: string, workflowId: string, input: ChildInput) => this.conduct(workflow, workflowId, input),
    };
  }

  private async held(lock: LockName): Promise<HeldLock[]> {
    try {
      const { status, workflowId } = await this.server.client.getHandle(lockWorkflowId(this.name, lock)).describe();
      return status.name === 'RUNNING' ? [{ lock, holder: workflowId }] : [];
    } catch {
      return [];
    }
  }

  private postgres(): ObservedCluster {
    return (this.active.postgres === STANDBY ? turned(picture()) : picture()).observed;
  }

  private async conduct(workflow: string, workflowId: string, input: ChildInput): Promise<unknown> {
    const tier = tierOf[workflow] ?? 'postgres';
    this.asked.push(`${input.mode} ${tier} ${input.target}`);
    this.inputs.push(input);
    this.ids.push(workflowId);
    const failure = this.fails.get(`${input.mode} ${tier}`);
    if (input.mode === 'run') {
      this.most = Math.max(this.most, ++this.moving);
      await this.whileMoving(tier);
      this.moving -= 1;
    }
    if (failure !== undefined) throw failure();
    if (input.mode === 'run') this.active[tier] = input.target;
    const report: Partial<Report> = {
      version: 1,
      workflowId,
      outcome: input.mode === 'plan' ? 'planned' : 'completed',
      says: `${tier} is at ${input.target}`,
      warnings: tier === 'redis' && input.mode === 'run' ? ['a Sentinel was slow'] : [],
      steps: [],
      checks: [],
      next: [],
      plan: {
        primary: '',
        target: input.target,
        protection: 'zero-loss',
        steps: [{ id: 'move', says: 'move', expectedMs: 1000, pointOfNoReturn: true }],
        expectedHoldMs: { engine: 200, redis: 300, postgres: 900 }[tier],
        expectedHoldBasis: 'a guess',
        holdLimitMs: 5000,
      },
    };
    return report;
  }

  /** What was moved, in order. */
  get moved(): string[] {
    return this.asked.filter((one) => one.startsWith('run ')).map((one) => one.slice(4));
  }

  /** Runs a maintenance beside `body`, to its end. */
  async run(
    input: object | undefined,
    body: (held: MaintenanceHandle) => Promise<unknown> = () => Promise.resolve(),
  ): Promise<{ type?: string; message?: string; report: Report }> {
    return this.server.withWorker(this.activities(), async (taskQueue) => {
      const workflowId = `maintenance/${this.name}/test`;
      const args = input === undefined ? [] : [{ cluster: this.name, approval: 'given', soak: '0s', ...input }];
      const handle = await this.server.client.start('maintenance', { taskQueue, workflowId, args });
      // An empty form of the Web UI sends no argument at all.
      const update = (name: string) => (given?: object) =>
        given === undefined
          ? handle.executeUpdate<string, []>(name)
          : handle.executeUpdate<string, [object]>(name, { args: [given] });
      const state = () => handle.query(statusQuery);
      await body({
        taskQueue,
        state,
        in: (phase) =>
          eventually(
            `the phase ${phase}`,
            async () => {
              const now = await state();
              return now.phase === phase ? now : undefined;
            },
            () => this.asked,
          ),
        moveBack: update('moveBack'),
        finish: update('finish'),
        abort: update('abort'),
        approve: update('approve'),
        cancel: async () => {
          await handle.cancel();
        },
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

/** A maintenance that runs. */
export interface MaintenanceHandle {
  taskQueue: string;
  state(): Promise<RunState>;
  /** Waits until it is in this phase. */
  in(phase: RunState['phase']): Promise<RunState>;
  moveBack(decision?: object): Promise<string>;
  finish(decision?: object): Promise<string>;
  abort(decision?: object): Promise<string>;
  approve(decision?: object): Promise<string>;
  cancel(): Promise<void>;
}
