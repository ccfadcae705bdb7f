import { repairCommand } from '../cluster/commands';
import { type Protection } from '../cluster/topology';
import { type PoolerAgent, type PostgresAgent, type Token } from '../systems/agent';
import { recoveryOf, type PostgresSession } from '../systems/postgres';
import { finalFailure } from './context';
import { type ClusterAccess } from './deps';
import { tokenOf, type Stage } from './token';

/** One move of the primary. Names and numbers only. */
export interface MoveRequest {
  cluster: string;
  /** The run's id: with the attempt it is the token that agents check. */
  run: string;
  source: string;
  target: string;
  /** Standbys that follow the target already, or will. */
  others: string[];
  /**
   * Standbys whose replay is held up. They can't take another upstream before it goes on: they are led to the target once it is the
   * primary, and nobody waits for them. Absent from a run that is older.
   */
  heldUp?: string[];
  protection: Protection;
  holdLimitMs: number;
  pauseLimitMs: number;
  /** The primary's timeline before the run. */
  timeline: number;
  /** It replaced a primary that failed: a pooler that gives no answer is told as a warning, and the rest is proven without it. */
  unplanned?: boolean;
}

/** Everything that the hold needs, opened before it. */
export interface Parts {
  token: Token;
  source: PostgresAgent;
  target: PostgresAgent;
  pooler: PoolerAgent;
  targetSql: PostgresSession;
  /** This attempt asked for the promotion: from here on nothing is undone. */
  promotionAsked: boolean;
}

export async function openParts(access: ClusterAccess, request: MoveRequest, stage: Stage): Promise<Parts> {
  const token = tokenOf(request.run, stage);
  const opened = await Promise.allSettled([
    access.agent(request.source),
    access.agent(request.target),
    access.pooler(),
    access.sql(request.target, request.holdLimitMs),
  ]);
  const failed = opened.find((part) => part.status === 'rejected');
  if (failed !== undefined) {
    for (const part of opened) if (part.status === 'fulfilled') part.value.close();
    throw failed.reason as Error;
  }
  const [source, target, pooler, targetSql] = opened.map((part) => (part as PromiseFulfilledResult<unknown>).value) as [
    PostgresAgent,
    PostgresAgent,
    PoolerAgent,
    PostgresSession,
  ];
  return { token, source, target, pooler, targetSql, promotionAsked: false };
}

export function closeParts(parts: Parts): void {
  parts.source.close();
  parts.target.close();
  parts.pooler.close();
  parts.targetSql.close();
}

/** Takes the three nodes for this attempt: from here on an earlier attempt's commands are refused by the agents. */
export async function claimParts({ token, source, target, pooler }: Parts): Promise<void> {
  await Promise.all([
    source.call('claim', { token }),
    target.call('claim', { token }),
    pooler.call('claim', { token }),
  ]);
}

/**
 * Where the move stands. The agents' records decide, not what an attempt remembers: the source is fenced before the promotion is
 * asked for, and the target writes down who asked before it acts.
 */
export async function positionOf(
  { source, target, targetSql }: Parts,
  request: MoveRequest,
): Promise<'before' | 'promoting' | 'promoted'> {
  const [from, to, { inRecovery }] = await Promise.all([
    source.call('observe', {}),
    target.call('observe', {}),
    recoveryOf(targetSql),
  ]);
  const sourceWrites = from.desired === 'up' && from.postgres.state !== 'stopped' && !from.signals.standby;
  if (!inRecovery) {
    if (!sourceWrites) return 'promoted';
    throw finalFailure(
      'Failed',
      `two nodes are writable: ${request.source} and ${request.target} (limit: one). Next: ${repairCommand(request.cluster)}`,
    );
  }
  const fenced = from.desired === 'fenced' || from.signals.standby;
  return fenced && to.promotion?.run === request.run ? 'promoting' : 'before';
}
