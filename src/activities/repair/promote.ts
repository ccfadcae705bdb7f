import type { Check } from '../../cluster/check';
import { refusalSentence } from '../../cluster/check';
import { decidePromotion } from '../../cluster/repair/promotion';
import { recoveryOf } from '../../systems/postgres';
import { finalFailure, keepBeating, until } from '../context';
import { accessCluster, type ActivityDeps } from '../deps';
import { decideOn } from '../failover/look';
import { poolerLeftOut } from '../failover/left-out';
import {
  askPooler,
  claimFailoverParts,
  closeFailoverParts,
  observeCandidates,
  openFailoverParts,
  type Candidate,
} from '../failover/parts';
import { messageOf } from '../guard/probe';
import { ensureSynchronousNames } from '../prepare';
import { tokenOf } from '../token';
import { ledgerOf, presentNodeNames, type RepairRequest } from './parts';

/** Who was promoted. */
export interface PromotionDone {
  target: string;
  checks: Check[];
  detail: string;
  warnings: string[];
}

/**
 * Promotes the most advanced standby of a cluster in which every node is a standby and answers, and routes clients to it where the pooler
 * answers. Nobody has
 * to be fenced: each of them can start only as a standby, and belongs to this run. Idempotent: whom an earlier attempt asked is found
 * in the agents' own records.
 * @throws ApplicationFailure `Refused` when something could be lost, or somebody does not answer; nothing was promoted
 */
export async function promoteStandby(deps: ActivityDeps, request: RepairRequest): Promise<PromotionDone> {
  const access = accessCluster(deps, request.cluster);
  const token = tokenOf(request.run, 'prepare', request.turn);
  const stopBeating = keepBeating(() => 'promoting the most advanced standby');
  const ledger = (await ledgerOf(deps, access)) ?? null;
  const nodes = await presentNodeNames(deps, access, ledger);
  const parts = await openFailoverParts(access, token, nodes, 30_000);
  try {
    await claimFailoverParts(deps, parts);
    const said = await observeCandidates(parts);
    let target = parts.candidates.find(({ name }) => said.get(name)?.promotion?.run === request.run);
    let others = parts.candidates.filter((each) => each !== target);
    let checks: Check[] = [];
    if (target === undefined) {
      const move = { cluster: request.cluster, run: request.run, source: '', candidates: nodes };
      const { states } = await decideOn(deps, access, { ...move, ledger: null, holdLimitMs: 0 }, parts);
      // By SQL a standby without a receiver knows only the timeline of its last restartpoint; its agent reads the history files.
      const known = states.map((state) => {
        const newest = said.get(state.name)?.control?.timeline;
        if (state.timeline === undefined || newest === undefined) return state;
        return { ...state, timeline: Math.max(state.timeline, newest) };
      });
      const decision = decidePromotion(access.topology, request.cluster, known, ledger);
      checks = decision.checks;
      const refusal = refusalSentence(checks, 'Nothing was promoted');
      if (refusal !== undefined) throw finalFailure('Refused', refusal, { checks });
      target = parts.candidates.find(({ name }) => name === decision.candidate);
      others = parts.candidates.filter(({ name }) => decision.others.includes(name));
      await ensureSynchronousNames(waysTo(target).sql, decision.names);
    }
    const { sql, agent, candidate } = waysTo(target);
    // Also when an earlier attempt asked already: PostgreSQL forgets that when it ends, and its agent knows whether it did.
    if ((await recoveryOf(sql)).inRecovery) await agent.call('promote', { token });
    await until(`the promotion of ${candidate.name}`, access.topology.limits.promote, 5, async () =>
      (await recoveryOf(sql)).inRecovery ? undefined : true,
    );
    await askPooler(parts, (pooler) => pooler.call('route', { token, ...candidate.address }));
    const warnings: string[] = [];
    if (parts.pooler === undefined)
      warnings.push(await poolerLeftOut(deps.docker, access.poolerName, candidate.name, parts.poolerProblem));
    // The one that it streamed from follows it now. Where that fails, the next look finds it and rejoins it.
    for (const other of others)
      await other.agent
        ?.call('follow', { token, upstream: candidate.address })
        .catch((error: unknown) =>
          warnings.push(`${other.name} does not follow ${candidate.name} yet: ${messageOf(error)}`),
        );
    const detail = `${candidate.name} is the primary: every node answered, and none had more`;
    return { target: candidate.name, checks, detail, warnings };
  } finally {
    stopBeating();
    closeFailoverParts(parts);
  }
}

function waysTo(candidate: Candidate | undefined) {
  if (candidate?.sql === undefined || candidate.agent === undefined)
    throw new Error(`${candidate?.name ?? 'the standby to promote'} gives no answer: ${candidate?.problem ?? ''}`);
  return { candidate, sql: candidate.sql, agent: candidate.agent };
}
