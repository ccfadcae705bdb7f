import type { SubStep } from '../../workflows/run-state';
import { finalFailure, heartbeat, keepBeating, lastHeartbeat, until } from '../context';
import type { ActivityDeps } from '../deps';
import { SubStepRecorder, type MoveJournal } from '../move-journal';
import { Permit, stillMine } from '../still-mine';
import { accessEngines, type EngineAccess } from './access';
import {
  CHECKS_LIMIT_MS,
  ensureState,
  IN_FLIGHT_LIMIT_MS,
  refusalOf,
  serverNow,
  soon,
  TAKE_OVER_LIMIT_MS,
  whoIsActive,
  type HandoverRequest,
} from './parts';

/** What the hand-over measured. */
export interface HandoverResult {
  /** Milliseconds for which new requests waited at HAProxy; null when the attempt that began it died before it could tell. */
  heldMs: number | null;
  epoch: number;
  subSteps: SubStep[];
}

/**
 * The critical section: drains the active engine at HAProxy, so that new requests wait there, has it hand its lock to the target,
 * and sends requests to the target as soon as it takes them.
 *
 * Each sub-step observes before it acts, so that another attempt goes on where an earlier one died. Where nobody goes on, HAProxy
 * itself ends the drain after two seconds. While the source is still active a failure puts everything back before it is reported
 * (`RolledBack`); after that every failure is retried forward. An attempt whose worker stood still meanwhile changes nothing any more: the
 * lock may have been handed over, and back by somebody else.
 * @throws ApplicationFailure `RolledBack` (not retried); Overtaken when another attempt goes on; or an Error that is retried
 */
export async function handOverEngine(deps: ActivityDeps, request: HandoverRequest): Promise<HandoverResult> {
  const access = accessEngines(deps, request.cluster);
  const journal: MoveJournal = lastHeartbeat<MoveJournal>() ?? { subSteps: [] };
  const stopBeating = keepBeating(() => journal);
  const recorder = new SubStepRecorder(journal, heartbeat, (point) => deps.faultPoint?.(point));
  const { source, target } = request;
  const permit = new Permit();
  try {
    let active = await recorder.run('look', 'ask the engines who is active', () =>
      whoIsActive(access, [source, target]),
    );
    if (active === null) active = await somebody(access, request);
    if (active.node !== target) {
      // Before anybody waits: a critical section of the usual length needs no other word.
      await permit.may(`hand the lock of ${source} over`);
      try {
        await recorder.run('drain', `drain ${source} at HAProxy: new requests wait there`, async () => {
          await permit.may(`drain ${source}`);
          recorder.holdBegins();
          return ensureState(access, source, 'drain');
        });
        await recorder.run(
          'in flight',
          `requests in ${source} end`,
          () => untilIdle(access, source),
          (ms) => ms,
        );
      } catch (error) {
        await permit.may(`send requests to ${source} again`);
        const left = await ensureState(access, source, 'ready').then(() => undefined, refusalOf);
        throw left === undefined ? rolledBack(refusalOf(error)) : leftDrained(refusalOf(error), source, left);
      }
      const { epoch } = active;
      active = await recorder.run(
        'hand over',
        `${source} hands its lock to ${target}`,
        () => stepDown(access, request, epoch, permit),
        (one) => `epoch ${request.epoch} → ${one.epoch}`,
      );
    }
    await recorder.run('route', `HAProxy sends requests to ${target}`, () => routeTo(access, target, permit));
    recorder.holdEnds();
    heartbeat(journal);
    await recorder.run('settle', `HAProxy sees that ${source} is standby, and drains it no longer`, () =>
      undrainStandby(access, source, permit),
    );
    return { heldMs: journal.heldMs ?? null, epoch: active.epoch, subSteps: journal.subSteps };
  } finally {
    stopBeating();
  }
}

/**
 * Puts the source back where it is still the active engine.
 * @returns false when the target is active: then there is only forward
 * @throws Error when neither is
 */
export async function putBackEngine(deps: ActivityDeps, request: HandoverRequest): Promise<boolean> {
  const access = accessEngines(deps, request.cluster);
  const stopBeating = keepBeating(() => 'putting the active engine back');
  try {
    const active = await somebody(access, request);
    if (active.node === request.target) return false;
    await stillMine(`send requests to ${request.source} again`);
    await ensureState(access, request.source, 'ready');
    return true;
  } finally {
    stopBeating();
  }
}

const rolledBack = (why: string) =>
  finalFailure('RolledBack', `${why.replace(/\.$/, '')}. Everything was put back: requests go on as before`);

/** The source is active as before, and HAProxy could not be told that requests may go to it again. */
const leftDrained = (why: string, source: string, problem: string) =>
  finalFailure(
    'RolledBack',
    `${why.replace(/\.$/, '')}. HAProxy could not be told to send requests to ${source} again: ${problem.replace(/\.$/, '')}`,
  );

/** Waits until one of the two is active. */
async function somebody(access: EngineAccess, { source, target }: HandoverRequest) {
  return until(
    `${source} or ${target} being active`,
    TAKE_OVER_LIMIT_MS,
    10,
    async () => (await whoIsActive(access, [source, target])) ?? undefined,
  );
}

/** Waits until HAProxy has no request in the source any more. @throws Error that says how many stayed */
async function untilIdle(access: EngineAccess, source: string): Promise<string> {
  let sessions = 0;
  const began = performance.now();
  const idle = await soon(IN_FLIGHT_LIMIT_MS, 5, async () => {
    ({ sessions } = await serverNow(access, source));
    return sessions === 0 ? true : undefined;
  });
  if (idle === undefined)
    throw new Error(
      `L5: ${sessions} requests in ${source} did not end within ${IN_FLIGHT_LIMIT_MS} ms (limit: 0 left)`,
    );
  return `0 left after ${Math.round(performance.now() - began)} ms`;
}

/**
 * Has the source step down in the epoch in which this attempt saw it active, and sees who is active then, whatever its answer was.
 * @throws ApplicationFailure `RolledBack` when that is still the source
 */
async function stepDown(access: EngineAccess, request: HandoverRequest, epoch: number, permit: Permit) {
  const { source, target, run } = request;
  // An engine obeys whoever has its token. The epoch is for one that stands still after this, or whose request is late.
  await permit.may(`have ${source} hand its lock over`);
  let refusal: string | undefined;
  // Its answer comes only when it has seen the heir; the heir itself is asked meanwhile.
  const stepping = access
    .engine(source)
    .stepDown({ run, to: target, epoch })
    .catch((error: unknown) => void (refusal = refusalOf(error)));
  const taken = await soon(TAKE_OVER_LIMIT_MS, 4, async () => {
    if (refusal !== undefined) return null;
    const health = await access
      .engine(target)
      .health()
      .catch(() => undefined);
    return health?.role === 'active' && health.epoch > request.epoch ? health : undefined;
  });
  if (taken) return taken;
  await stepping;
  const active = await somebody(access, request);
  if (active.node === target) return active;
  await permit.may(`send requests to ${source} again`);
  await ensureState(access, source, 'ready');
  throw rolledBack(refusal ?? `${target} did not take over within ${TAKE_OVER_LIMIT_MS} ms; ${source} is active`);
}

/** HAProxy's next check would find the target; saying it saves the requests that wait up to a tenth of a second. */
async function routeTo(access: EngineAccess, target: string, permit: Permit): Promise<void> {
  const { backend } = access.haproxy;
  await until(`${target} taking orders`, TAKE_OVER_LIMIT_MS, 4, async () =>
    (await access
      .engine(target)
      .ready()
      .catch(() => false))
      ? true
      : undefined,
  );
  await permit.may(`send requests to ${target}`);
  await ensureState(access, target, 'ready');
  if (!(await serverNow(access, target)).up) await access.proxy.setHealth(backend, target, 'up');
}

/** A server that is drained no longer gets requests until its checks see that it is standby: so that is waited for first. */
async function undrainStandby(access: EngineAccess, source: string, permit: Permit): Promise<void> {
  await soon(CHECKS_LIMIT_MS, 20, async () => ((await serverNow(access, source)).up ? undefined : true));
  await permit.may(`end the drain of ${source}`);
  await ensureState(access, source, 'ready');
}
