import { splitNext } from '../cluster/check';
import { engineMembers } from '../cluster/engine/members';
import { membersOf } from '../cluster/members';
import type { TierMove } from '../cluster/maintenance/decide';
import { rolesOf, type TierRoles } from '../cluster/maintenance/roles';
import { tierName, tiersOf } from '../cluster/maintenance/sides';
import { redisMembers } from '../cluster/redis/members';
import type { ClusterTopology } from '../cluster/topology';
import type { ChildEnd, Children } from './maintenance-children';
import { act, reading } from './runbook/activity-options';
import type { Run } from './runbook/run';
import type { Plan, Report } from './run-state';

/** Looks at every tier that the cluster has, all at once. */
export async function lookAtTiers(run: Run, topology: ClusterTopology): Promise<TierRoles[]> {
  const { state } = run;
  const has = tiersOf(topology);
  const look = (what: string) => act(reading, `Look at ${what}`);
  const [postgres, redis, engines] = await Promise.all([
    look('PostgreSQL and PgBouncer').observe(state.cluster),
    has.includes('redis') ? look('Redis and its Sentinels').observeRedis(state.cluster) : undefined,
    has.includes('engine') ? look('the engines and HAProxy').observeEngines(state.cluster) : undefined,
  ]);
  state.members = membersOf(postgres);
  if (redis !== undefined) state.redis = redisMembers(redis);
  if (engines !== undefined) state.engines = engineMembers(engines);
  return rolesOf({
    postgres,
    ...(redis === undefined ? {} : { redis }),
    ...(engines === undefined ? {} : { engines }),
  });
}

/** The runbooks' own plans: a refusal of any of them comes before anything is moved. */
export async function planMoves(
  children: Children,
  moves: readonly TierMove[],
): Promise<{ refused: { move: TierMove; end: ChildEnd } } | { plans: ChildEnd[] }> {
  // Plans change nothing and take no lock, so they may be made at once.
  const plans = await Promise.all(moves.map((move) => children.conduct(move, 'plan')));
  for (const [index, end] of plans.entries()) {
    const move = moves[index];
    if (move !== undefined && !end.good) return { refused: { move, end } };
  }
  return { plans };
}

/** What a refused plan means for the whole: its words, its checks, its next commands. */
export function refusedBy({ move, end }: { move: TierMove; end: ChildEnd }): { says: string; rest: Partial<Report> } {
  const { what, next } = splitNext(end.says);
  return {
    says: `${tierName[move.tier]} refuses to move from ${move.from} to ${move.to}: ${what.replace(/\. Nothing was changed$/, '')}${next === undefined ? '' : `. Next: ${next}`}`,
    rest: {
      next: end.report?.next ?? (next === undefined ? [] : [{ command: next, why: 'takes the cause away' }]),
    },
  };
}

/** The numbered plan: a step a tier, and how long clients wait at most at a time. */
export function planOf(
  scope: string,
  moves: readonly TierMove[],
  plans: readonly ChildEnd[],
  says: (move: TierMove) => string,
  protection: Plan['protection'],
  undo: string | undefined,
): Plan {
  const each = moves.map((move, index) => ({ move, plan: plans[index]?.report?.plan }));
  const holds = each.flatMap(({ move, plan }) =>
    plan === undefined ? [] : [{ tier: tierName[move.tier], ms: plan.expectedHoldMs, limitMs: plan.holdLimitMs }],
  );
  return {
    primary: scope,
    target: [...new Set(moves.map(({ to }) => to))].join(', '),
    protection,
    steps: each.map(({ move, plan }) => {
      const known = (plan?.steps ?? []).flatMap(({ expectedMs }) => (expectedMs === undefined ? [] : [expectedMs]));
      return {
        id: move.tier,
        says: says(move),
        pointOfNoReturn: false,
        ...(known.length === 0 ? {} : { expectedMs: known.reduce((sum, ms) => sum + ms, 0) }),
        ...(undo === undefined ? {} : { undo }),
      };
    }),
    expectedHoldMs: Math.max(0, ...holds.map(({ ms }) => ms)),
    expectedHoldBasis:
      holds.length < 2
        ? `as the plan of ${holds[0]?.tier ?? 'the runbook'} has it`
        : `the longest of ${holds.map(({ tier, ms }) => `${tier} ${Math.round(ms)} ms`).join(', ')}, one after the other`,
    holdLimitMs: Math.max(0, ...holds.map(({ limitMs }) => limitMs)),
  };
}
