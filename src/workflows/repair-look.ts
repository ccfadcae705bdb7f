import { sleep } from '@temporalio/workflow';
import type { ClusterDescription } from '../activities';
import { formatMs } from '../cluster/duration';
import type { Ledger } from '../cluster/guard/ledger';
import { membersOf } from '../cluster/members';
import { primaries, type ObservedCluster } from '../cluster/observed';
import { decideRound, unsettled, type RepairRound } from '../cluster/repair/round';
import { act, reading } from './runbook/activity-options';
import type { Run } from './runbook/run';

/** What was seen, and what follows from it. */
export interface RepairLook {
  observed: ObservedCluster;
  round: RepairRound;
  ledger: Ledger | null;
}

/**
 * Looks until what is seen stays: dead-man switches of the run that is over have acted, and nothing is on its way. Waiting changes
 * nothing, and what they do is often all that is needed.
 */
export async function lookUntilSettled(
  run: Run,
  described: ClusterDescription,
  woken: readonly string[],
): Promise<RepairLook> {
  const { state } = run;
  const waited = new Map<string, number>();
  for (;;) {
    const observed = await act(reading, 'Look at every system of the cluster').observe(described.name);
    const ledger = (await act(reading, 'Ask the guard for its ledger').readLedger(described.name)) ?? null;
    const open = primaries(observed).length === 1 && observed.pooler.console?.paused === false;
    const door = open ? await act(reading, 'Ask at the front door').lookThroughDoor(described.name) : undefined;
    const round = decideRound(described.topology, observed, { ledger, woken, door });
    state.members = membersOf(observed);
    state.checks = round.findings;
    const unrest = unsettled(observed, round);
    const spent = unrest === undefined ? 0 : (waited.get(unrest.what) ?? 0);
    if (unrest === undefined || spent >= unrest.patienceMs) return { observed, round, ledger };
    waited.set(unrest.what, spent + unrest.againMs);
    run.changed(`Looking again in ${formatMs(unrest.againMs)}: ${unrest.says}`);
    await sleep(unrest.againMs, { summary: `Looking again: ${unrest.says}` });
  }
}
