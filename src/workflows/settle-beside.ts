import { ApplicationFailure, sleep } from '@temporalio/workflow';
import type { MoveRequest, SettleResult } from '../activities';
import { membersOf } from '../cluster/members';
import { act, leaving, reading } from './runbook/activity-options';
import type { Run } from './runbook/run';
import { rootMessage } from './runbook/runner';

/** How often, and how many times, it is looked whether the old primary streams again: for a minute, as where nobody asks for the lock. */
const LOOK_EVERY = '2s';
const LOOKS = 30;

/**
 * Has the old primary catch up as a standby. Where that takes longer than clients can wait, others act meanwhile: the guard lets commits
 * go on without a standby. The run then lets go of the lock, and goes on with its work once the old primary streams again.
 * @throws ApplicationFailure when it does not stream within a minute, or another node is the primary by then
 */
export async function settleBeside(run: Run, move: MoveRequest): Promise<SettleResult> {
  const settle = () =>
    run.untilAsked(move.target, () => act(leaving, `Have ${move.source} catch up and be synchronous`).settleMove(move));
  try {
    return await settle();
  } catch (cause) {
    if (!run.leaveWhenAsked()) throw cause;
    await run.unlock();
    for (let looks = 0; looks < LOOKS; looks++) {
      await sleep(LOOK_EVERY, { summary: `Waiting until ${move.source} streams` });
      run.changed(`${move.source} is not a standby yet, and others act meanwhile: waiting until it streams`);
      if ((await streams(move, cause)) && (await run.lock())) {
        run.warn(`K2: ${rootMessage(cause)}. ${move.source} came back later, and the run went on`);
        return settle();
      }
    }
    throw cause;
  }
}

/** Whether the old primary is a standby that the new one sends to. */
async function streams({ cluster, source, target }: MoveRequest, cause: unknown): Promise<boolean> {
  const observed = await act(reading, `Look whether ${source} streams`)
    .observe(cluster)
    .catch(() => undefined);
  if (observed === undefined) return false;
  const members = membersOf(observed);
  const other = members.find(({ name, role }) => role === 'primary' && name !== target);
  if (other !== undefined)
    throw ApplicationFailure.nonRetryable(`${rootMessage(cause)}; ${other.name} is the primary now`, 'Failed');
  return members.some(({ name, role, sync }) => name === source && role === 'standby' && sync !== undefined);
}
