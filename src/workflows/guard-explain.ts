import { guardCommand, repairCommand, wholeStatus } from '../cluster/commands';
import { formatMs } from '../cluster/duration';
import { promoteCommand } from '../cluster/failover/commands';
import { SOME_PASS } from '../cluster/guard/ledger-rules';
import type { GuardPolicy } from '../cluster/guard/policy';
import { redisFailover } from '../cluster/redis/commands';
import { holdsFailoverUp, type GuardState, type RedisGuardState } from './guard-messages';

/** What follows from names that could not be set, and why they could not, in half a sentence. Pure. */
export function namesTrouble({ what, says }: NonNullable<GuardState['namesFailed']>): string {
  const why = says.replace(/\.$/, '');
  return what === 'relax'
    ? `commits wait for a standby, and letting them go on did not end well: ${why}`
    : `commits wait for no standby, and having them wait again did not end well: ${why}`;
}

const triedAgain = ({ namesBackoffUntil }: GuardState): string =>
  namesBackoffUntil === undefined ? 'The next look' : new Date(namesBackoffUntil).toISOString();

/** What the guard waits for and what it will do next, in two sentences that follow from its state. Pure. */
export function explainGuard(
  state: GuardState,
  policy: GuardPolicy,
  failed: boolean,
): Pick<GuardState, 'waitsFor' | 'next'> {
  if (state.acting !== undefined) {
    const { workflowId, what } = state.acting;
    return state.mode === 'approve' && what === 'failover'
      ? {
          waitsFor: `A person: veloz-ha approve ${workflowId}`,
          next: 'It fails over when somebody approves, and takes the question back when the primary is well again.',
        }
      : { waitsFor: `The end of ${what} ${workflowId}.`, next: 'It does nothing else before that.' };
  }
  if (state.maintenance !== undefined)
    return {
      waitsFor:
        state.maintenance.until === null
          ? `The end of maintenance mode: ${guardCommand('maintenance off', state.cluster)}`
          : `The end of maintenance mode at ${new Date(state.maintenance.until).toISOString()}.`,
      next: 'It watches, keeps the ledger, and changes nothing.',
    };
  if (state.mode === 'off')
    return {
      waitsFor: `A mode: ${guardCommand('mode auto', state.cluster)}`,
      next: 'It watches, keeps the ledger, and changes nothing.',
    };
  if (state.backoffUntil !== undefined)
    return {
      waitsFor: `${new Date(state.backoffUntil).toISOString()}, because an attempt did not end well.`,
      next: failed
        ? `It tries again then. A person can go first: ${promoteCommand(state.cluster)}`
        : 'Then it goes on as usual.',
    };
  // A failover from it has ended, and nobody is known to have taken its place: the one that did failed before it was seen.
  if (failed) {
    const primary = state.ledger.primary ?? 'the primary';
    return {
      waitsFor: `A node that takes writes: ${primary} has failed, and nobody is known in its place.`,
      next: `It does not fail ${primary} over once more: another node may have been promoted. It brings back what is left over. A person can go first: ${repairCommand(state.cluster)}`,
    };
  }
  if (state.namesFailed !== undefined)
    return {
      waitsFor: `${triedAgain(state)}, because ${namesTrouble(state.namesFailed)}.`,
      next:
        state.namesFailed.what === 'relax'
          ? 'It tries again then to let commits go on without a standby.'
          : 'It tries again then to have commits wait for the standby.',
    };
  if (state.ledger.state === 'protected') {
    const confirm = formatMs(policy.probeInterval * policy.confirmations);
    const primary = state.ledger.primary ?? 'the primary';
    if (state.readiness?.ready === false)
      return {
        waitsFor: 'What is not ready (below) to be put right.',
        next: 'A failover now would fail or be long.',
      };
    return {
      waitsFor: 'Something to happen.',
      next:
        state.mode === 'auto'
          ? `${primary} dead: failover at once. ${primary} silent: after ${confirm}, if others confirm it.`
          : `${primary} dead or silent: it plans a failover and asks for approval.`,
    };
  }
  if (state.ledger.state === 'degraded' && state.ledger.why.startsWith(SOME_PASS))
    return {
      waitsFor: `That to be taken back. How (B4): ${wholeStatus(state.cluster)}`,
      next: 'A failure before that is not failed over without a person: acknowledged commits could be lost.',
    };
  if (state.ledger.state === 'degraded')
    return {
      waitsFor: 'A standby that streams again.',
      next: 'It has commits wait for that standby again. A failure before that is not failed over without a person: acknowledged commits could be lost.',
    };
  return {
    waitsFor: 'A primary that it can tell for certain.',
    next: 'It fails nothing over by itself while it does not know what the standbys have.',
  };
}

/** What the guard will do next about Redis, in a sentence that follows from its state. Pure. */
export function explainRedis(state: GuardState, redis: RedisGuardState, silenceMs: number): string {
  if (redis.acting !== undefined)
    return redis.acting.asks
      ? `It fails over when somebody approves: veloz-ha approve ${redis.acting.workflowId}. The question is taken back when a master answers.`
      : `It waits for the end of ${redis.acting.workflowId}; where a master fails, only until that has let go of the lock of Redis.`;
  if (state.maintenance !== undefined || state.mode === 'off')
    return 'It watches and changes nothing; the Sentinels fail over by themselves.';
  if (redis.backoffUntil !== undefined && holdsFailoverUp(redis))
    return `It tries again at ${new Date(redis.backoffUntil).toISOString()}. A person can go first: ${redisFailover(state.cluster)}`;
  if (redis.master === null) return 'It does nothing while no master is known.';
  const when = `When ${redis.master} is killed, or answers nobody for ${formatMs(silenceMs)},`;
  const again =
    redis.backoffUntil === undefined
      ? ''
      : ` What did not end well is tried again at ${new Date(redis.backoffUntil).toISOString()}; a person can go first: ${redisFailover(state.cluster, '--repair')}`;
  return state.mode === 'auto'
    ? `${when} a replica takes over.${again}`
    : `${when} it plans a failover and asks; the Sentinels wait for nobody's answer.${again}`;
}
