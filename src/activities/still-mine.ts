import type { Context } from '@temporalio/activity';
import { temporal } from '@temporalio/proto';
import { currentContext, hasStalled } from './context';
import { messageOf, withinLimit } from './guard/probe';

/** An answer that is older than this when it is acted on says nothing: the worker stood still in between. In milliseconds. */
const FRESH_MS = 500;
/** How long Temporal may take to answer, in milliseconds. */
const ANSWER_LIMIT_MS = 2000;
const ASKED = 3;

/** This attempt is not, or not for certain, the one that goes on with its activity: it has changed nothing just now. */
export class Overtaken extends Error {
  override readonly name = 'Overtaken';
}

/**
 * Returns only with Temporal's fresh word that this attempt is the current one of its activity. To be awaited right before each action
 * that carries no token which would be refused: a worker that was frozen and thaws must not end, fence or set what others have in use
 * by now. Outside of an activity, such as in a bench, it returns at once.
 * @param what the action, as an infinitive: "kill veloz-postgres-primary"
 * @throws Overtaken when another attempt goes on, or Temporal does not tell
 */
export function stillMine(what: string): Promise<void> {
  return requireCurrent(what, false);
}

/**
 * The same for something that is not to begin any more once the activity was asked to end, or its run has ended, although its worker
 * may not have heard of that yet.
 * @throws Overtaken also then
 */
export function stillWanted(what: string): Promise<void> {
  return requireCurrent(what, true);
}

/**
 * {@link stillMine} for a critical section, in which clients wait: it is asked once before that begins, and again only where the last word
 * is not fresh any more, as after a worker stood still. One for each attempt.
 */
export class Permit {
  /** When the last question was asked, once Temporal has said that the attempt is the current one. */
  private word: Promise<number> | undefined;

  /** Asks without waiting for the answer, beside what is done anyway. */
  askAhead(what: string): void {
    const asked = performance.now();
    this.word = stillMine(what).then(() => asked);
    this.word.catch(() => undefined);
  }

  /**
   * To be awaited right before each action.
   * @param what the action, as an infinitive
   * @throws Overtaken when another attempt goes on, or Temporal does not tell: then for every later action too
   */
  async may(what: string): Promise<void> {
    if (this.word !== undefined && performance.now() - (await this.word) < FRESH_MS) return;
    this.askAhead(what);
    await this.word;
  }
}

async function requireCurrent(what: string, wanted: boolean): Promise<void> {
  const context = currentContext();
  const client = clientOf(context);
  const execution = context?.info.workflowExecution;
  if (context === undefined || client === undefined || execution === undefined) return;
  for (let tries = 0; tries < ASKED; tries++) {
    const asked = performance.now();
    let told;
    try {
      told = await withinLimit(
        client.workflowService.describeWorkflowExecution({ namespace: client.options.namespace, execution }),
        ANSWER_LIMIT_MS,
      );
    } catch (error) {
      throw new Overtaken(`Temporal does not say whether this attempt may ${what}: ${messageOf(error)}`);
    }
    const why = whyNotMine(context, told, wanted);
    if (why !== undefined) throw new Overtaken(`this attempt may not ${what} any more: ${why}`);
    if (performance.now() - asked < FRESH_MS) return;
  }
  throw new Overtaken(`this worker is too slow to ${what} safely: Temporal's answers were older than ${FRESH_MS} ms`);
}

const { WORKFLOW_EXECUTION_STATUS_RUNNING } = temporal.api.enums.v1.WorkflowExecutionStatus;
const { PENDING_ACTIVITY_STATE_CANCEL_REQUESTED } = temporal.api.enums.v1.PendingActivityState;

/** Why the attempt is not the current one, as Temporal tells it; undefined where it is. */
function whyNotMine(
  context: Context,
  told: temporal.api.workflowservice.v1.IDescribeWorkflowExecutionResponse,
  wanted: boolean,
): string | undefined {
  const { activityId, attempt } = context.info;
  if (told.workflowExecutionInfo?.status !== WORKFLOW_EXECUTION_STATUS_RUNNING)
    // An activity whose run was terminated goes to its end, unless its worker slept meanwhile: nobody knows what others did then.
    return hasStalled(context)
      ? 'its run has ended, and this worker stood still meanwhile'
      : wanted
        ? 'its run has ended'
        : undefined;
  const mine = told.pendingActivities?.find((pending) => pending.activityId === activityId);
  if (mine === undefined) return 'its activity has ended';
  if (wanted && mine.state === PENDING_ACTIVITY_STATE_CANCEL_REQUESTED) return 'it was asked to end';
  return mine.attempt === attempt ? undefined : `attempt ${mine.attempt} goes on, and this is attempt ${attempt}`;
}

/** None in a test that has none. */
function clientOf(context: Context | undefined): Context['client'] | undefined {
  try {
    return context?.client;
  } catch {
    return undefined;
  }
}
