import { setTimeout as sleep } from 'node:timers/promises';
import { QueryRejectedError, WorkflowClient, WorkflowNotFoundError, type Client } from '@temporalio/client';
import { currentContext } from '../activities/context';
import { withinLimit } from '../activities/guard/probe';
import { confirmedByBeat } from '../cluster/guard/confirmation';
import type { LockName } from '../cluster/locks';
import { heartbeatOf } from '../systems/temporal';
import { guardQuery, guardWorkflowId, type GuardState } from '../workflows/guard-messages';
import { lockWorkflowId } from '../workflows/messages';

/** How long Temporal may take to say who holds a lock before it is asked over the other connection, in milliseconds. */
const LOCK_LIMIT_MS = 700;
/** After so many answers that did not come it is an error. With the pauses that is as long as a restart of the server may take. */
const LOCK_TRIES = 20;
/** How long a guard may take to answer, in milliseconds; how often one is asked that does not, and how much later again. */
const GUARD_LIMIT_MS = 1500;
const GUARD_TRIES = 3;
const AGAIN_MS = 300;

/**
 * The ways to Temporal: the worker's own connection, and that over which the running activity lives. Each is a connection of its own
 * library: one whose packets are lost is noticed by it after 45 s only, while the other goes on.
 */
export function waysOf(own: Client): Client[] {
  try {
    const other = currentContext()?.client;
    return other === undefined ? [own] : [own, other];
  } catch {
    // Not every activity has one, such as that of a test.
    return [own];
  }
}

/** Asks with a limit: the call ends with it, and where that is not enough, the waiting for it. */
function ask<T>(way: Client, limitMs: number, question: () => Promise<T>): Promise<T> {
  return withinLimit(way.withDeadline(Date.now() + limitMs, question), limitMs);
}

/**
 * Who holds a lock of a cluster: the id of the run that started the lock child; undefined when nobody does.
 * @throws Error when Temporal tells it over no connection
 */
export async function lockHolder(
  ways: readonly Client[],
  cluster: string,
  name?: LockName,
): Promise<string | undefined> {
  for (let tries = 1; ; tries++) {
    const way = ways[(tries - 1) % ways.length]!;
    try {
      const lock = await ask(way, LOCK_LIMIT_MS, () =>
        way.workflow.getHandle(lockWorkflowId(cluster, name)).describe(),
      );
      return lock.status.name === 'RUNNING' ? (lock.parentExecution?.workflowId ?? lock.workflowId) : undefined;
    } catch (error) {
      // Only this means that nobody holds it. Whoever is about to fence must not take a busy server for that.
      if (error instanceof WorkflowNotFoundError) return undefined;
      if (tries >= LOCK_TRIES) throw error;
      if (tries % ways.length === 0) await sleep(AGAIN_MS);
    }
  }
}

/**
 * The state of a cluster's guard, asked by query: it needs a worker, and this is one. A guard that has ended still answers queries, and
 * with a ledger that nobody kept since: that would be taken for a proof. Undefined when there is none, or when it gave no answer.
 */
export async function guardState(ways: readonly Client[], cluster: string): Promise<GuardState | undefined> {
  for (let tries = 1; ; tries++) {
    const way = ways[(tries - 1) % ways.length]!;
    const open = new WorkflowClient({
      connection: way.connection,
      namespace: way.options.namespace,
      queryRejectCondition: 'NOT_OPEN',
    });
    try {
      const handle = open.getHandle(guardWorkflowId(cluster));
      // The ledger in the guard's state is confirmed as of its last news; its watch knows more.
      const [state, described] = await ask(way, GUARD_LIMIT_MS, () =>
        Promise.all([handle.query(guardQuery), handle.describe().catch(() => undefined)]),
      );
      if (described === undefined) return state;
      return { ...state, ledger: confirmedByBeat(state.ledger, heartbeatOf(described.raw, 'watchCluster')) };
    } catch (error) {
      if (error instanceof WorkflowNotFoundError || error instanceof QueryRejectedError) return undefined;
      // A guard that can't be asked must not keep a person from acting; without its ledger more is asked of that person.
      if (tries >= GUARD_TRIES) return undefined;
      await sleep(AGAIN_MS);
    }
  }
}
