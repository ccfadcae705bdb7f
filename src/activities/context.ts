import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { FailureType } from '../failures';
import { steadyMs } from './clock';

/** The Temporal context of a running activity; undefined when a plain program calls it (the bare bench, a test). */
function current(): Context | undefined {
  try {
    return Context.current();
  } catch {
    return undefined;
  }
}

/** The Temporal context of a running activity, where it has one. */
export { current as currentContext };

/** Which attempt of the activity this is, from 1. */
export function attempt(): number {
  return current()?.info.attempt ?? 1;
}

/** Says that the activity lives and what it does. Without a Temporal context: nothing. */
export function heartbeat(details: unknown): void {
  const context = current();
  if (context === undefined) return;
  noteBeat(context);
  context.heartbeat(details);
}

/** When an activity last said that it lives, on the clock that only goes forward, and whether it was ever too late with that. */
const beats = new WeakMap<Context, { at: number; stalled: boolean }>();

function noteBeat(context: Context): void {
  beats.set(context, { at: performance.now(), stalled: hasStalled(context) });
}

/** Whether the worker ever stood still for so long that Temporal took the activity for dead. */
export function hasStalled(context: Context): boolean {
  const last = beats.get(context);
  const { heartbeatTimeoutMs } = context.info;
  if (last === undefined || heartbeatTimeoutMs === undefined || heartbeatTimeoutMs === 0) return false;
  return last.stalled || performance.now() - last.at > heartbeatTimeoutMs;
}

/** What the last attempt's last heartbeat said. */
export function lastHeartbeat<T>(): T | undefined {
  return current()?.info.heartbeatDetails as T | undefined;
}

/** Rejects when the activity is cancelled; never resolves. Without a Temporal context: never settles. */
export function cancelled(): Promise<never> {
  return current()?.cancelled ?? new Promise<never>(() => undefined);
}

/**
 * Heartbeats every `everyMs` until the returned function is called, with whatever `details` returns then.
 * The SDK sends at most one per 80 % of the heartbeat timeout; the rest cost nothing.
 */
export function keepBeating(details: () => unknown, everyMs = 100): () => void {
  heartbeat(details());
  const timer = setInterval(() => heartbeat(details()), everyMs);
  return () => clearInterval(timer);
}

/** A failure that Temporal does not retry. */
export function finalFailure(
  type: FailureType,
  message: string,
  details: Record<string, unknown> = {},
): ApplicationFailure {
  return ApplicationFailure.create({ type, message, nonRetryable: true, details: [details] });
}

/** Waits. */
export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/**
 * Repeats `look` until it returns something other than undefined.
 * @throws Error with `what` and the last thing seen when `limitMs` is over
 */
export async function until<T>(
  what: string,
  limitMs: number,
  everyMs: number,
  look: () => Promise<T | undefined>,
  seen: () => string = () => 'nothing',
): Promise<T> {
  const started = steadyMs();
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (steadyMs() - started > limitMs)
      throw new Error(`${what} did not happen within ${limitMs} ms (last seen: ${seen()})`);
    await sleep(everyMs);
  }
}
