import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { composeArguments } from '../cli/compose';
import { packageRoot } from '../cli/paths';
import { formatMs } from '../cluster/duration';
import type { GuardState } from '../workflows/guard-messages';
import { abortUpdate, statusQuery, WORKFLOW_TASK_TIMEOUT, type Decision } from '../workflows/messages';
import type { Report, RunState } from '../workflows/run-state';
import { randomOf } from './chaos/random';
import { moveBack } from './chaos/runbooks';
import { AgentEye } from './copy-eye';
import {
  ENGINE_OFFSET_MS,
  nodeToAdd,
  nodeToCopy,
  scopeOf,
  wasUnderWay,
  type Accompanied,
  type DuringRun,
} from './during';
import { isCalm } from './guarded';
import { say } from './options';
import { run as program } from './shell';
import { deleteNode } from './spare-node';
import type { Stage } from './stage';
import { whole } from './target';

/** What accompanies an incident. */
export interface Companion {
  /** Before the cluster is asked to be calm, and before anything is measured. */
  prepare(): Promise<void>;
  /** While clients write, and just before the fault. Returns when the runbook is in its middle. */
  begin(primary: string): Promise<void>;
}

const LIMIT_MS = 120_000;
/** When the bench ends in the middle, what is left has this long. */
const CLOSE_LIMIT_MS = 60_000;
/** A run that was aborted has this long to put everything back; then it is terminated. */
const ABORT_LIMIT_MS = 30_000;
const LOOK_EVERY_MS = 10;
/** A runbook that found another run at work, or the cluster not ready for it, is started again this much later. */
const AGAIN_MS = 2000;
/** The fault does not wait longer than this for the last words of the run. */
const ANSWER_LIMIT_MS = 200;
/** A maintenance ends by itself after this, should nobody be left to move it back. */
const HOLD = '10m';
/** The offsets of the faults are the same in each bench. */
const SEED = 1;

const decision: Decision = { by: 'bench:failover', why: 'the run of the bench is over' };

const workflows: Readonly<Record<Accompanied, string>> = {
  'engine-switchover': 'engineSwitchover',
  maintenance: 'maintenance',
  'add-standby': 'addStandby',
  'rejoin-copy': 'rejoin',
};

/** A run that was started. Times are milliseconds since the epoch. */
interface Going {
  handle: WorkflowHandle;
  startedAt: number;
  node: string | undefined;
  atFault: string;
  faultAt: number;
}

/** Says what the run does in its middle; undefined while it is not there, or not any more. */
type Look = (state: RunState) => string | undefined | Promise<string | undefined>;

/** Starts a runbook, brings it into its middle, and after the fault leaves nothing of it. One at a time, again and again. */
export class Accompaniment implements Companion {
  private going: Going | undefined;
  /** The node that was given a container to be added; and whether a run has touched it. */
  private added: { node: string; begun: boolean } | undefined;
  private started = 0;
  private closed = false;

  constructor(
    private readonly stage: Stage,
    private readonly runbook: Accompanied,
  ) {}

  async prepare(): Promise<void> {
    const { guarded, target } = this.stage;
    await guarded.until('nothing being left to mend', hasNothingToMend, LIMIT_MS);
    if (this.runbook === 'add-standby') return this.makeContainer();
    if (this.runbook !== 'maintenance') return;
    const primary = await guarded.calm();
    await this.untilInTheMiddle({ ...scopeOf(target.cluster, primary), hold: HOLD, soak: '0s' }, heldWords);
  }

  async begin(primary: string): Promise<void> {
    switch (this.runbook) {
      case 'maintenance':
        break;
      case 'engine-switchover': {
        await this.untilInTheMiddle({}, movingWords);
        const [least, most] = ENGINE_OFFSET_MS;
        const offset = randomOf(SEED, this.started).whole(least, most);
        await sleep(Math.max(0, (this.going?.startedAt ?? 0) + offset - Date.now()));
        break;
      }
      case 'add-standby': {
        const node = this.added?.node ?? '';
        if (this.added !== undefined) this.added.begun = true;
        await this.copying(node, { node });
        break;
      }
      case 'rejoin-copy': {
        const node = nodeToCopy(this.stage.target.cluster, primary);
        await this.copying(node, { node, method: 'copy' });
        break;
      }
    }
    const { going } = this;
    if (going === undefined) throw new Error(`no ${this.runbook} is under way`);
    // A copy was looked at by its agent this moment, and a question more would cost what is left of it.
    if (going.node === undefined) going.atFault = await wordsNow(going);
    going.faultAt = Date.now();
  }

  /**
   * Waits for the end of the run after the fault, moves back what it moved, and leaves the cluster as it was before. What does not
   * end is aborted, and then terminated.
   * @returns what was under way; undefined where nothing was
   */
  async leave(limitMs = LIMIT_MS): Promise<DuringRun | undefined> {
    const { going, runbook } = this;
    this.going = undefined;
    let report: Report | undefined;
    if (going !== undefined) {
      if (runbook === 'maintenance') await moveBack(going.handle, decision);
      report = await this.endOf(going.handle, limitMs);
    }
    const helped = await this.tidy(going?.node, limitMs);
    if (going === undefined) return undefined;
    const { handle, startedAt, node, atFault, faultAt } = going;
    return {
      runbook,
      workflowId: handle.workflowId,
      ...(node === undefined ? {} : { node }),
      startedBeforeMs: faultAt - startedAt,
      atFault,
      underWay: wasUnderWay(runbook, report, faultAt),
      outcome: report?.outcome ?? null,
      says: report?.says ?? null,
      helped,
    };
  }

  /** The bench ends, maybe in the middle: nothing is begun any more, and nothing is left behind. */
  async close(): Promise<void> {
    this.closed = true;
    if (this.going !== undefined || this.added !== undefined) say(`Leaving the ${this.runbook} …`);
    await this.leave(CLOSE_LIMIT_MS);
  }

  // ---- into the middle

  private async start(workflow: string, input: object): Promise<WorkflowHandle> {
    const { client, stand, target } = this.stage;
    return client.workflow.start(workflow, {
      taskQueue: stand.taskQueue,
      workflowId: `bench/${this.runbook}/${process.pid}-${++this.started}`,
      workflowTaskTimeout: WORKFLOW_TASK_TIMEOUT,
      args: [
        {
          cluster: target.name,
          approval: 'given',
          startedBy: 'bench:failover',
          reason: 'the primary fails meanwhile',
          ...input,
        },
      ],
    });
  }

  /** Starts the runbook, as often as it takes until it is in its middle. @throws Error with what it said, where it does not get there */
  private async untilInTheMiddle(input: object, look: Look, node?: string): Promise<void> {
    for (const until = performance.now() + LIMIT_MS; ; await sleep(AGAIN_MS)) {
      if (this.closed) throw new Error('the bench ends');
      const startedAt = Date.now();
      const handle = await this.start(workflows[this.runbook], input);
      if (this.closed) {
        // It was being started when the bench ended: nothing is moved or copied yet.
        await handle.terminate('the bench ends');
        throw new Error('the bench ends');
      }
      this.going = { handle, startedAt, node, atFault: '', faultAt: startedAt };
      const words = await middleOf(handle, look);
      if (words !== undefined) {
        this.going.atFault = words;
        return;
      }
      this.going = undefined;
      const report = await this.endOf(handle, ABORT_LIMIT_MS);
      const again = report?.outcome === 'busy' || report?.outcome === 'refused';
      if (!again || performance.now() > until)
        throw new Error(
          `${handle.workflowId} ended before it was seen in its middle: ${report?.says ?? 'it left no report'}`,
        );
    }
  }

  /** The same for a runbook that copies, by the word of the node's agent. */
  private async copying(node: string, input: object): Promise<void> {
    const eye = new AgentEye(node);
    try {
      const look: Look = (state) =>
        state.steps.some(({ id, state: now }) => id === 'data' && now === 'running') ? eye.copyWords() : undefined;
      await this.untilInTheMiddle(input, look, node);
    } finally {
      eye.close();
    }
  }

  // ---- and out of it

  private async endOf(handle: WorkflowHandle, limitMs: number): Promise<Report | undefined> {
    const { guarded } = this.stage;
    const ended = guarded.report(handle.workflowId);
    const within = (ms: number) => Promise.race([ended, sleep(ms, 'late' as const, { ref: false })]);
    const report = await within(limitMs);
    if (report !== 'late') return report;
    say(`  ${handle.workflowId} has not ended within ${formatMs(limitMs)}: it is aborted`);
    await Promise.race([
      handle.executeUpdate<string, [Decision]>(abortUpdate.name, { args: [decision] }).catch(() => undefined),
      sleep(ABORT_LIMIT_MS, undefined, { ref: false }),
    ]);
    const aborted = await within(ABORT_LIMIT_MS);
    if (aborted !== 'late') return aborted;
    say(`  ${handle.workflowId} does not end: it is terminated`);
    await handle.terminate(decision.why).catch(() => undefined);
    return undefined;
  }

  /** @returns whether the bench had to put something right */
  private async tidy(copied: string | undefined, limitMs: number): Promise<boolean> {
    if (this.added !== undefined) {
      const { node, begun } = this.added;
      const helped = begun && !(await this.letGo(node, limitMs));
      await deleteNode(node);
      this.added = undefined;
      return helped;
    }
    if (this.runbook !== 'rejoin-copy' || copied === undefined) return false;
    const { guarded, target } = this.stage;
    try {
      await whole(target, 2, limitMs);
      return false;
    } catch (error) {
      say(`  ${(error as Error).message}: ${copied} is rejoined by hand`);
      const report = await guarded.rejoin({ node: copied });
      say(`  ${report?.says ?? 'the rejoin left no report'}`);
      await whole(target, 2, limitMs);
      return true;
    }
  }

  // ---- a node that is added

  /** A container that was never started: its copy begins with the run, and until then everybody leaves it alone. */
  private async makeContainer(): Promise<void> {
    const node = nodeToAdd(this.stage.target.cluster);
    if (node === undefined) throw new Error('the topology has no optional node');
    if (this.closed) throw new Error('the bench ends');
    this.added = { node, begun: false };
    const service = node.replace(/^veloz-/, '');
    const script = join(packageRoot, 'scripts', 'compose.sh');
    await program('bash', [script, ...composeArguments(2, ['up', '--no-start', '--no-deps', service])], {
      cwd: packageRoot,
    });
  }

  /** Removes the standby as its runbook provides. @returns false where it came to nothing */
  private async letGo(node: string, limitMs: number): Promise<boolean> {
    const { guarded, target } = this.stage;
    // The guard makes it a standby, as any node that a run left in its middle: two at a time would be in each other's way.
    const streams = await whole(target, 2, limitMs).then(
      () => true,
      (error: unknown) => {
        say(`  ${(error as Error).message}: ${node} is removed as it is`);
        return false;
      },
    );
    for (const until = performance.now() + limitMs; ; await sleep(AGAIN_MS)) {
      // What is the primary by now has to hand that over first.
      const isPrimary = (await guarded.calm(limitMs)) === node;
      const handle = isPrimary
        ? await this.start('switchover', { soak: '0s' })
        : await this.start('removeStandby', { node, soak: '0s' });
      const report = await this.endOf(handle, limitMs);
      if (!isPrimary && report?.outcome.startsWith('completed') === true) return streams;
      if (performance.now() > until) {
        say(`  ${node} could not be removed: ${report?.says ?? 'no report'}`);
        return false;
      }
    }
  }
}

/** Nothing is under way, and nothing is left that the guard does something about. */
const hasNothingToMend = (state: GuardState): boolean =>
  isCalm(state) &&
  state.mending?.acting === undefined &&
  (state.mending?.nodes ?? []).every(({ acts }) => !acts) &&
  state.redis?.acting === undefined;

/** Looks at a run until it is in its middle. Returns its words then; undefined where it has ended. */
async function middleOf(handle: WorkflowHandle, look: Look): Promise<string | undefined> {
  for (const until = performance.now() + LIMIT_MS; ; await sleep(LOOK_EVERY_MS)) {
    const state = await handle.query(statusQuery).catch(() => undefined);
    if (state?.phase === 'ended') return undefined;
    const words = state === undefined ? undefined : await look(state);
    if (words !== undefined) return words;
    if (performance.now() > until)
      throw new Error(
        `${handle.workflowId} is not in its middle after ${formatMs(LIMIT_MS)}: ${state === undefined ? 'it gives no answer' : stateWords(state)}`,
      );
  }
}

/** What a run does now, in words. */
function stateWords({ phase, says, steps }: RunState): string {
  const step = steps.find(({ state }) => state === 'running');
  return `${phase}, ${step?.says ?? says}`;
}

/** What a run does now; where it does not answer at once, what it did when it was looked at last. */
const wordsNow = ({ handle, atFault }: Going): Promise<string> =>
  Promise.race([
    handle.query(statusQuery).then(stateWords, () => atFault),
    sleep(ANSWER_LIMIT_MS, atFault, { ref: false }),
  ]);

const heldWords: Look = (state) => (state.phase === 'held' ? stateWords(state) : undefined);

const movingWords: Look = (state) =>
  state.phase === 'running' && state.steps.some(({ state: now }) => now === 'running') ? stateWords(state) : undefined;
