import { setTimeout as sleep } from 'node:timers/promises';
import type { GuardState } from '../workflows/guard-messages';
import type { Report } from '../workflows/run-state';
import type { Companion } from './accompany';
import type { DirectWriters } from './direct-writers';
import { dualWrites } from './dual-writes';
import type { Fault } from './faults';
import { failoversSince, isCalm, type Guarded } from './guarded';
import { say } from './options';
import type { FailoverBenchRun } from './summary';
import type { Writers } from './writers';

/** Clients write before the fault for this long, so that a gap has a beginning. */
const BEFORE_MS = 1000;
/** A restart in place has to have come by itself: the guard is given this long to think otherwise. */
const IN_PLACE_MS = 4000;
/** Clients have gone on when they have written without a gap for this long. */
const STEADY_MS = 500;
/** A fault that only a person can mend is mended this long after clients have gone on. */
const HEAL_AFTER_MS = 2000;
const LIMIT_MS = 120_000;
/** After a failover that did not bring the node back, the guard has this long before the bench rejoins it. */
const PATIENCE_MS = 60_000;

/** Everything that an incident needs, set up once for all of them. */
export interface Scene {
  guarded: Guarded;
  writers: Writers;
  direct: DirectWriters;
}

/**
 * Injects a fault into the primary, and waits until clients write and the ledger says protected again. Nobody helps the guard.
 * @param companion brings a runbook into its middle before the fault; what clients live through meanwhile counts
 */
export async function incident(
  scene: Scene,
  fault: Fault,
  companion?: Companion,
): Promise<{ run: FailoverBenchRun; report: Report | undefined }> {
  const { guarded, writers, direct } = scene;
  await companion?.prepare();
  const node = await guarded.calm();
  const { timeline } = (await guarded.state()).ledger;
  await sleep(BEFORE_MS);
  writers.beginWindow();
  direct.beginWindow();
  await sleep(BEFORE_MS);
  await companion?.begin(node);

  const injectedAt = Date.now();
  await fault.inject(node);
  let healedAt: number | undefined;
  const heal = async () => {
    if (healedAt !== undefined) return;
    healedAt = Date.now();
    await fault.heal(node);
  };
  try {
    const recovered = await recovery(scene, injectedAt, fault, heal);
    const writingAt = await writingAgain(writers, injectedAt);
    const seen = await writers.endWindow();
    const directly = await direct.endWindow();
    const { report, state, helped } = recovered;
    const facts = report?.failover;
    const sign = facts?.signals.find(({ speaks }) => speaks === 'for');
    const { failures, ...counted } = seen;
    const run: FailoverBenchRun = {
      kind: 'failover',
      fault: fault.name,
      node,
      primaryAfter: state.ledger.primary ?? '',
      ...counted,
      lost: seen.lost + directly.lost,
      dualWriteMoments: dualWrites(directly.acknowledgements).moments,
      directlyAcknowledged: directly.acknowledgements.length,
      firstSignMs: sign === undefined ? null : sign.at - injectedAt,
      detectMs: facts?.detectMs ?? null,
      fenceMs: facts?.fenceMs ?? null,
      promoteMs: facts?.promoteMs ?? null,
      routeMs: facts?.routeMs ?? null,
      // Where nothing changed, the first commit proves that the same standby still confirms.
      protectedAgainMs: state.ledger.timeline === timeline ? writingAt - injectedAt : state.ledger.since - injectedAt,
      totalMs: (report === undefined ? writingAt : recovered.endedAt) - injectedAt,
      failure: facts?.kind ?? null,
      outcome: report?.outcome ?? null,
      rejoin: report?.rejoin?.method ?? null,
      healedAfterMs: healedAt === undefined ? null : healedAt - injectedAt,
      helped,
      steps: stepsOf(report),
      ...(failures.length > 0 ? { failures } : {}),
    };
    return { run, report };
  } finally {
    await heal();
  }
}

interface Recovery {
  state: GuardState;
  report: Report | undefined;
  /** Milliseconds since the epoch. */
  endedAt: number;
  helped: boolean;
}

async function recovery(
  { guarded, writers }: Scene,
  injectedAt: number,
  fault: Fault,
  heal: () => Promise<void>,
): Promise<Recovery> {
  // Either the guard fails over, or the node comes back in place.
  const begun = await guarded.until(
    'a failover, or a restart in place',
    (state) =>
      failoversSince(state, injectedAt).length > 0 ||
      (fault.name === 'crash' &&
        Date.now() - injectedAt > IN_PLACE_MS &&
        isCalm(state) &&
        writers.currentGapMs() < STEADY_MS),
    LIMIT_MS,
  );
  await writingAgain(writers, injectedAt);
  const [run] = failoversSince(begun, injectedAt);
  if (run === undefined) return { state: begun, report: undefined, endedAt: Date.now(), helped: false };

  if (fault.needsHealing) {
    await sleep(HEAL_AFTER_MS);
    await heal();
  }
  const report = await guarded.report(run);
  const endedAt = Date.now();
  if (report?.outcome !== 'completed') say(`  ${run}: ${report?.says ?? 'it left no report'}`);
  // Where nobody was promoted, the ledger may say what it said before.
  const settled = (state: GuardState) =>
    isCalm(state) && (state.ledger.since > injectedAt || report?.primaryAfter === undefined);
  const limitMs = report?.outcome.startsWith('completed') === true ? LIMIT_MS : PATIENCE_MS;
  try {
    return {
      state: await guarded.until('the cluster being protected', settled, limitMs),
      report,
      endedAt,
      helped: false,
    };
  } catch (error) {
    const rejoined = await guarded.rejoin({});
    if (rejoined?.outcome.startsWith('completed') !== true)
      throw new Error(`${(error as Error).message}. A rejoin by hand: ${rejoined?.says ?? 'left no report'}`);
    return {
      state: await guarded.until('the cluster being protected', settled, LIMIT_MS),
      report,
      endedAt,
      helped: true,
    };
  }
}

/** Waits until clients have written without a gap for a while. Returns when that began. */
export async function writingAgain(writers: Writers, injectedAt: number): Promise<number> {
  for (;;) {
    const from = Date.now();
    const before = writers.acknowledgedSoFar();
    await sleep(STEADY_MS);
    if (writers.acknowledgedSoFar() > before && writers.currentGapMs() < STEADY_MS / 2)
      return writers.resumedAt() ?? from;
    if (Date.now() - injectedAt > LIMIT_MS)
      throw new Error(`clients do not write ${LIMIT_MS / 1000} s after the fault`);
  }
}

/** Milliseconds of each step of a run, and of each sub-step as `<step>.<sub-step>`. */
export function stepsOf(report: Report | undefined): Record<string, number> {
  return Object.fromEntries(
    (report?.steps ?? []).flatMap((step) => [
      ...(step.ms === undefined ? [] : [[step.id, step.ms] as const]),
      ...(step.subSteps ?? []).map((part) => [`${step.id}.${part.id}`, part.ms] as const),
    ]),
  );
}
