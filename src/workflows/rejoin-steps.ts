import { ApplicationFailure, patched, type ActivityOptions } from '@temporalio/workflow';
import type { RejoinLook, RejoinRequest, RejoinWork } from '../activities';
import { formatMs } from '../cluster/duration';
import { formatSize } from '../cluster/size';
import { besideOthers } from './copy-beside';
import { act, changing, leaving } from './runbook/activity-options';
import type { Run } from './runbook/run';
import type { Step, StepResult } from './runbook/runner';
import type { RejoinFacts } from './run-state';

/** What the steps of a rejoin learn, for the report of whatever runbook they are a part of. */
export interface RejoinStory {
  /** The primary to follow, where it is known only once the steps run: a failover's target. */
  result?: { target: string };
  /** Milliseconds since the epoch at which a standby confirmed commits again. */
  protectedAt?: number;
  timeline?: number;
  rejoin?: RejoinFacts;
  /** The primary's names at the end. */
  names?: string;
  /** The node was told to stop and was left, in a sentence. */
  left?: string;
}

/** A node that is to become a standby of the primary. */
export interface RejoinWish {
  cluster: string;
  /** The run's id, as agents know it. */
  run: string;
  node: string;
  /** Default: the target of the story's failover. */
  primary?: string;
  method: 'auto' | 'copy';
  /** Its container runs, and neither its agent nor its server gives an answer. */
  silent?: boolean;
  /** Nobody asked for this very node: what a person stopped stays stopped. */
  leavesStopped?: boolean;
}

/** A container of which nothing answers ends within some 8 s, or is cut off then. */
const ending: ActivityOptions = {
  ...changing,
  startToCloseTimeout: '15s',
  scheduleToCloseTimeout: '20s',
  retry: { initialInterval: '100ms', maximumAttempts: 2 },
};

/** Makes one node a standby: a list that stands alone, or is appended to that of a failover. Only forward. */
export function rejoinSteps(run: Run, wish: RejoinWish, story: RejoinStory): Step[] {
  const rejoin = new Rejoin(run, wish, story);
  const { node } = wish;
  // One that was begun by a version which could be left before the node had ended goes on as it began.
  const endsFirst = wish.silent === true && patched('silent-node-ended-first');
  const look = endsFirst
    ? { run: () => rejoin.endAndLook() }
    : { givesWayFor: () => rejoin.primary, run: () => rejoin.look() };
  return [
    {
      id: 'look',
      says: `Fence ${node}, and compare its history with the primary's`,
      expectedMs: 600,
      ...look,
    },
    {
      id: 'data',
      says: `Make the data of ${node} fit: nothing, rewind, or a full copy`,
      givesWayFor: () => rejoin.primary,
      run: () => rejoin.data(),
    },
    {
      id: 'start',
      says: `Start ${node} as a standby, and wait until it streams`,
      expectedMs: 500,
      givesWayFor: () => rejoin.primary,
      run: () => rejoin.start(),
    },
    {
      id: 'protect',
      says: `${node} catches up and confirms commits; what is left over is removed`,
      expectedMs: 500,
      givesWayFor: () => rejoin.primary,
      run: () => rejoin.protect(),
    },
  ];
}

/** How often a copy is begun before the run gives up. */
const COPIES = 3;

type Plan = Extract<RejoinLook, { state: 'fenced' }>['plan'];
type Work = Plan & { method: 'rewind' | 'copy' };

/** One node on its way back; what a step found is what the next one starts from. */
class Rejoin {
  private turn = 0;
  private began = 0;
  private found: RejoinLook | undefined;
  /** What the first look said must be done, and why. */
  private why = '';
  private work: RejoinWork | undefined;

  constructor(
    private readonly run: Run,
    private readonly wish: RejoinWish,
    private readonly story: RejoinStory,
  ) {}

  get primary(): string {
    return this.wish.primary ?? this.story.result?.target ?? '';
  }

  /** Each activity of the rejoin takes the node anew, so that none of an earlier one's late commands is carried out. */
  private request(method: 'auto' | 'copy' = this.wish.method): RejoinRequest {
    const { cluster, run, node, leavesStopped } = this.wish;
    const request = { cluster, run, node, primary: this.primary, method, turn: this.turn++ };
    return leavesStopped === true ? { ...request, leavesStopped } : request;
  }

  /**
   * Whoever asks for the lock since commits wait for this node waits for its end, too: that is a part which nobody leaves. All that
   * follows gives way.
   */
  async endAndLook(): Promise<StepResult> {
    const { node } = this.wish;
    // Where that fails the look says why.
    await act(ending, `End ${node}, of which nothing answers`)
      .endSilentNode(this.request())
      .catch(() => undefined);
    return this.run.untilAsked(this.primary, () => this.look());
  }

  async look(): Promise<StepResult> {
    const { node } = this.wish;
    this.began = this.run.now();
    const summary = `Fence ${node}, and compare its history with that of ${this.primary}`;
    this.found = await act(leaving, summary).lookAtRejoin(this.request());
    this.why = this.found.state === 'fenced' ? this.found.plan.why : this.found.says;
    if (this.found.state === 'left') this.story.left = this.found.says;
    if (this.found.state !== 'fenced') return { detail: this.found.says };
    const { plan, says } = this.found;
    return { detail: `${says}; ${methodWords[plan.method]}: ${plan.why}` };
  }

  async data(): Promise<StepResult> {
    const { found } = this;
    if (found === undefined || found.state === 'streams' || found.state === 'left') return { detail: 'nothing to do' };
    if (found.state === 'prepares') return this.untilPrepared();
    const { plan } = found;
    if (plan.method === 'none') return { detail: `nothing to do: ${plan.why}` };
    return this.carryOut({ ...plan, method: plan.method });
  }

  /** The node copies by itself, as at any first start; where it does not get on with that, the run takes over. */
  private async untilPrepared(): Promise<StepResult> {
    const result = await this.carryOut(undefined);
    const failed = this.work?.failed;
    if (failed === undefined) return result;
    return this.copyAnew(failed);
  }

  /** Fences the node, whatever it does now, and copies all. */
  private async copyAnew(why: string): Promise<StepResult> {
    const { node } = this.wish;
    this.run.changed(`${why}: a full copy`);
    this.found = await act(leaving, `Fence ${node} for a full copy`).lookAtRejoin(this.request('copy'));
    this.work = undefined;
    return this.carryOut(this.found.state === 'fenced' ? { ...this.found.plan, method: 'copy' } : undefined, why);
  }

  /** No failover waits until it is through. */
  private carryOut(plan: Work | undefined, fellBack?: string): Promise<StepResult> {
    return besideOthers(this.run, this.wish.node, this.primary, () => this.untilDone(plan, fellBack));
  }

  /** The job is the agent's: it is asked every few seconds how far it is, so that people see it. */
  private async untilDone(plan: Work | undefined, fellBack?: string): Promise<StepResult> {
    const { node } = this.wish;
    const verb = plan?.method === 'rewind' ? 'Rewind' : 'Copy';
    const summary = plan?.method === 'rewind' ? `Rewind ${node} to ${this.primary}` : `Copy ${this.primary} to ${node}`;
    // A copy that failed, or was interrupted by the end of its container, is begun anew: each is a job of its own.
    const copies = new Set<number>();
    try {
      for (;;) {
        const work: RejoinWork = await act(leaving, summary).rewindOrCopy({
          ...this.request(),
          ...(plan === undefined ? {} : { plan }),
          ...(this.work === undefined ? {} : { startedAtMs: this.work.startedAtMs }),
          ...(fellBack === undefined ? {} : { fellBack }),
        });
        this.work = work;
        fellBack = work.fellBack;
        if (work.done || (plan === undefined && work.failed !== undefined)) break;
        if (work.method === 'copy') copies.add(work.startedAtMs);
        if (copies.size > COPIES || (work.failed !== undefined && copies.size === COPIES))
          throw ApplicationFailure.nonRetryable(
            `${work.failed ?? 'the copy was interrupted again and again'} (begun ${copies.size} times). Next: docker logs --tail 50 ${node}`,
            'Failed',
          );
        this.show(
          `${verb === 'Rewind' && work.method === 'copy' ? 'Copy' : verb} of ${node} from ${this.primary}: ${work.phase}`,
          work,
        );
      }
    } finally {
      delete this.run.state.progress;
    }
    return {
      detail: workWords(this.work),
      warnings: this.work.fellBack === undefined ? [] : [`J6: ${this.work.fellBack}; a full copy was made instead`],
    };
  }

  private show(says: string, work: RejoinWork): void {
    const { doneBytes, totalBytes, bytesPerSecond, remainingMs } = work;
    this.run.state.progress = { says, doneBytes, totalBytes, bytesPerSecond, remainingMs };
    this.run.changed(says);
  }

  async start(): Promise<StepResult> {
    const { node } = this.wish;
    if (this.found?.state === 'left')
      return { detail: `it stays stopped until somebody starts it: docker start ${node}` };
    const summary = `Start ${node} as a standby of ${this.primary}`;
    const first = await act(leaving, summary).startAsStandby(this.request());
    if (first.streams) return { detail: `streams after ${formatMs(first.ms)}` };
    if (this.work?.method === 'copy')
      throw ApplicationFailure.nonRetryable(
        `${first.why}, although it was copied. Next: docker logs --tail 50 ${node}`,
      );
    // What the comparison could not see: WAL that the primary keeps no more, or pages that do not fit.
    const copied = await this.copyAnew(first.why);
    const second = await act(leaving, summary).startAsStandby(this.request());
    if (!second.streams)
      throw ApplicationFailure.nonRetryable(
        `${second.why}, although it was copied. Next: docker logs --tail 50 ${node}`,
      );
    return {
      detail: `${first.why}; ${copied.detail}; streams after ${formatMs(second.ms)}`,
      warnings: copied.warnings,
    };
  }

  async protect(): Promise<StepResult> {
    const { node } = this.wish;
    if (this.found?.state === 'left') return { detail: 'nothing to do' };
    const settled = await act(leaving, `Have ${node} catch up and be synchronous`).settleRejoin(this.request());
    this.story.protectedAt = settled.protectedAt;
    this.story.timeline = settled.timeline;
    this.story.names = settled.names;
    const { found, work } = this;
    const plan = found?.state === 'fenced' ? found.plan : undefined;
    this.story.rejoin = {
      node,
      method: work?.method ?? plan?.method ?? 'none',
      why: work?.fellBack === undefined ? this.why : `${this.why}; ${work.fellBack}`,
      ms: this.run.now() - this.began,
      bytes: work === undefined || work.doneBytes === 0 ? null : work.doneBytes,
      lost: work?.lost ?? null,
      quarantine: work?.quarantine ?? null,
    };
    return { detail: settled.detail, warnings: settled.warnings };
  }
}

const methodWords = { none: 'nothing to do to its data', rewind: 'rewind', copy: 'full copy' } as const;

function workWords(work: RejoinWork): string {
  const rate = work.bytesPerSecond === null ? '' : `, ${formatSize(work.bytesPerSecond)}/s`;
  const bytes = work.doneBytes === 0 ? '' : `${formatSize(work.doneBytes)} in `;
  const kept = work.quarantine === null ? '' : `; evidence is kept in ${work.quarantine}`;
  return `${work.method}: ${bytes}${formatMs(work.ms)}${rate}${kept}`;
}
