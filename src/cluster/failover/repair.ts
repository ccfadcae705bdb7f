import type { Check } from '../check';
import type { Ledger } from '../guard/ledger';
import { healthFindings } from '../health';
import { answers, primaries, type ObservedCluster } from '../observed';
import { Checklist } from '../switchover/checklist';
import type { ClusterTopology } from '../topology';
import { repairClaims, repairPrimary, repairTraffic } from './repair-leftovers';
import type { Repair, RepairAction, RepairKind } from './repair-parts';
import { repairHeadless, repairSplitBrain } from './repair-primary';
import { repairStandbys } from './repair-standbys';
import { refusesSystem } from './repair-system';

export type { RepairAction, RepairKind } from './repair-parts';

/** The order of a repair: nobody may write beside the primary before anything else, clients go on only towards one. */
const order: readonly RepairKind[] = [
  'fence',
  'failover',
  'start-primary',
  'route',
  'release',
  'rejoin',
  'restore-names',
  'drop-slot',
  'forget-claim',
  'nothing',
];

/** What is not right, and what to do about it. */
export interface RepairDecision {
  /** What is wrong now, each with the command for a person. */
  findings: Check[];
  /** In the order in which they are carried out. One `nothing` when the cluster is as it should be, or when people have to decide. */
  actions: RepairAction[];
  /** The primary as it will be; undefined when nobody can be one without a decision by people. */
  primary?: string;
  /** The whole in one sentence. */
  says: string;
}

/** What the decision needs to know beside the picture. */
export interface RepairKnowledge {
  /** What the guard knows; null or absent without one. */
  ledger?: Ledger | null | undefined;
  /** The ledger that names who may have what nobody else has ({@link Repair.names}); null or absent where that is not asked. */
  names?: Ledger | null | undefined;
  /**
   * Runs that are alive, as agents name them. A repair holds the cluster's lock, so that there is none but itself and what the guard
   * carries on.
   */
  liveRuns?: readonly string[] | undefined;
}

/**
 * Brings whatever a run left in its middle to a right state: looks at what is, and says what to do. Pure, and its plan carried out
 * twice changes nothing the second time. What could lose something that is not lost yet is left to people.
 */
export function decideRepair(
  topology: ClusterTopology,
  observed: ObservedCluster,
  knowledge: RepairKnowledge = {},
): RepairDecision {
  const live = new Set(knowledge.liveRuns ?? []);
  const repair: Repair = {
    topology,
    observed,
    ledger: knowledge.ledger ?? null,
    names: knowledge.names ?? null,
    isLive: (run) => run != null && live.has(run),
    list: new Checklist(),
    actions: [],
  };
  const writable = primaries(observed).filter(answers);
  const [only, another] = writable;
  if (only !== undefined && another === undefined && refusesSystem(repair, only, 'takes writes'))
    return refusedAsAWhole(repair, [...repair.list.checks, ...healthFindings(topology, observed)]);
  const primary = writable.length > 1 ? repairSplitBrain(repair) : (writable[0]?.name ?? repairHeadless(repair));
  if (primary !== undefined) {
    repairTraffic(repair, primary);
    repairStandbys(repair, primary);
    const node = observed.nodes.find(({ name }) => name === primary);
    if (answers(node) && !node.sql.inRecovery) repairPrimary(repair, node);
  }
  repairClaims(repair);

  const own = repair.list.checks.filter(({ result }) => result !== 'ok');
  const wrong = healthFindings(topology, observed);
  // That nobody is writable needs no telling where it is told why that stays so.
  const findings = repair.keptByLedger === true ? [...own, ...wrong] : [...wrong, ...own];
  const actions = [...repair.actions].sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
  if (actions.length > 0) {
    const count = actions.length === 1 ? '1 thing' : `${actions.length} things`;
    return {
      findings,
      actions,
      ...(primary === undefined ? {} : { primary }),
      says: `${count} to put right: ${actions.map(actionWords).join(', ')}`,
    };
  }
  // What kept the repair from acting says more than what is merely wrong.
  const refusal = [...repair.list.checks, ...findings].find(({ result }) => result === 'refuse');
  const why =
    refusal === undefined
      ? 'the cluster is as it should be'
      : `nothing can be done without a person's decision: ${refusal.refusal ?? refusal.says}`;
  return {
    findings,
    actions: [{ kind: 'nothing', why, check: refusal?.id ?? 'K6' }],
    ...(primary === undefined ? {} : { primary }),
    says: why,
  };
}

/** Nothing at all is done: what keeps the repair from it comes first. */
function refusedAsAWhole({ list }: Repair, findings: Check[]): RepairDecision {
  const refusal = list.checks.find(({ result }) => result === 'refuse');
  const why = `nothing can be done without a person's decision: ${refusal?.refusal ?? refusal?.says ?? ''}`;
  return { findings, actions: [{ kind: 'nothing', why, check: refusal?.id ?? 'A4' }], says: why };
}

/** `rejoin veloz-postgres-primary`. */
function actionWords({ kind, node }: RepairAction): string {
  return node === undefined ? kind : `${kind} ${node}`;
}
