import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, WorkflowHandle } from '@temporalio/client';
import { finishUpdate, moveBackUpdate } from '../../workflows/maintenance-messages';
import { abortUpdate, type Decision } from '../../workflows/messages';
import type { TakeBack } from './container-faults';

/** How a runbook of a campaign is left: to its own end, terminated in its middle, or aborted there. */
export const endings = ['runs', 'terminated', 'aborted'] as const;

/** Runbooks by the name that a campaign gives them. */
const workflows: Readonly<Record<string, string>> = {
  switchover: 'switchover',
  'engine-switchover': 'engineSwitchover',
  'redis-failover': 'redisFailover',
  maintenance: 'maintenance',
  'rejoin-copy': 'rejoin',
  'remove-standby': 'removeStandby',
};
export const isRunbook = (what: string): boolean => what in workflows;

/** A run of somebody's is waited for this long after its round's faults; then the round goes on without it. */
const END_LIMIT_MS = 60_000;
const ASK_EVERY_MS = 1000;

/**
 * Starts a runbook, as a person would who does not know that something is about to fail.
 * @returns how it is ended: by waiting, by an abort that it may refuse, or by terminating it
 */
export async function startRunbook(
  client: Client,
  { taskQueue, cluster, id, standby }: { taskQueue: string; cluster: string; id: string; standby: string },
  what: string,
  ending: string,
): Promise<TakeBack> {
  const common = { cluster, approval: 'given', soak: '0s', startedBy: 'bench:chaos', reason: 'a chaos campaign' };
  const own: Record<string, object> = {
    maintenance: { side: 1, hold: '5m' },
    // The whole standby anew, although it is well: a long copy, and then a lost standby.
    'rejoin-copy': { node: standby, method: 'copy' },
    'remove-standby': { node: standby },
  };
  const args = [{ ...common, ...own[what] }];
  const handle = await client.workflow.start(workflows[what] ?? what, { taskQueue, workflowId: id, args });
  if (what === 'maintenance') return () => moveBack(handle);
  if (what === 'remove-standby')
    return async () => {
      await bounded(handle.result());
      const added = { ...common, node: standby };
      const adding = { taskQueue, workflowId: `${id}-back`, args: [added] };
      await bounded((await client.workflow.start('addStandby', adding)).result());
    };
  if (ending === 'terminated') return () => handle.terminate('a chaos campaign').then(quiet, quiet);
  if (ending === 'aborted')
    return async () => {
      // Refused after the point of no return, and where it has ended.
      await bounded(
        handle.executeUpdate<string, [Decision]>(abortUpdate.name, {
          args: [{ by: 'bench:chaos', why: 'a chaos campaign' }],
        }),
      );
      await bounded(handle.result());
    };
  return () => bounded(handle.result());
}

const quiet = () => undefined;

/** Waits for an answer whatever it is, and not for ever. */
async function bounded(answer: Promise<unknown>): Promise<void> {
  await Promise.race([answer.then(quiet, quiet), sleep(END_LIMIT_MS, undefined, { ref: false })]);
}

/** Moves a maintenance back as soon as it is held; what cannot be moved back is left where it is. */
export async function moveBack(
  handle: WorkflowHandle,
  decision: Decision = { by: 'bench:chaos', why: 'the round is over' },
): Promise<void> {
  let ended = false;
  const end = handle.result().then(
    () => (ended = true),
    () => (ended = true),
  );
  const ask = ({ name }: typeof moveBackUpdate) =>
    bounded(handle.executeUpdate<string, [Decision]>(name, { args: [decision] }));
  const isEnded = () => ended;
  for (const until = Date.now() + END_LIMIT_MS; !isEnded() && Date.now() < until;) {
    await ask(moveBackUpdate);
    await Promise.race([end, sleep(ASK_EVERY_MS, undefined, { ref: false })]);
  }
  if (!isEnded()) await ask(finishUpdate);
  await bounded(end);
}

/** Starts a runbook and waits for its end. Returns how it ended, in words. */
export async function startRunbookNow(
  client: Client,
  taskQueue: string,
  workflow: string,
  input: object,
): Promise<string> {
  const workflowId = `chaos/${workflow}/${Date.now()}`;
  const handle = await client.workflow.start(workflow, { taskQueue, workflowId, args: [input] });
  const ended = handle.result().then(
    (report: unknown) => (report as { says?: string } | undefined)?.says ?? 'ended',
    (error: Error) => (error.cause instanceof Error ? error.cause.message : error.message),
  );
  return Promise.race([ended, sleep(120_000, 'not ended within 2 min', { ref: false })]);
}
