import { setTimeout as sleep } from 'node:timers/promises';
import {
  QueryRejectedError,
  WorkflowClient,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import { guardCommand, START_TEMPORAL, START_WORKER, wholeStatus } from '../cluster/commands';
import { formatMs } from '../cluster/duration';
import { confirmedByBeat } from '../cluster/guard/confirmation';
import type { GuardMode } from '../cluster/guard/policy';
import type { GuardLook } from '../report/guard';
import { Problem } from '../systems/problem';
import {
  connectTemporal,
  countGuards,
  grpcCode,
  heartbeatOf,
  innermost,
  probe,
  temporalConfig,
  type TemporalClient,
} from '../systems/temporal';
import {
  guardQuery,
  guardWorkflowId,
  handOverUpdate,
  maintenanceUpdate,
  setModeUpdate,
  stopGuardUpdate,
  type GuardInput,
} from '../workflows/guard-messages';
import { TASK_QUEUE, WORKFLOW_TASK_TIMEOUT, type Decision } from '../workflows/messages';
import { toProblem } from './errors';
import type { Cli } from './io';
import { uiLink } from './links';
import { lost, queryTrouble } from './run-source';

const UPDATE_LIMIT_MS = 20_000;
const PROBE_LIMIT_MS = 500;
const END_LIMIT_MS = 2_000;
/** gRPC status codes of a call that ran out of time. */
const OUT_OF_TIME: readonly (number | undefined)[] = [1, 4];

/** The guard of one cluster, as the CLI sees it. Whichever run of it is open is meant: it continues as new by itself. */
export interface GuardSource {
  readonly cluster: string;
  readonly workflowId: string;
  readonly link: string;
  /** What the guard says of itself within the limit, in milliseconds. Never throws. */
  look(limitMs: number): Promise<GuardLook>;
}

/** A {@link GuardSource} on a Temporal server. */
export class TemporalGuard implements GuardSource {
  readonly workflowId: string;
  readonly link: string;
  private readonly workflows: WorkflowClient;

  constructor(
    private readonly temporal: TemporalClient,
    readonly cluster: string,
    env: NodeJS.ProcessEnv,
  ) {
    this.workflowId = guardWorkflowId(cluster);
    this.link = uiLink(env, temporal.namespace, this.workflowId);
    // A guard that has ended would go on answering with its last words, as if it still watched.
    const { connection, namespace } = temporal;
    this.workflows = new WorkflowClient({ connection, namespace, queryRejectCondition: 'NOT_OPEN' });
  }

  async look(limitMs: number): Promise<GuardLook> {
    const until = Date.now() + limitMs;
    try {
      const handle = this.workflows.getHandle(this.workflowId);
      const [state, described] = await this.temporal.connection.withDeadline(until, () =>
        Promise.all([handle.query(guardQuery), handle.describe().catch(() => undefined)]),
      );
      const beat = described === undefined ? undefined : heartbeatOf(described.raw, 'watchCluster');
      return { kind: 'guards', state: { ...state, ledger: confirmedByBeat(state.ledger, beat) } };
    } catch (error) {
      if (error instanceof QueryRejectedError || error instanceof WorkflowNotFoundError) return { kind: 'nobody' };
      const trouble = queryTrouble(error);
      switch (trouble.kind) {
        case 'no worker': {
          // gRPC waits as silently for a server that is gone as the server does for a worker that is gone.
          const why = await probe(this.temporal.address, PROBE_LIMIT_MS);
          return why === undefined
            ? { kind: 'silent', says: 'no worker answers', next: START_WORKER }
            : { kind: 'silent', says: `Temporal does not answer: ${why}`, next: START_TEMPORAL };
        }
        case 'no Temporal':
          return { kind: 'silent', says: `Temporal does not answer: ${trouble.message}`, next: START_TEMPORAL };
        case 'stuck':
          return { kind: 'silent', says: trouble.message, next: `see ${this.link}` };
      }
    }
  }

  /**
   * Starts the guard where none runs.
   * @returns whether it was started by this call; false when it ran already
   */
  async start(input: GuardInput): Promise<boolean> {
    try {
      // FAIL, and not USE_EXISTING, which keeps from its caller which of the two it was.
      await this.workflows.start('guard', {
        taskQueue: TASK_QUEUE,
        workflowId: this.workflowId,
        workflowIdConflictPolicy: 'FAIL',
        workflowTaskTimeout: WORKFLOW_TASK_TIMEOUT,
        args: [input],
        staticSummary: `Guard of cluster ${this.cluster}`,
      });
      return true;
    } catch (error) {
      if (error instanceof WorkflowExecutionAlreadyStartedError) return false;
      throw lost(this.temporal, error);
    }
  }

  /** How many guards run, this one among them; undefined where the server does not tell. */
  count(): Promise<number | undefined> {
    return countGuards(this.temporal);
  }

  /** @returns what follows, in the guard's own words. @throws Problem as {@link TemporalGuard.stop} does */
  setMode(mode: GuardMode, decision: Decision): Promise<string> {
    return this.update(setModeUpdate.name, `set mode ${mode}`, { mode, ...decision });
  }

  /** @returns what follows, in the guard's own words. @throws Problem as {@link TemporalGuard.stop} does */
  maintenance(change: { on: boolean; for?: string }, decision: Decision): Promise<string> {
    return this.update(maintenanceUpdate.name, `turn maintenance ${change.on ? 'on' : 'off'}`, {
      ...change,
      ...decision,
    });
  }

  /** Has it begin its history anew. @returns what follows, in its own words. @throws Problem as {@link TemporalGuard.stop} does */
  handOver(decision: Decision): Promise<string> {
    return this.update(handOverUpdate.name, 'hand over', decision);
  }

  /**
   * Ends the guard.
   * @returns what follows, in the guard's own words
   * @throws Problem `Refused` when it takes no such order or none runs, `Unreachable` when nobody answers in time
   */
  stop(decision: Decision): Promise<string> {
    return this.update(stopGuardUpdate.name, 'stop', decision);
  }

  /** Why a guard that has ended did so; undefined when that can't be told. */
  async lastWords(): Promise<string | undefined> {
    const handle = this.workflows.getHandle(this.workflowId);
    try {
      await this.temporal.connection.withDeadline(Date.now() + END_LIMIT_MS, () => handle.result());
      return undefined;
    } catch (error) {
      return error instanceof WorkflowFailedError ? innermost(error) : undefined;
    }
  }

  private async update(name: string, what: string, order: object): Promise<string> {
    const handle = this.workflows.getHandle(this.workflowId);
    try {
      return await this.temporal.connection.withDeadline(Date.now() + UPDATE_LIMIT_MS, () =>
        handle.executeUpdate<string, [object]>(name, { args: [order] }),
      );
    } catch (error) {
      throw this.updateProblem(what, error);
    }
  }

  private updateProblem(what: string, error: unknown): Problem {
    const says = `the guard did not ${what}`;
    if (error instanceof WorkflowUpdateFailedError) {
      return new Problem('Refused', says, {
        why: innermost(error),
        next: guardCommand('status', this.cluster),
        cause: error,
      });
    }
    if (error instanceof WorkflowNotFoundError) {
      return new Problem('Refused', says, {
        why: `nobody guards cluster ${this.cluster}`,
        next: guardCommand('start', this.cluster),
        cause: error,
      });
    }
    if (error instanceof WorkflowUpdateRPCTimeoutOrCancelledError || OUT_OF_TIME.includes(grpcCode(error))) {
      return new Problem('Unreachable', `${says} within ${UPDATE_LIMIT_MS / 1000} s`, {
        why: 'no worker took it up; it may still be taken when one comes back',
        next: guardCommand('status', this.cluster),
        cause: error,
      });
    }
    return lost(this.temporal, error);
  }
}

/** What the guard of a cluster says, with a connection of its own. Takes no longer than the limit, and never throws. */
export function lookAtGuard(cli: Cli, cluster: string, limitMs: number): Promise<GuardLook> {
  const late: GuardLook = { kind: 'silent', says: `no answer within ${formatMs(limitMs)}`, next: wholeStatus(cluster) };
  return Promise.race([lookOnce(cli, cluster, limitMs), sleep(limitMs, late, { ref: false })]);
}

async function lookOnce(cli: Cli, cluster: string, limitMs: number): Promise<GuardLook> {
  const until = Date.now() + limitMs;
  let temporal: TemporalClient;
  try {
    temporal = await connectTemporal(temporalConfig(cli.io.env), limitMs);
  } catch (error) {
    const { message, detail } = toProblem(error);
    return { kind: 'silent', says: message, next: detail.next ?? START_TEMPORAL };
  }
  try {
    // What it takes to ask once more why nobody answered.
    const left = until - Date.now() - PROBE_LIMIT_MS;
    return await new TemporalGuard(temporal, cluster, cli.io.env).look(Math.max(200, left));
  } finally {
    await temporal.connection.close().catch(() => undefined);
  }
}
