import { ApplicationFailure, sleep } from '@temporalio/workflow';
import { watchRun } from '../cluster/commands';
import { copyLock } from '../cluster/locks';
import { presentNodes, primaries } from '../cluster/observed';
import { act, reading } from './runbook/activity-options';
import { askForHolder } from './runbook/begin';
import { Lock } from './runbook/lock';
import type { Run } from './runbook/run';

/** How often the lock of PostgreSQL is asked for after a copy, a second apart: a failover holds it for a few seconds. */
const LOCK_TRIES = 60;

/** Whose history a node's data is made of. */
interface History {
  primary: string;
  timeline: number | undefined;
}

/**
 * Does long work on the data of one node without the lock of PostgreSQL, so that no failover waits for it. Meanwhile the run holds a
 * lock of the node: no other rejoin or removal of it begins, a repair leaves it alone, and planned moves are refused. Then it takes the
 * lock of PostgreSQL again, and looks: what was made of the history of another primary is of no use.
 * @throws ApplicationFailure when the primary, or its timeline, is another one now, or the lock is not to be had
 */
export async function besideOthers<T>(run: Run, node: string, source: string, work: () => Promise<T>): Promise<T> {
  if (!run.locksByTier || !run.holdsLock) return work();
  const before = await historyNow(run);
  const copying = new Lock(run.state, copyLock(node));
  if (!(await copying.take()))
    throw failure(
      `another run has the data of ${node} copied (limit: one run a node). Nothing was changed. Next: veloz-ha runs --open`,
    );
  await run.unlock();
  const result = await work().then(
    (value) => ({ value }),
    (cause: unknown) => ({ cause }),
  );
  await takeAgain(run, node);
  await copying.release();
  const now = await historyNow(run);
  const same = now?.primary === source && (before === undefined || now.timeline === before.timeline);
  if (!same) throw failure(otherHistory(run, node, source, now));
  if ('cause' in result) throw result.cause;
  return result.value;
}

async function takeAgain(run: Run, node: string): Promise<void> {
  for (let left = LOCK_TRIES; !(await run.lock());) {
    if (--left === 0) {
      const holder = await askForHolder(run);
      const next = holder === undefined ? rejoin(run, node) : watchRun(holder);
      throw failure(
        `the lock of PostgreSQL was not to be had again: ${holder === undefined ? 'other runs held it' : `run ${holder} holds it`} (limit: ${LOCK_TRIES} s). Next: ${next}`,
      );
    }
    run.changed('Waiting for the lock of PostgreSQL: another run holds it');
    await sleep('1s', { summary: 'Waiting for the lock of PostgreSQL' });
  }
}

/** Who is the primary, and on which timeline; undefined where that is not one node, or nobody could look. */
async function historyNow(run: Run): Promise<History | undefined> {
  const observed = await act(reading, 'Look who is the primary')
    .observe(run.state.cluster)
    .catch(() => undefined);
  if (observed === undefined) return undefined;
  const [only, another] = primaries(observed);
  if (only === undefined || another !== undefined) return undefined;
  const timeline = presentNodes(observed).find(({ name }) => name === only.name)?.sql?.timeline;
  return { primary: only.name, timeline };
}

function otherHistory(run: Run, node: string, source: string, now: History | undefined): string {
  const is =
    now === undefined
      ? 'no single node takes writes now'
      : now.primary === source
        ? `${source} is on another timeline now, ${now.timeline}`
        : `${now.primary} is the primary now`;
  return `A1: the data of ${node} is made of that of ${source}, and ${is} (limit: the same primary on the same timeline). Next: ${rejoin(run, node)}`;
}

const rejoin = (run: Run, node: string): string => `veloz-ha postgres rejoin --cluster ${run.state.cluster} ${node}`;

const failure = (says: string): ApplicationFailure => ApplicationFailure.nonRetryable(says, 'Failed');
