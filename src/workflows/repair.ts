import { CancellationScope, patched, setWorkflowOptions, sleep, uuid4 } from '@temporalio/workflow';
import type { ClusterDescription } from '../activities';
import { problemSentence, refusalSentence, type Check } from '../cluster/check';
import { watchRun } from '../cluster/commands';
import { durationMs, formatMs } from '../cluster/duration';
import type { Ledger } from '../cluster/guard/ledger';
import { membersOf } from '../cluster/members';
import { presentNodes, primaries } from '../cluster/observed';
import { beyondPlan, sameTasks, type RepairRound, type RepairTask } from '../cluster/repair/round';
import { planQuestion } from '../report/runbooks';
import { nextOf, primaryOf, RepairEnds, sentence, START, type Failed, type RepairSoFar } from './repair-ends';
import { lookUntilSettled, type PrimarySeen, type RepairLook } from './repair-look';
import { roundParts, roundSteps, type RepairStory, type RoundPart, type RoundSetting } from './repair-steps';
import { act, changing, reading } from './runbook/activity-options';
import { approvedOrEnd } from './runbook/ask';
import { askForHolder, describeCluster, lockOrEnd, requestOf } from './runbook/begin';
import { Run } from './runbook/run';
import { initialStepStates, rootMessage, runSteps, type Step, type StepsOutcome } from './runbook/runner';
import { proveAndWatch } from './runbook/soak';
import type { Plan, Report } from './run-state';
import { parseRepairInput, type RepairInput, type RepairRequest } from './standby-input';

/** What follows from one round is found by the next. A cluster that is not right after so many is not understood. */
const MAX_ROUNDS = 6;

/**
 * Brings a cluster to a right state after a run was terminated in its middle, or after whatever else: looks at what is, plans, and
 * puts it right in rounds of look, decide, act, until a look finds nothing more. Ended in its own middle, it is simply run again.
 *
 * Ends with a {@link Report} as its result, or fails with the report in the failure's details and the outcome as its type.
 */
export async function repair(input?: RepairInput | null): Promise<Report> {
  const request = requestOf(parseRepairInput(input), START);
  const run = new Run('repair', request);
  // Cancellation is an abort: asked for between steps, never in the middle of one.
  return CancellationScope.nonCancellable(() => new Repair(run, request).conduct());
}
setWorkflowOptions({ failureExceptionTypes: [Error] }, repair);

class Repair implements RepairSoFar {
  readonly story: RepairStory = { woken: [] };
  described!: ClusterDescription;
  rest: Partial<Report> = {};
  /** The last look, whatever came of it. */
  seen?: RepairLook;
  /** For whom it gives way: what it knows of the primary. */
  private known: PrimarySeen = {};
  /** Nodes that this run made standbys. */
  readonly mended = new Set<string>();
  /** Nodes that it could not make one, and a pooler that it restarted in vain, and how that ended: it does not try again. */
  readonly failed = new Map<string, Failed>();
  /** A run that was begun by a version which ended at the first node that failed goes on as it began. */
  private readonly nodeByNode = patched('repair-node-by-node');
  /** One that was begun by a version which gave way to nobody but in a rejoin does so. */
  readonly givesWay = patched('repair-gives-way');
  /** One that was begun by a version which restarted the pooler first, and ended where that failed, does so. */
  readonly poolerLast = patched('repair-pooler-last');
  /** One that was begun by a version which started a pooler before all else does so; the step asks who takes writes all the same. */
  readonly poolerInOrder = patched('repair-pooler-in-order');
  /** One that was begun by a version for which an optional node without container was never there goes on so. */
  readonly namedAreThere = patched('repair-named-are-there');

  private readonly ends = new RepairEnds(this);

  constructor(
    readonly run: Run,
    private readonly request: RepairRequest,
  ) {}

  async conduct(): Promise<Report> {
    try {
      return await this.begin();
    } catch (error) {
      // What ends a run throws too, and so does what nobody asked it to leave.
      if (this.run.state.phase === 'ended' || !this.givesWay) throw error;
      if (!this.run.leaveWhenAsked() && !(error instanceof PrimaryGone)) throw error;
      return this.ends.gaveWay(rootMessage(error));
    }
  }

  private async begin(): Promise<Report> {
    const { run, request } = this;
    const { state } = run;
    this.described = await describeCluster(request.cluster);
    state.cluster = this.described.name;
    run.enter('checking', 'Taking the lock of PostgreSQL');
    const busy = await this.lock();
    if (busy !== undefined) return busy;

    const first = await this.look();
    this.rest = { primaryBefore: primaryOf(first), membersBefore: state.members };
    const { tasks } = first.round;
    if (tasks.length === 0) return this.nothingToDo(first);
    state.plan = this.planOf(first);
    if (request.mode === 'plan')
      return run.end('planned', `${sentence(first.round.says)} Nothing was changed. Next: ${this.ends.command}`, {
        ...this.rest,
        plan: state.plan,
        next: [{ command: this.ends.command, why: 'carries the plan out' }],
      });

    let since = state.startedAt;
    let now = first;
    if (request.approval === 'required') {
      const ended = await this.approve(first);
      if (ended !== undefined) return ended;
      since = Date.now();
      // Whoever had to act for it had the lock meanwhile.
      this.known = {};
      run.enter('checking', 'Approved; looking once more');
      now = await this.look();
    }
    run.enter('running', 'Starting');
    return this.rounds(tasks, now, since);
  }

  /** A run that was terminated this moment gives its lock back within another. */
  private async lock(): Promise<Report | undefined> {
    const { run, request } = this;
    if (request.mode === 'plan') {
      const holder = await askForHolder(run);
      if (holder === undefined) return undefined;
      const next = watchRun(holder);
      return run.end(
        'busy',
        `E1: PostgreSQL of cluster ${run.state.cluster} is locked: run ${holder} holds it (limit: one run at a time, and what one is in the middle of is not to be repaired). Nothing was changed. Next: ${next}`,
        { next: [{ command: next, why: 'follows the run that holds the lock' }] },
      );
    }
    if (await run.lock()) return undefined;
    await sleep('1s', { summary: 'Waiting for the lock of PostgreSQL: a run that has just ended may have held it' });
    return lockOrEnd(run, this.ends.command);
  }

  private async look(): Promise<RepairLook> {
    const limits = { ...this.request, leave: this.left };
    if (this.story.result !== undefined) this.known.name ??= this.story.result.target;
    const before = this.known.name;
    const look = await lookUntilSettled(this.run, this.described, this.story.woken, limits, this.known, this);
    this.seen = look;
    const wasPrimary = before ?? this.known.name;
    if (this.givesWay && this.run.holdsLock && wasPrimary !== undefined && look.ledger !== null)
      if (primaries(look.observed).length === 0) throw new PrimaryGone(wasPrimary);
    return look;
  }

  /** Does a finding tell of something else than of nodes that are left, and of what their absence means for commits? */
  private readonly isOfOthers = (check: Check): boolean =>
    !ofMissingStandbys.has(check.id) && !this.left.some((node) => names(check, node));

  /** Nodes that are left as they are. */
  private get left(): string[] {
    return [...(this.request.leave ?? []), ...this.failed.keys()];
  }

  /** What a report warns of where the primary itself refuses clients: a repair changes nothing about that. */
  private shutOut(look: RepairLook): string[] {
    const found = this.poolerLast ? shutOutOf(look) : undefined;
    if (found === undefined) return [];
    return [`${problemSentence(found)}${found.next === undefined ? '' : `. Next: ${found.next}`}`];
  }

  /** All is well, or people have to decide. */
  private nothingToDo(look: RepairLook): Report {
    const { run, rest } = this;
    const { round } = look;
    const nothing = ['Nothing was changed', ...(round.staysDown === undefined ? [] : [round.staysDown])];
    const refusal = refusalSentence(round.findings, nothing.join('. '));
    if (refusal !== undefined)
      return run.end('refused', refusal, { ...rest, next: [...nextOf(round.findings), this.ends.status] });
    for (const warning of this.shutOut(look)) run.warn(warning);
    return run.end('completed', `Nothing is to be repaired: ${round.says}. Nothing was changed`, {
      ...rest,
      primaryAfter: rest.primaryBefore,
      membersAfter: run.state.members,
      next: nextOf(round.findings),
    });
  }

  private planOf(look: RepairLook): Plan {
    const { described, run } = this;
    const steps = roundSteps(this.settingOf(look, { woken: [] }));
    const primary = look.round.primary ?? run.state.members.find(({ role }) => role === 'primary')?.name;
    const follows = followsFrom(look.round, primary);
    return {
      primary: primary ?? 'the right node',
      target: primary ?? 'the right node',
      protection: described.topology.protection,
      steps: [
        ...steps.map(({ id, says, expectedMs, pointOfNoReturn }) => ({
          id,
          says,
          ...(expectedMs === undefined ? {} : { expectedMs }),
          pointOfNoReturn: pointOfNoReturn !== undefined,
        })),
        ...(follows === undefined ? [] : [{ id: 'then', says: follows, pointOfNoReturn: false }]),
        { id: 'verify', says: 'Verify: one primary, its standbys confirm, clients reach it', pointOfNoReturn: false },
      ],
      expectedHoldMs: 0,
      expectedHoldBasis:
        primaries(look.observed).length === 0
          ? 'nobody is writable now: they go on as soon as there is a primary'
          : 'beyond what they may wait now',
      holdLimitMs: described.topology.limits.hold,
    };
  }

  private settingOf({ observed, round, ledger }: RepairLook, story = this.story): RoundSetting {
    const { workflowId } = this.run.state;
    // Each round is a run of its own to the agents: what an earlier one still sends is refused.
    const token = `${workflowId}/${uuid4()}`;
    const leavesStopped = this.request.unattended;
    const names = this.namedAreThere ? ledger : null;
    const { run, described } = this;
    const setting = { run, described, observed, round, ledger, names, token, story, leavesStopped };
    const givesWayFor = this.wayFor(ledger);
    return givesWayFor === undefined ? setting : { ...setting, givesWayFor };
  }

  /** The primary for which others may have to act: the one that it saw, or until then that of the guard. */
  private wayFor(ledger: Ledger | null): string | undefined {
    return this.givesWay ? (this.known.name ?? ledger?.primary ?? undefined) : undefined;
  }

  /** Waits for a person. Returns the report of a run that ends here. */
  private approve({ round }: RepairLook): Promise<Report | undefined> {
    const { run, request, described, rest } = this;
    const { state } = run;
    return approvedOrEnd(run, {
      asks: `${planQuestion(state.runbook, state.plan)} ${sentence(round.says)}`,
      approvalTimeout: request.approvalTimeout,
      usualMs: described.topology.approvalTimeout,
      again: this.ends.command,
      rest,
    });
  }

  /** Look, decide, act, until a look finds nothing more. */
  private async rounds(planned: readonly RepairTask[], first: RepairLook, since: number): Promise<Report> {
    const { run, request } = this;
    const { state } = run;
    let now = first;
    let before: readonly RepairTask[] = [];
    for (let count = 0; now.round.tasks.length > 0; count++) {
      const { tasks } = now.round;
      const beyond = request.approval === 'given' ? [] : beyondPlan(planned, tasks);
      if (beyond.length > 0) return this.ends.stop(since, `that was not in the plan: ${beyond.map(words).join(', ')}`);
      if (count === MAX_ROUNDS || sameTasks(before, tasks))
        return this.ends.stop(since, `the same again after it was done: ${tasks.map(words).join(', ')}`);
      const setting = this.settingOf(now);
      const outcome = await this.carryOutRound(roundParts(setting));
      // Not without the lock: whoever has it by then has the nodes too.
      if (!run.locksByTier || run.holdsLock)
        await act(changing, 'Give the nodes back')
          .endClaims({ cluster: this.described.name, run: setting.token })
          .catch(() => run.warn('the nodes could not be given back; the next run takes them over'));
      before = tasks;
      if (outcome.kind !== 'done') return this.broken(outcome, since);
      if (this.givesWay && !this.mayGoOn)
        return this.ends.gaveWay('others had to act, and have the lock of PostgreSQL now');
      run.changed('Looking at what is now');
      now = await this.look();
    }
    const others = this.failed.size === 0 ? now.round.findings : now.round.findings.filter(this.isOfOthers);
    const refusal = refusalSentence(others, now.round.staysDown);
    if (refusal !== undefined) {
      const next = nextOf(others);
      if (this.failed.size > 0)
        return this.ends.partly(since, { says: `A person has to do the rest: ${refusal}`, next });
      return run.end('incomplete', `What could be repaired is, and a person has to do the rest: ${refusal}`, {
        ...this.ends.facts(since),
        next: [...next, this.ends.status],
      });
    }
    const primary = primaryOf(now);
    const outcome = await this.carryOut([this.verifyStep(now)]);
    if (outcome.kind !== 'done') return this.broken(outcome, since);
    if (this.failed.size > 0) return this.ends.partly(since);
    const steps = state.steps.filter(({ state: how }) => how === 'done').length - 1;
    return run.end(
      'completed',
      `The cluster is as it should be: ${primary} is the primary, ${shutOutOf(now) === undefined ? 'clients reach it' : 'clients are led to it, and it refuses them'}, and nothing is left to repair after ${steps} ${steps === 1 ? 'step' : 'steps'}`,
      this.ends.facts(since),
    );
  }

  /**
   * A node that can't be made a standby keeps no other one from it, as long as this run has the lock and nobody wants it to stop; nor does
   * a pooler whose clients do not get through after its restart either.
   */
  private async carryOutRound(parts: readonly RoundPart[]): Promise<StepsOutcome> {
    const { run } = this;
    if (!this.nodeByNode) return this.carryOut(parts.flatMap(({ steps }) => steps));
    const lists = parts.map((part) => ({ ...part, states: initialStepStates(part.steps) }));
    run.state.steps.push(...lists.flatMap(({ states }) => states));
    for (const { rejoins, restarts, steps, states } of lists) {
      const alone = rejoins ?? (this.poolerLast ? restarts : undefined);
      const outcome = await runSteps(steps, states, run);
      run.leaveWhenAsked();
      if (outcome.kind !== 'done') {
        if (alone === undefined || !this.mayGoOn || outcome.kind === 'aborted') return outcome;
        this.failed.set(alone, outcome);
        for (const state of states) if (state.state === 'pending') state.state = 'skipped';
      } else if (rejoins !== undefined) this.mended.add(rejoins);
      if (!this.mayGoOn) break;
    }
    return { kind: 'done' };
  }

  /** The lock is its own: whoever has it otherwise has the nodes too. */
  get mayGoOn(): boolean {
    return !this.run.locksByTier || this.run.holdsLock;
  }

  private async carryOut(steps: Step[]): Promise<StepsOutcome> {
    const states = initialStepStates(steps);
    this.run.state.steps.push(...states);
    const outcome = await runSteps(steps, states, this.run);
    this.run.leaveWhenAsked();
    return outcome;
  }

  private verifyStep(look: RepairLook): Step {
    const { described, request } = this;
    const givesWayFor = this.wayFor(look.ledger);
    const soakMs = request.soak === undefined ? described.topology.soak : durationMs(request.soak);
    const primary = primaryOf(look) ?? '';
    const standbys = presentNodes(look.observed)
      .filter(({ name, sql }) => name !== primary && sql?.inRecovery === true && !this.left.includes(name))
      .map(({ name }) => name);
    // Its own step tells why clients do not get through: the standbys are proven all the same.
    const withoutDoor = described.topology.pgbouncer.nodes.some(({ name }) => this.failed.has(name));
    const proven = { cluster: described.name, primary, standbys, ...(withoutDoor ? { withoutDoor } : {}) };
    return {
      id: 'verify',
      says: `Verify: one primary, its standbys confirm, clients reach it${soakMs > 0 ? `; watch for ${formatMs(soakMs)}` : ''}`,
      expectedMs: soakMs + 200,
      ...(givesWayFor === undefined ? {} : { givesWayFor: () => givesWayFor }),
      run: async () => ({
        detail: await proveAndWatch(this.run, soakMs, (watchMs) =>
          act(changing, 'Prove the new state').verifyRepair(proven, watchMs),
        ),
        warnings: this.shutOut(look),
      }),
    };
  }

  /** A step failed, or somebody asked to stop. Nothing is put back: the next repair goes on from what is. */
  private async broken(outcome: Exclude<StepsOutcome, { kind: 'done' }>, since: number): Promise<Report> {
    const { run } = this;
    const { command, status } = this.ends;
    const again = { command, why: 'looks again, and goes on with it' };
    // What is, for the report. Without the lock nothing follows from it, and nobody waits until it stays.
    if (this.givesWay && !this.mayGoOn) await this.lookOnce();
    else await this.look().catch(() => undefined);
    const facts = this.ends.facts(since);
    if (outcome.kind === 'aborted')
      return run.end('aborted', `${outcome.why}. What was done stays. Next: ${command}`, {
        ...facts,
        next: [again, status],
      });
    return this.ends.failedAt(outcome, facts);
  }

  private async lookOnce(): Promise<void> {
    const observed = await act(reading, 'Look at every system once more')
      .observe(this.described.name)
      .catch(() => undefined);
    if (observed !== undefined) this.run.state.members = membersOf(observed);
    if (observed !== undefined && this.seen !== undefined) this.seen = { ...this.seen, observed };
  }
}

/** The node that took writes does not any more, and the guard decides what follows: it may promote another one, which this run would not. */
class PrimaryGone extends Error {
  override readonly name = 'PrimaryGone';

  constructor(primary: string) {
    super(
      `it gave way: ${primary} took writes when this run looked before, nobody does now, and the guard decides what follows`,
    );
  }
}

/** Streams, and who confirms commits: what a standby that is missing changes. */
const ofMissingStandbys: ReadonlySet<string> = new Set(['B1', 'B2']);

/** Does a check tell of this node? Names may begin alike. */
const names = ({ says, measured }: Check, node: string): boolean =>
  new RegExp(`${node.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}(?![\\w-])`).test(`${says} ${measured ?? ''}`);

/** What the looks after this round may find to do, for its plan; undefined where they find nothing. */
function followsFrom({ tasks, startsLater }: RepairRound, primary: string | undefined): string | undefined {
  if (tasks.some(({ kind }) => ['wake', 'failover', 'start-primary', 'fence'].includes(kind))) {
    const starts = startsLater === undefined ? '' : `${startsLater} is started, `;
    const led = starts === '' ? 'clients are led' : 'its clients are led';
    return primary === undefined
      ? `Look again: who was the primary is started as such, or else the most advanced standby is promoted; ${starts}${led} there, the others follow it and confirm commits`
      : `Look again: ${starts}${led} to ${primary}, the others follow it and confirm commits`;
  }
  const pooler = tasks.find(({ kind }) => kind === 'start-pooler')?.node;
  if (pooler === undefined) return undefined;
  return `Look again: where ${pooler} leads clients elsewhere, or holds them, they are led to ${primary ?? 'the primary'} and let go`;
}

const words = ({ kind, node }: RepairTask): string => (node === undefined ? kind : `${kind} ${node}`);

/** F5: the primary itself refuses clients. */
const shutOutOf = ({ round }: RepairLook): Check | undefined =>
  round.findings.find(({ id, result }) => id === 'F5' && result === 'warn');
