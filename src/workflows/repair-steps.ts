import type { ClusterDescription, FailoverMove } from '../activities';
import { isSilent, presentNodes, type ObservedCluster } from '../cluster/observed';
import type { RepairRound, RepairTask } from '../cluster/repair/round';
import type { Ledger } from '../cluster/guard/ledger';
import { undoFailOver } from './failover-steps';
import { rejoinSteps, type RejoinStory } from './rejoin-steps';
import { act, changing, holding } from './runbook/activity-options';
import type { Run } from './runbook/run';
import type { Step } from './runbook/runner';

/** What the rounds of a repair learn, for its report. */
export interface RepairStory extends RejoinStory {
  /** Nodes that were woken, in vain or not. */
  woken: string[];
}

/** What the steps of one round are made from. */
export interface RoundSetting {
  run: Run;
  described: ClusterDescription;
  /** What was seen, and what follows from it. */
  observed: ObservedCluster;
  round: RepairRound;
  ledger: Ledger | null;
  /** The same, where the nodes that it names are there also without a container; null or absent in a run of a version that left them out. */
  names?: Ledger | null;
  /** The name of this round to the agents. */
  token: string;
  story: RepairStory;
  /** No person has seen the plan: a primary that a person stopped is not started, not even to be read. */
  leavesStopped?: boolean;
  /**
   * The primary for which what only prepares, waits, routes or proves is left in its middle; absent where nobody is to be given way to.
   * What may make another node the primary is not left.
   */
  givesWayFor?: string;
}

/** Nothing in these can meet a command that a run left behind. */
const harmless: ReadonlySet<RepairTask['kind']> = new Set([
  'forget-claim',
  'drop-slot',
  'restore-names',
  'start-pooler',
]);

/** Steps of a round that stand or fall together. */
export interface RoundPart {
  /** The node that they make a standby: that this fails keeps no other part from being carried out. */
  rejoins?: string;
  /** The pooler that they restart, after all else: the same. */
  restarts?: string;
  steps: Step[];
}

/** The round as lists that a newcomer can read aloud: what is done about the cluster, each node's rejoin, and the pooler. */
export function roundParts(setting: RoundSetting): RoundPart[] {
  const { round } = setting;
  const numbered = new Numbered(setting);
  const parts: RoundPart[] = [];
  const add = (...steps: Step[]) => {
    const last = parts.at(-1);
    if (last === undefined || last.rejoins !== undefined) parts.push({ steps });
    else last.steps.push(...steps);
  };
  if (round.tasks.some(({ kind }) => !harmless.has(kind))) add(numbered.take());
  const tasks = [...round.tasks];
  const restart = tasks.at(-1)?.kind === 'restart-pooler' ? tasks.pop() : undefined;
  for (const task of tasks) {
    if (task.kind === 'forget-claim') continue;
    if (task.kind === 'rejoin' && task.node !== undefined) parts.push({ rejoins: task.node, steps: numbered.of(task) });
    else add(...numbered.of(task));
  }
  const claimed = tasks.filter(({ kind }) => kind === 'forget-claim').map(({ node }) => node ?? '');
  if (claimed.length > 0) add(numbered.endClaims(claimed));
  if (restart?.node !== undefined) parts.push({ restarts: restart.node, steps: numbered.of(restart) });
  return parts;
}

/** The same as one list. */
export const roundSteps = (setting: RoundSetting): Step[] => roundParts(setting).flatMap(({ steps }) => steps);

/** Makes steps whose activities take the nodes one after the other. */
class Numbered {
  private turn = 0;

  constructor(private readonly setting: RoundSetting) {}

  private request() {
    const { described, token } = this.setting;
    return { cluster: described.name, run: token, turn: this.turn++ };
  }

  take(): Step {
    const request = this.request();
    return this.leavable({
      id: 'take',
      says: 'Take every node, so that nothing is carried out any more that a run left behind',
      expectedMs: 300,
      run: async () => ({ detail: await act(changing, 'Take every node').takeNodes(request) }),
    });
  }

  endClaims(nodes: readonly string[]): Step {
    const { cluster, run } = this.request();
    return this.leavable({
      id: 'claims',
      says: `Give back ${nodes.join(', ')}, which a run that is over still owns`,
      expectedMs: 300,
      run: async () => ({
        detail: await act(changing, 'Give back what ended runs own').endClaims({ cluster, run }),
      }),
    });
  }

  of(task: RepairTask): Step[] {
    const { node = '' } = task;
    switch (task.kind) {
      case 'wake':
        return [this.wake(node)];
      case 'fence':
        return [this.fence(node, task.upstream ?? '')];
      case 'failover':
        return this.promotion(node);
      case 'start-primary':
        return [this.startPrimary(node)];
      case 'route':
        return [this.route(task.upstream ?? '')];
      case 'release':
        return [this.release()];
      case 'rejoin':
        return this.rejoin(node, task.upstream ?? '');
      case 'start-pooler':
        return [this.startPooler(node)];
      case 'restart-pooler':
        return [this.restartPooler(node, task.upstream ?? '')];
      case 'restore-names':
        return [this.restoreNames(node)];
      case 'drop-slot':
        return [this.dropSlot(node, task.slot ?? '')];
      case 'forget-claim':
      case 'nothing':
        return [];
    }
  }

  /** The step, where it may be left in its middle. Its activity stops soon, and is waited for: nothing of it comes after others. */
  private leavable(step: Step): Step {
    const { givesWayFor, story } = this.setting;
    // Whom this very round has promoted is the primary, whatever the guard knows by now.
    return givesWayFor === undefined ? step : { ...step, givesWayFor: () => story.result?.target ?? givesWayFor };
  }

  private wake(node: string): Step {
    const { story } = this.setting;
    const request = { ...this.request(), node };
    const says = `Start the container of ${node}, and see what it is`;
    return this.leavable({
      id: `wake ${node}`,
      says,
      expectedMs: 2000,
      run: async () => {
        const { says: found, up } = await act(changing, says).wakeNode(request);
        story.woken.push(node);
        return { detail: found, warnings: up ? [] : [found] };
      },
    });
  }

  private fence(node: string, primary: string): Step {
    const request = { ...this.request(), node, primary };
    const says = `Fence ${node}, which is writable beside ${primary}, and prove it`;
    return {
      id: `fence ${node}`,
      says,
      expectedMs: 500,
      run: async () => ({ detail: await act(changing, says).fenceSecondPrimary(request) }),
    };
  }

  private startPrimary(node: string): Step {
    const request = { ...this.request(), node };
    const says = `Start ${node} as the primary that it was, once it is proven that nobody was promoted in its place`;
    return {
      id: `primary ${node}`,
      says,
      expectedMs: 1000,
      run: async () => ({ detail: await act(changing, `Start ${node} as the primary`).startOldPrimary(request) }),
    };
  }

  private route(primary: string): Step {
    const request = { ...this.request(), primary };
    const says = `Lead clients to ${primary}`;
    return this.leavable({
      id: 'route',
      says,
      expectedMs: 150,
      run: async () => ({ detail: await act(changing, says).routeClients(request) }),
    });
  }

  private release(): Step {
    const request = { ...this.request(), primary: this.setting.round.primary ?? '' };
    return this.leavable({
      id: 'release',
      says: 'Let clients go',
      expectedMs: 150,
      run: async () => ({ detail: await act(changing, 'Let clients go').letClientsGo(request) }),
    });
  }

  private startPooler(pooler: string): Step {
    const { described, story } = this.setting;
    const says = `Start the container of ${pooler}, once it is proven that exactly one node takes writes`;
    return this.leavable({
      id: 'start pooler',
      says,
      expectedMs: 1500,
      run: async () => {
        const { says: found, up } = await act(changing, says).startPooler(described.name);
        story.woken.push(pooler);
        return { detail: found, warnings: up ? [] : [found] };
      },
    });
  }

  private restartPooler(pooler: string, primary: string): Step {
    const { described } = this.setting;
    const says = `Restart ${pooler}, whose clients do not reach ${primary}`;
    return this.leavable({
      id: 'pooler',
      says,
      expectedMs: 1500,
      run: async () => ({ detail: await act(changing, says).restartPooler({ cluster: described.name, primary }) }),
    });
  }

  private restoreNames(primary: string): Step {
    const { described, story } = this.setting;
    const says = `Have commits on ${primary} wait for its standbys again`;
    return this.leavable({
      id: 'names',
      says,
      expectedMs: 300,
      run: async () => {
        const { detail, protectedAt } = await act(changing, says).restoreNames({ cluster: described.name, primary });
        if (protectedAt !== undefined) story.protectedAt = protectedAt;
        return { detail };
      },
    });
  }

  private dropSlot(node: string, slot: string): Step {
    const { described } = this.setting;
    const says = `Drop slot ${slot} of ${node}, which nobody uses`;
    return this.leavable({
      id: `slot ${node} ${slot}`,
      says,
      expectedMs: 150,
      run: async () => ({ detail: await act(changing, says).dropSlot({ cluster: described.name, node, slot }) }),
    });
  }

  private rejoin(node: string, primary: string): Step[] {
    const { run, described, observed, token, story } = this.setting;
    const silent = isSilent(observed.nodes.find(({ name }) => name === node));
    const wish = { cluster: described.name, run: token, node, primary, method: 'auto', silent } as const;
    return rejoinSteps(run, wish, story).map((step) => ({ ...step, id: `${step.id} ${node}` }));
  }

  /** A pooler that gave no answer to a promotion is no warning where this round starts it next: its own step tells where that fails. */
  private stillToTell(warnings: readonly string[]): string[] {
    const pooler = this.setting.round.tasks.find(({ kind }) => kind === 'start-pooler')?.node;
    return warnings.filter((each) => pooler === undefined || !each.startsWith(`F2: ${pooler} gave no answer`));
  }

  /** Where every node answers, the most advanced one is promoted on their own word; else it is a failover from the silent one. */
  private promotion(best: string): Step[] {
    const { story } = this.setting;
    const request = this.request();
    const { observed, names } = this.setting;
    const silent = presentNodes(observed, names).filter(({ sql }) => sql === null);
    const record: Step = {
      id: 'record',
      says: 'CHECKPOINT on the new primary, and write the epoch',
      expectedMs: 200,
      run: async () => {
        const { cluster, run } = request;
        const target = story.result?.target ?? best;
        const summary = 'CHECKPOINT on the new primary, and write the epoch';
        const { detail, timeline, warnings } = await act(changing, summary).recordPromotion({ cluster, run, target });
        story.timeline = timeline;
        return { detail, warnings };
      },
    };
    if (silent.length === 0) {
      const says = `Promote the most advanced standby, ${best} as it is now, and lead clients to it`;
      const promote: Step = {
        id: 'promote',
        says,
        expectedMs: 300,
        run: async () => {
          const done = await act(changing, says).promoteStandby(request);
          story.result = { target: done.target };
          return { detail: done.detail, warnings: this.stillToTell(done.warnings) };
        },
      };
      return [promote, record];
    }
    const move = failoverFrom(
      silent.map(({ name }) => name),
      this.setting,
    );
    const says = `Fence ${move.source}, which does not answer, promote ${best}, route, let clients go`;
    const failover: Step = {
      id: 'failover',
      says,
      expectedMs: 700,
      pointOfNoReturn: { rollBack: (cause) => undoFailOver(move, cause) },
      run: async () => {
        const result = await act(holding, says).failOver(move);
        story.result = { target: result.target };
        return {
          detail: `${result.target} is the primary`,
          subSteps: result.subSteps,
          warnings: this.stillToTell(result.warnings),
        };
      },
    };
    return [failover, record];
  }
}

/** The failover from a node that does not answer. */
export function failoverFrom(
  silent: readonly string[],
  { described, ledger, token, leavesStopped }: Pick<RoundSetting, 'described' | 'ledger' | 'token' | 'leavesStopped'>,
): FailoverMove {
  const names = described.topology.postgres.nodes.map(({ name }) => name);
  // Whom the ledger names, where that one is silent; else the only one that may have been the primary.
  const source = silent.find((name) => name === ledger?.primary) ?? silent[0] ?? '';
  return {
    cluster: described.name,
    run: token,
    source,
    candidates: names.filter((name) => name !== source),
    ledger,
    ...(leavesStopped === true ? { leavesStopped } : {}),
    holdLimitMs: described.topology.limits.hold,
  };
}
