import { isCancellation, patched, proxyActivities, sleep } from '@temporalio/workflow';
import type { Activities, MembersWatchResult } from '../activities';
import { formatMs } from '../cluster/duration';
import { STAYS_STOPPED } from '../cluster/guard/ended-containers';
import { busyPauseMs, isInTheWay, mendingBackoffMs, NOBODY, wordsOf, type LeftOver } from '../cluster/guard/mending';
import type { GuardPolicy } from '../cluster/guard/policy';
import type { RunEnd } from '../cluster/guard/run-end';
import type { GuardEvent, GuardState, MendingKnowledge, MendingState } from './guard-messages';
import { GuardRuns, newRunId } from './guard-runs';
import { STRETCH_MS, stretchMs, watching, Wait } from './guard-watching';
import { rootMessage } from './runbook/runner';
import type { RepairInput } from './standby-input';

/** Another run holds the lock of PostgreSQL, or is about to take it: it is tried again after this time, in milliseconds. */
const BUSY_MS = 2000;
/** A reason has to fit into the input of a run. */
const REASON_LENGTH = 480;

/** The guard, as the part of it that looks after what is left over needs it. */
export interface MendingHost {
  readonly state: GuardState & { mending: MendingState };
  readonly policy: GuardPolicy;
  readonly known: MendingKnowledge;
  note(kind: GuardEvent['kind'], says: string, run?: string): void;
  /** The state was changed: people are shown it. */
  explain(): void;
  /** Another run of the guard is being started, or goes on. */
  busy(): boolean;
  /** One is being started, or waits for its turn. */
  startsAnother(): boolean;
  /** A node is what it should be again: what an earlier attempt at something was in vain for may be possible now. */
  mended(): void;
  /** A standby of a primary that gives no answer was started and answers: a failover that was refused for it is tried at once. */
  standbyAnswers(): void;
}

/**
 * Brings back what a failover, a fence or a fault left: a node that can be a standby again becomes one, and a cluster in which nobody
 * takes writes although everybody is accounted for gets its primary back. The actor is the runbook `repair`; this part decides when,
 * tries again for as long as it takes, at once when something changed, and leaves alone what a person stopped.
 */
export class MendingGuard {
  private ended = false;
  private readonly waiting = new Wait();
  private readonly runs = new GuardRuns();
  private looping: Promise<void> | undefined;
  /** How often in a row a run of the guard's own was in the way. */
  private timesBusy = 0;

  constructor(private readonly host: MendingHost) {}

  private get mending(): MendingState {
    return this.host.state.mending;
  }

  begin(): void {
    this.ended = false;
    this.looping = this.loop();
  }

  /** Ends the watching and waits for that. What it started goes on. */
  async end(): Promise<void> {
    this.ended = true;
    this.waiting.cancel();
    await this.looping;
  }

  /** The mode, or maintenance, was changed by people. */
  news(): void {
    this.waiting.cancel();
  }

  private async loop(): Promise<void> {
    while (!this.ended) {
      try {
        this.hearAgain();
        const result = await this.watch();
        if (result === undefined) continue;
        this.tell(result);
        if (result.why === 'due' && this.acts()) await this.mend(result);
        this.host.explain();
      } catch (error) {
        if (isCancellation(error)) return;
        // It must never end the guard of the primary; nothing is known that would get here.
        this.host.note('mending', `what is left over could not be looked after: ${rootMessage(error)}`);
        await this.pause(BUSY_MS);
      }
    }
  }

  /** People let it start containers; what is started needs no run, so none that goes on is in its way. */
  private starts(): boolean {
    const { state } = this.host;
    return state.mode === 'auto' && state.maintenance === undefined;
  }

  /** It may start a run: one at a time. */
  private acts(): boolean {
    return this.starts() && this.mending.acting === undefined;
  }

  private watch(): Promise<MembersWatchResult | undefined> {
    const { state, known } = this.host;
    const forMs = state.maintenance?.until == null ? STRETCH_MS : stretchMs(Date.now(), [state.maintenance.until]);
    return this.waiting.run(() =>
      proxyActivities<Activities>(watching('Look after what is left over')).watchMembers({
        cluster: state.cluster,
        mayAct: this.acts(),
        mayStart: this.starts(),
        known: this.mending.nodes.map(({ node, says }) => ({
          node,
          says,
          key: known[node]?.key ?? null,
          notBefore: known[node]?.notBefore ?? 0,
          waitMs: Math.max(0, (known[node]?.notBefore ?? 0) - Date.now()),
        })),
        forMs,
      }),
    );
  }

  private pause(ms: number): Promise<void> {
    return this.waiting.run(() => sleep(ms, { summary: 'Waiting before what is left over is looked at again' }));
  }

  /** What is left over now, for people; what is over is told once. */
  private tell({ leftOver, started: startedSays = [], answering = [] }: MembersWatchResult): void {
    const { host, mending } = this;
    for (const says of startedSays) host.note(says.includes(` ${STAYS_STOPPED}`) ? 'mending' : 'mended', says);
    if (answering.length > 0) host.standbyAnswers();
    const { known } = host;
    const before = mending.nodes;
    mending.nodes = leftOver.map((each) => {
      const told = before.find(({ node }) => node === each.node);
      if (told === undefined) host.note('mending', `${each.node}: ${wordsOf(each)}`);
      const { attempts, last, lastAt, nextAt } = told ?? { attempts: 0 };
      return {
        ...(last === undefined ? {} : { last }),
        ...(lastAt === undefined ? {} : { lastAt }),
        ...(nextAt === undefined ? {} : { nextAt }),
        ...shown(each),
        attempts,
      };
    });
    for (const { node, attempts, started: byWatch } of before) {
      if (leftOver.some((each) => each.node === node)) continue;
      const stays = startedSays.some((says) => says.startsWith(`${node} ${STAYS_STOPPED}`));
      const after = attempts === 0 ? '' : ` after ${attempts === 1 ? '1 attempt' : `${attempts} attempts`}`;
      const over =
        node === NOBODY
          ? `somebody takes writes again${after}`
          : byWatch === true
            ? `${node} runs again`
            : `${node} is a standby again${after}`;
      delete known[node];
      if (stays) continue;
      host.note('mended', over);
      host.mended();
    }
    for (const { node, key } of leftOver) {
      const knows = known[node];
      if (knows?.key === null) knows.key = key;
    }
  }

  /** Starts the runbook, which looks again itself, lives on by itself, and whose end is listened for. */
  private async mend({ leftOver, due, byHand }: MembersWatchResult): Promise<void> {
    const { host, mending } = this;
    const { state, known } = host;
    if (host.busy() && (await this.waitsForRun())) return;
    this.timesBusy = 0;
    const wanted = leftOver.filter(({ node }) => due.includes(node));
    const leave = [...new Set([...byHand, ...leftAlone(leftOver, due, known)])];
    const reason = wanted.map((each) => `${each.node}: ${each.says}`).join('; ');
    const workflowId = newRunId('repair', state.cluster);
    const input: RepairInput = {
      cluster: state.cluster,
      mode: 'run',
      approval: 'given',
      unattended: true,
      ...(leave.length === 0 ? {} : { leave }),
      soak: '0s',
      startedBy: `guard of ${state.cluster}`,
      reason: reason.slice(0, REASON_LENGTH),
    };
    let run;
    try {
      run = await this.runs.start({
        type: 'repair',
        workflowId,
        input,
        summary: `Started by the guard: ${reason}`.slice(0, REASON_LENGTH),
      });
    } catch (error) {
      if (isCancellation(error)) throw error;
      this.failed(due, `the repair could not be started: ${rootMessage(error)}`);
      return;
    }
    mending.acting = { workflowId, runId: run.firstExecutionRunId, since: Date.now(), what: 'repair', nodes: due };
    for (const node of due) {
      const told = mending.nodes.find((each) => each.node === node);
      const changed = known[node] !== undefined && known[node].key !== wanted.find((each) => each.node === node)?.key;
      // Something has changed since: what was in vain then is no reason to wait longer now.
      const attempts = (changed ? 0 : (told?.attempts ?? 0)) + 1;
      if (told !== undefined) told.attempts = attempts;
    }
    host.note('mending', `${reason}: repair started, ${workflowId}`, workflowId);
    this.runs.hear(run, (end) => this.runEnded(workflowId, due, end));
  }

  /** An earlier history started a repair that goes on: without this nobody would hear its end, and no other one would be started. */
  private hearAgain(): void {
    const { acting } = this.mending;
    if (acting === undefined) return;
    // A guard of an older version did not note for whom it was.
    const nodes = acting.nodes ?? this.mending.nodes.filter(({ attempts }) => attempts > 0).map(({ node }) => node);
    if (!this.runs.hearAgain(acting, (end) => this.runEnded(acting.workflowId, nodes, end))) return;
    this.host.note('mending', 'repair goes on, which an earlier history started', acting.workflowId);
  }

  /** Whether a run of the guard's own is in the way, and was waited for. */
  private async waitsForRun(): Promise<boolean> {
    // A guard that was started by a version which waited for the end of every run goes on as it began, until its history begins anew.
    const mendsBeside = patched('guard-mends-beside');
    if (mendsBeside && !this.host.startsAnother() && !isInTheWay(this.host.state.acting, Date.now())) return false;
    this.timesBusy += 1;
    await this.pause(mendsBeside ? busyPauseMs(this.timesBusy) : BUSY_MS);
    return true;
  }

  /** An attempt has ended. Whether it was in vain is what the next look tells. */
  private failed(nodes: readonly string[], says: string, run?: string, tells = true): void {
    const attempts = Math.max(
      1,
      ...this.mending.nodes.filter(({ node }) => nodes.includes(node)).map((each) => each.attempts),
    );
    const ms = mendingBackoffMs(attempts, this.host.policy);
    this.later(nodes, ms, says, true);
    const then = tells ? `. Tried again in ${formatMs(ms)}, or when something changes` : '';
    this.host.note('mending', `attempt ${attempts} ended: ${says.replace(/\.$/, '')}${then}`, run);
  }

  private later(nodes: readonly string[], ms: number, says: string, counts: boolean): void {
    const at = Date.now();
    for (const node of nodes) {
      this.host.known[node] = { key: null, notBefore: at + ms };
      const told = this.mending.nodes.find((each) => each.node === node);
      if (told === undefined) continue;
      if (!counts) told.attempts = Math.max(0, told.attempts - 1);
      Object.assign(told, { last: says, lastAt: at, nextAt: at + ms });
    }
  }

  private runEnded(workflowId: string, nodes: readonly string[], end: RunEnd): void {
    if (end.well) this.failed(nodes, end.says, workflowId, false);
    else if (end.type === 'Busy')
      this.later(nodes, BUSY_MS, `another run holds the lock of PostgreSQL: ${end.says}`, false);
    // What it was in the middle of has not failed.
    else if (end.gaveWay === true) this.later(nodes, BUSY_MS, end.says, false);
    else this.failed(nodes, end.says, workflowId);
    delete this.mending.acting;
    this.host.explain();
    this.waiting.cancel();
  }
}

const shown = (each: LeftOver) => ({
  node: each.node,
  says: wordsOf(each),
  acts: each.leaves === undefined,
  ...(each.byHand === undefined ? {} : { byHand: each.byHand }),
  ...(each.next === undefined ? {} : { next: each.next }),
  ...(each.look === undefined ? {} : { look: each.look }),
  ...(each.started === undefined ? {} : { started: each.started }),
});

/** The nodes that a repair of the others leaves: what is in their way has to change first, or an attempt was in vain just now. */
function leftAlone(leftOver: readonly LeftOver[], due: readonly string[], known: MendingKnowledge): string[] {
  return leftOver
    .filter(({ node, key, leaves }) => {
      if (node === NOBODY || due.includes(node)) return false;
      const tried = known[node];
      return leaves !== undefined || (tried?.key === key && tried.notBefore > Date.now());
    })
    .map(({ node }) => node);
}
