import {
  defaultPayloadConverter,
  QueryNotRegisteredError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
  type WorkflowHandle,
} from '@temporalio/client';
import type { PendingActivity, Trouble } from '../report/live';
import { Problem } from '../systems/problem';
import { grpcCode, innermost, probe, type TemporalClient } from '../systems/temporal';
import { finishUpdate, moveBackUpdate } from '../workflows/maintenance-messages';
import { abortUpdate, approveUpdate, rejectUpdate, statusQuery, type Decision } from '../workflows/messages';
import type { RunState } from '../workflows/run-state';
import { uiLink } from './links';
import { endOfFailure, endOfResult, type RunEnd } from './run-end';

/** gRPC status codes that this file tells apart. */
const grpc = {
  cancelled: 1,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  failedPrecondition: 9,
  unavailable: 14,
} as const;
const QUERY_LIMIT_MS = 2_500;
const PROBE_LIMIT_MS = 500;
const UPDATE_LIMIT_MS = 20_000;

/** The run could not be asked just now. Asking again may help. */
export class RunTrouble extends Error {
  constructor(
    readonly kind: Trouble['kind'],
    message: string,
  ) {
    super(message);
  }
}

/** What a person decides about a run. */
export type DecisionKind = 'approve' | 'reject' | 'abort' | 'move back' | 'finish';

/** One run as the CLI sees it. */
export interface RunSource {
  readonly workflowId: string;
  readonly runId: string;
  readonly link: string;
  /** @throws RunTrouble when nobody answers */
  status(): Promise<RunState>;
  /** Waits for the end, however long it takes. @throws RunTrouble when Temporal is lost meanwhile */
  end(): Promise<RunEnd>;
  /** @throws RunTrouble when Temporal does not answer */
  pending(): Promise<PendingActivity[]>;
  /** The run's own answer. @throws Problem `Refused` with the run's own words, `Unreachable` when nobody answers in time */
  decide(kind: DecisionKind, decision: Decision): Promise<string>;
}

/**
 * A run on a Temporal server.
 * @throws Problem `BadInput` when there is no such run
 */
export async function openRun(
  temporal: TemporalClient,
  workflowId: string,
  env: NodeJS.ProcessEnv,
): Promise<RunSource> {
  const handle = temporal.client.workflow.getHandle(workflowId);
  try {
    const description = await temporal.connection.withDeadline(Date.now() + 5_000, () => handle.describe());
    return new TemporalRun(temporal, workflowId, description.runId, env);
  } catch (error) {
    if (error instanceof WorkflowNotFoundError || grpcCode(error) === grpc.invalidArgument) {
      throw new Problem('BadInput', `there is no run "${workflowId}" in namespace ${temporal.namespace}`, {
        why: 'the id is mistyped, or the run is older than the retention of the namespace',
        next: 'veloz-ha runs',
        cause: error,
      });
    }
    throw lost(temporal, error);
  }
}

/** Temporal answered when the command began, and does not any more. */
export function lost(temporal: TemporalClient, error: unknown): Problem {
  return new Problem('Unreachable', `Temporal at ${temporal.address} gave no answer`, {
    why: innermost(error),
    next: 'veloz-ha status',
    cause: error,
  });
}

/** A {@link RunSource} on a Temporal server. */
export class TemporalRun implements RunSource {
  readonly link: string;
  private readonly handle: WorkflowHandle;

  constructor(
    private readonly temporal: TemporalClient,
    readonly workflowId: string,
    readonly runId: string,
    env: NodeJS.ProcessEnv,
  ) {
    this.link = uiLink(env, temporal.namespace, workflowId, runId);
    this.handle = temporal.client.workflow.getHandle(workflowId, runId);
  }

  async status(): Promise<RunState> {
    try {
      return await this.within(QUERY_LIMIT_MS, () => this.handle.query(statusQuery));
    } catch (error) {
      const trouble = queryTrouble(error);
      if (trouble.kind !== 'no worker') throw trouble;
      // gRPC waits as silently for a server that is gone as the server does for a worker that is gone.
      const why = await probe(this.temporal.address, PROBE_LIMIT_MS);
      throw why === undefined ? trouble : new RunTrouble('no Temporal', why);
    }
  }

  async end(): Promise<RunEnd> {
    try {
      return endOfResult(await this.handle.result());
    } catch (error) {
      if (error instanceof WorkflowFailedError) return endOfFailure(error);
      throw new RunTrouble('no Temporal', innermost(error));
    }
  }

  async pending(): Promise<PendingActivity[]> {
    try {
      const { raw } = await this.within(QUERY_LIMIT_MS, () => this.handle.describe());
      return (raw.pendingActivities ?? []).map((activity) => {
        const beat = activity.heartbeatDetails?.payloads?.[0];
        const failure = activity.lastFailure?.message;
        const heartbeat = beat === undefined ? undefined : heartbeatText(beat);
        return {
          type: activity.activityType?.name ?? 'activity',
          attempt: activity.attempt ?? 1,
          ...(failure == null || failure === '' ? {} : { lastFailure: failure }),
          ...(heartbeat === undefined ? {} : { heartbeat }),
        };
      });
    } catch (error) {
      throw new RunTrouble('no Temporal', innermost(error));
    }
  }

  async decide(kind: DecisionKind, decision: Decision): Promise<string> {
    const update = {
      approve: approveUpdate,
      reject: rejectUpdate,
      abort: abortUpdate,
      'move back': moveBackUpdate,
      finish: finishUpdate,
    }[kind];
    try {
      return await this.within(UPDATE_LIMIT_MS, () =>
        this.handle.executeUpdate<string, [Decision]>(update.name, { args: [decision] }),
      );
    } catch (error) {
      throw this.decisionProblem(kind, error);
    }
  }

  private decisionProblem(kind: DecisionKind, error: unknown): Problem {
    if (error instanceof WorkflowUpdateFailedError) {
      return new Problem('Refused', `the run did not take the ${kind}`, {
        why: innermost(error),
        next: `veloz-ha show ${this.workflowId}`,
        cause: error,
      });
    }
    if (error instanceof WorkflowNotFoundError) {
      return new Problem('Refused', `the run did not take the ${kind}`, {
        why: 'it has ended already',
        next: `veloz-ha show ${this.workflowId}`,
        cause: error,
      });
    }
    const code = grpcCode(error);
    if (
      error instanceof WorkflowUpdateRPCTimeoutOrCancelledError ||
      code === grpc.deadlineExceeded ||
      code === grpc.cancelled
    ) {
      return new Problem('Unreachable', `the run did not answer the ${kind} within ${UPDATE_LIMIT_MS / 1000} s`, {
        why: 'no worker took it up; it may still be taken when one comes back',
        next: `veloz-ha show ${this.workflowId}`,
        cause: error,
      });
    }
    return lost(this.temporal, error);
  }

  private within<T>(limitMs: number, ask: () => Promise<T>): Promise<T> {
    return this.temporal.connection.withDeadline(Date.now() + limitMs, ask);
  }
}

/** Why a query was not answered. */
export function queryTrouble(error: unknown): RunTrouble {
  if (error instanceof QueryNotRegisteredError)
    return new RunTrouble('stuck', 'it is no run of a runbook: it has no status');
  switch (grpcCode(error)) {
    case grpc.deadlineExceeded:
    case grpc.cancelled:
      return new RunTrouble('no worker', 'the query was not answered');
    case grpc.failedPrecondition: {
      const says = innermost(error);
      return /poller|worker may be down/i.test(says)
        ? new RunTrouble('no worker', says)
        : new RunTrouble('stuck', says);
    }
    case grpc.unavailable:
      return new RunTrouble('no Temporal', innermost(error));
    default:
      return new RunTrouble('stuck', innermost(error));
  }
}

/** A heartbeat is a sentence, or an object that has one under `says`. */
function heartbeatText(payload: Parameters<typeof defaultPayloadConverter.fromPayload>[0]): string | undefined {
  try {
    const value: unknown = defaultPayloadConverter.fromPayload(payload);
    if (typeof value === 'string') return value;
    const says = (value as { says?: unknown } | null)?.says;
    return typeof says === 'string' ? says : undefined;
  } catch {
    // Encrypted or foreign: not for this eye.
    return undefined;
  }
}
