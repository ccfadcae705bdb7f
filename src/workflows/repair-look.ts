import { ActivityCancellationType, patched, sleep, type ActivityOptions } from '@temporalio/workflow';
import type { ClusterDescription } from '../activities';
import { formatMs } from '../cluster/duration';
import type { Ledger } from '../cluster/guard/ledger';
import { copyLock } from '../cluster/locks';
import { membersOf } from '../cluster/members';
import { primaries, type ObservedCluster } from '../cluster/observed';
import { decideRound, unsettled, type RepairRound, type RepairTask } from '../cluster/repair/round';
import { slotName } from '../cluster/topology';
import { act, reading } from './runbook/activity-options';
import type { Run } from './runbook/run';

/** What was seen, and what follows from it. */
export interface RepairLook {
  observed: ObservedCluster;
  round: RepairRound;
  ledger: Ledger | null;
}

/** What a run knows of the primary, from its looks and from what it did. */
export interface PrimarySeen {
  /** The only node that took writes, when that was seen last. */
  name?: string;
}

/** Looks that are left at once: what one still sees is of no use to anybody, and does no harm. */
const looking: ActivityOptions = { ...reading, cancellationType: ActivityCancellationType.TRY_CANCEL };

/** What the version of the workflow does that began the run; it goes on so. */
export interface RepairBegun {
  /** It gives way to whoever has to act for the primary. */
  givesWay: boolean;
  /** It restarts the pooler last, by itself, and not where the primary itself refuses clients. */
  poolerLast: boolean;
  /** It starts a pooler that does not run after whatever decides who takes writes, and not before all else. */
  poolerInOrder: boolean;
  /** A node that the guard's ledger names is there, also where it is optional and has no container. */
  namedAreThere: boolean;
}

/** What a repair leaves to people. */
export interface RepairLimits {
  /** Nodes that a person stopped, or that this run could not mend. */
  leave?: readonly string[] | undefined;
  /** No person has seen the plan. */
  unattended?: boolean | undefined;
  /** Nodes whose data another run has copied at this moment: nothing of theirs is touched. */
  copied?: readonly string[] | undefined;
  /** Somebody paused clients at the pooler, and no run holds them. */
  pausedByHand?: boolean | undefined;
}

/** Nodes that a run copies to: it goes on beside a repair. */
async function nodesBeingCopied({ state, locksByTier }: Run, { topology }: ClusterDescription): Promise<string[]> {
  if (!locksByTier) return [];
  const nodes = topology.postgres.nodes.map(({ name }) => name);
  const held = await act(looking, 'Ask whose data is copied').heldLocks(state.cluster, nodes.map(copyLock));
  return nodes.filter((node) => held.some(({ lock }) => lock === copyLock(node)));
}

/** The tasks that a repair may carry out. Pure. */
export function withinLimits(
  tasks: readonly RepairTask[],
  { leave = [], unattended, copied = [], pausedByHand }: RepairLimits,
): RepairTask[] {
  const done = tasks.filter((task) => {
    const { kind, node } = task;
    const slot = task.kind === 'drop-slot' ? task.slot : undefined;
    // The slot keeps the WAL that the copy needs at its end.
    if (copied.some((each) => each === node || slotName(each) === slot)) return false;
    // A slot that nobody uses may be a backup tool's.
    if (unattended === true && kind === 'drop-slot') return false;
    if (unattended === true && kind === 'release' && pausedByHand === true) return false;
    return !(['wake', 'rejoin', 'start-primary', 'restart-pooler'].includes(kind) && leave.includes(node ?? ''));
  });
  // What is left out was to decide who takes writes: no client is let in without it.
  const undecided = tasks.some(
    (task) => ['fence', 'failover', 'start-primary'].includes(task.kind) && !done.includes(task),
  );
  return undecided ? done.filter(({ kind }) => kind !== 'start-pooler') : done;
}

/**
 * Looks until what is seen stays: dead-man switches of the run that is over have acted, and nothing is on its way. Waiting changes
 * nothing, and what they do is often all that is needed. It holds the lock meanwhile, and gives way to whoever has to act for the
 * primary: the one that it saw, or until then the one of the guard's ledger.
 * @throws ApplicationFailure when it gave way
 */
export async function lookUntilSettled(
  run: Run,
  described: ClusterDescription,
  woken: readonly string[],
  limits: RepairLimits,
  seen: PrimarySeen,
  { givesWay, poolerLast, poolerInOrder, namedAreThere }: RepairBegun,
): Promise<RepairLook> {
  const { state } = run;
  const waited = new Map<string, number>();
  // A run that was begun by a version which counted only the time between its looks goes on as it began: one at a node that hangs takes
  // seconds itself.
  const byTheClock = patched('patience-by-the-clock');
  const readLedger = async () =>
    (await act(looking, 'Ask the guard for its ledger').readLedger(described.name)) ?? null;
  let asked = seen.name;
  if (givesWay && asked === undefined) asked = (await readLedger())?.primary ?? undefined;
  const once = async (): Promise<RepairLook | undefined> => {
    const began = Date.now();
    const observed = await act(looking, 'Look at every system of the cluster').observe(described.name);
    const [only, another] = primaries(observed);
    if (only !== undefined && another === undefined) seen.name = only.name;
    const ledger = await readLedger();
    const open = primaries(observed).length === 1 && observed.pooler.console?.paused === false;
    const door = open ? await act(looking, 'Ask at the front door').lookThroughDoor(described.name) : undefined;
    const copied = await nodesBeingCopied(run, described);
    const left = [...woken, ...(limits.leave ?? []), ...copied];
    const decided = decideRound(described.topology, observed, {
      ledger,
      woken: left,
      door,
      poolerFirst: !poolerLast,
      poolerAlone: !poolerInOrder,
      leavesStopped: limits.unattended,
      optionalIsGone: !namedAreThere,
    });
    const { agent } = observed.pooler;
    // What an older agent or worker saw does not say it: a run that was begun with that goes on as it began.
    const pausedByHand = agent?.halted !== undefined && agent.paused && agent.holdRun === null;
    const round = { ...decided, tasks: withinLimits(decided.tasks, { ...limits, copied, pausedByHand }) };
    state.members = membersOf(observed, ledger);
    state.checks = round.findings;
    const unrest = unsettled(observed, round);
    const spent = unrest === undefined ? 0 : (waited.get(unrest.what) ?? 0);
    if (unrest === undefined || spent >= unrest.patienceMs) return { observed, round, ledger };
    run.changed(`Looking again in ${formatMs(unrest.againMs)}: ${unrest.says}`);
    await sleep(unrest.againMs, { summary: `Looking again: ${unrest.says}` });
    waited.set(unrest.what, spent + (byTheClock ? Date.now() - began : unrest.againMs));
    return undefined;
  };
  for (;;) {
    const found = await (givesWay ? run.untilAsked(seen.name ?? asked ?? '', once) : once());
    if (found !== undefined) return found;
  }
}
