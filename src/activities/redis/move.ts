import { HOLD_MARGIN_MS } from '../../cluster/redis/plan';
import { moveProof } from '../../cluster/redis/proof';
import type { RedisNodeClient } from '../../systems/redis';
import { attempt, finalFailure, heartbeat, keepBeating, lastHeartbeat } from '../context';
import type { ActivityDeps } from '../deps';
import { messageOf } from '../guard/probe';
import { SubStepRecorder, type MoveJournal } from '../move-journal';
import { Overtaken, Permit, stillMine } from '../still-mine';
import { accessRedis, withConnection, type RedisAccess } from './access';
import { announce, gatherSentinels } from './announce';
import {
  hasAllOf,
  redirectOthers,
  stateOf,
  untilEqual,
  untilRole,
  type RedisMove,
  type RedisMoveResult,
} from './parts';

/** After the source takes no writes any more, what is on its way to the target may take this long, in milliseconds. */
const LAST_BYTES_MS = 300;
/** A node that takes longer for one answer, in milliseconds, while writes wait, does not answer. */
const ANSWER_MS = 500;
/** How long the target may take to say that it is the master, before the source is put back, in milliseconds: nobody is one meanwhile. */
const HEIR_MS = 300;
/** A node that did not answer for this many attempts is not coming back by itself. */
const PATIENCE = 4;

/**
 * The critical section of a planned move. Writes wait at the source until the target has everything; then the source is made a
 * replica *before* the target is promoted, so that at no moment there are two masters, and what the source took until then is
 * compared once more: even where the hold ended too early no acknowledged write is lost (L2). The Sentinels are told by a line in
 * their own gossip, and clients of the source are let go and sent to them.
 *
 * Observes before it acts, so that another attempt goes on where an earlier one died. Where nobody goes on, Redis itself lets writes
 * go at the limit of the hold. An attempt whose worker stood still meanwhile changes nothing any more: another one has gone on, and
 * perhaps to the end, so that the source is no master that could be put back.
 * @throws ApplicationFailure `RolledBack` (not retried) when the source is the master as before; Overtaken when another attempt goes on;
 * or an Error that is retried
 */
export async function moveMaster(deps: ActivityDeps, move: RedisMove): Promise<RedisMoveResult> {
  const access = accessRedis(deps, move.cluster);
  const journal: MoveJournal = lastHeartbeat<MoveJournal>() ?? { subSteps: [] };
  const stopBeating = keepBeating(() => journal);
  const recorder = new SubStepRecorder(journal, heartbeat, (point) => deps.faultPoint?.(point));
  const { source, target } = move;
  const permit = new Permit();
  let old: RedisNodeClient | undefined;
  let next: RedisNodeClient | undefined;
  const circle = await gatherSentinels(access);
  try {
    [old, next] = await recorder.run('connect', `connect to ${source} and ${target}`, () => both(access, move));
    const [was, heir] = await Promise.all([old?.state(), next.state()]);
    if (heir.role === 'replica' && old !== undefined) {
      await promoteOrPutBack(access, move, { old, next, wasMaster: was?.role === 'master' }, permit, recorder);
    } else if (was?.role === 'master') {
      throw finalFailure(
        'Failed',
        `L3: ${source} and ${target} are both masters (limit: one). Next: veloz-ha redis status --cluster ${access.cluster}`,
      );
    }
    const [left, told] = [old, next];
    await recorder.run(
      'announce',
      `the Sentinels name ${target}`,
      () => announce(access, circle, told, target, permit),
      (says) => says,
    );
    const dropped = await recorder.run(
      'let go',
      `${source} follows ${target}, writes go on there`,
      () => letGo(access, move, left, permit),
      (count) => `${count} connections sent to the Sentinels`,
    );
    recorder.holdEnds();
    heartbeat(journal);
    const unproven = moveProof(journal.subSteps) === undefined;
    return {
      heldMs: journal.heldMs ?? null,
      dropped,
      subSteps: journal.subSteps,
      ...(unproven ? { unproven } : {}),
    };
  } finally {
    stopBeating();
    old?.close();
    next?.close();
    circle.close();
  }
}

/**
 * Connects to both nodes; to the target alone where the source died after it had been replaced. A master that died before that is for a
 * failover, and the lock is free for it at once.
 */
async function both(access: RedisAccess, move: RedisMove): Promise<[RedisNodeClient | undefined, RedisNodeClient]> {
  const { source, target } = move;
  const opened = await Promise.allSettled([access.node(source, ANSWER_MS), access.node(target, ANSWER_MS)]);
  const [first, second] = opened;
  if (first.status === 'fulfilled' && second.status === 'fulfilled') return [first.value, second.value];
  let why: string;
  if (second.status === 'fulfilled') {
    if ((await second.value.state()).role === 'master') return [undefined, second.value];
    second.value.close();
    why = `${source} does not answer: ${messageOf((first as PromiseRejectedResult).reason)}`;
  } else {
    why = `${target} does not answer: ${messageOf(second.reason)}`;
    if (first.status === 'fulfilled') {
      first.value.close();
      if ((await stateOf(access, source))?.role === 'master') {
        await keepSource(access, move);
        throw rolledBack(why);
      }
      // An earlier attempt may have promoted the target, and clients may have written there: the source must stay a replica.
    }
  }
  if (attempt() < PATIENCE) throw new Error(why);
  throw finalFailure(
    'Failed',
    `${why}. It failed during the move. Next: veloz-ha redis failover --cluster ${access.cluster}`,
  );
}

/**
 * Until the target has been asked to be the master, whatever fails puts the source back; from then on it may be the master, unless it says
 * itself that it refuses, and is none.
 */
async function promoteOrPutBack(
  access: RedisAccess,
  move: RedisMove,
  { old, next, wasMaster }: { old: RedisNodeClient; next: RedisNodeClient; wasMaster: boolean },
  permit: Permit,
  recorder: SubStepRecorder,
): Promise<void> {
  const { target } = move;
  // Before anybody waits: a critical section of the usual length needs no other word.
  await permit.may(`move the master to ${target}`);
  try {
    if (wasMaster) await holdAndEqual(access, move, { old, next }, permit, recorder);
    await demote(access, move, { old, next }, permit, recorder);
  } catch (error) {
    // Another attempt goes on, or nobody knows whether one does: the source is not this one's to put back.
    if (error instanceof Overtaken) throw error;
    await keepSource(access, move);
    throw rolledBack(messageOf(error));
  }
  try {
    await recorder.run('promote', `${target} is the master`, async () => {
      await permit.may(`promote ${target}`);
      await next.promote();
      await untilRole(next, target, 'master', access.topology.limits.promote);
    });
  } catch (error) {
    // It answered that it does not, and is none: that is certain, and clients wait.
    if (!isRefusal(error) || (await next.state()).role === 'master') throw error;
    await keepSource(access, move);
    throw rolledBack(`${target} refuses to be the master: ${messageOf(error)}`);
  }
}

/** Holds writes at the source until the target has them all. */
async function holdAndEqual(
  access: RedisAccess,
  { source, target }: RedisMove,
  { old, next }: { old: RedisNodeClient; next: RedisNodeClient },
  permit: Permit,
  recorder: SubStepRecorder,
): Promise<void> {
  const limitMs = access.topology.limits.hold;
  await recorder.run('hold', `${source} holds writes`, async () => {
    await permit.may(`hold writes at ${source}`);
    recorder.holdBegins();
    await old.holdWrites(limitMs + HOLD_MARGIN_MS);
  });
  const equal = await recorder.run(
    'equal',
    `${target} has everything`,
    () => untilEqual(old, next, limitMs),
    (one) => ('offset' in one ? `offset ${one.offset}` : one.behind),
  );
  if (!('offset' in equal))
    throw new Error(
      `L2: ${target} is ${equal.behind} (limit: equal within ${limitMs} ms). Next: veloz-ha redis status --cluster ${access.cluster}`,
    );
}

/**
 * Makes the source a replica, and proves that the target has all that it ever took. A source that can't be set so that a replica takes no
 * writes stays the master: what waits there would be acknowledged once it goes on, and be lost.
 */
async function demote(
  access: RedisAccess,
  { source, target }: RedisMove,
  { old, next }: { old: RedisNodeClient; next: RedisNodeClient },
  permit: Permit,
  recorder: SubStepRecorder,
): Promise<void> {
  await recorder.run('demote', `${source} takes no writes any more`, async () => {
    await permit.may(`have ${source} follow ${target}`);
    await old.follow(access.internal(target));
    await untilRole(old, source, 'replica', access.topology.limits.promote);
  });
  const equal = await recorder.run(
    'compare',
    `${target} has all that ${source} ever took`,
    () => untilEqual(old, next, LAST_BYTES_MS),
    (one) => ('offset' in one ? `offset ${one.offset}` : one.behind),
  );
  if (!('offset' in equal)) throw new Error(`L2: ${target} is ${equal.behind} (limit: equal)`);
}

/**
 * The source is the master as before, and writes go on.
 * @throws Overtaken when another attempt goes on; Error when the source does not answer, or the target is the master: then there is only
 * forward, and nothing is changed
 */
async function keepSource(access: RedisAccess, { source, target }: RedisMove): Promise<void> {
  await withConnection(access.node(source), async (client) => {
    const isReplica = (await client.state()).role === 'replica';
    if (isReplica && (await stateOf(access, target, HEIR_MS))?.role === 'master')
      throw new Error(`${target} is the master, and ${source} is not put back`);
    // Afresh, and after the look: what this attempt began may have been brought to its end by another one, and clients may write there.
    await stillMine(`put ${source} back`);
    if (isReplica) await client.promote();
    await client.letWritesGo();
  });
}

/** The source follows the target; what waits there goes on, and ordinary clients ask the Sentinels anew. */
async function letGo(
  access: RedisAccess,
  move: RedisMove,
  old: RedisNodeClient | undefined,
  permit: Permit,
): Promise<number> {
  await redirectOthers(access, move, permit);
  if (old === undefined) return 0;
  await permit.may(`have ${move.source} follow ${move.target}`);
  await old.followNow(access.internal(move.target));
  await old.letWritesGo();
  return old.dropClients();
}

/**
 * Puts the source back where the target is not the master yet.
 * @returns false when it is: then there is only forward
 * @throws Error when that can't be found out, or the source lacks something that the target has
 */
export async function putBackMaster(deps: ActivityDeps, move: RedisMove): Promise<boolean> {
  const access = accessRedis(deps, move.cluster);
  const { source, target } = move;
  const stopBeating = keepBeating(() => 'putting the master back');
  try {
    const [was, heir] = await Promise.all([stateOf(access, source), stateOf(access, target)]);
    if (heir?.role === 'master') return false;
    if (was === undefined)
      throw new Error(`${source} does not answer. Next: veloz-ha redis failover --cluster ${access.cluster}`);
    // A target that is silent may have been promoted, and clients may have written there.
    if (was.role === 'replica' && (heir === undefined || !hasAllOf(was, heir)))
      throw new Error(
        `no node is known to be the master, and ${target} ${heir === undefined ? 'does not answer' : `has what ${source} lacks`}. Next: veloz-ha redis failover --cluster ${access.cluster}`,
      );
    await keepSource(access, move);
    return true;
  } finally {
    stopBeating();
  }
}

/** An error that Redis itself answered. */
const isRefusal = (error: unknown): boolean => (error as Error).name === 'ReplyError';

const rolledBack = (why: string) => finalFailure('RolledBack', `${why.replace(/\.$/, '')}`);
