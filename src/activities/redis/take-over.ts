import { connectCommand } from '../../cluster/off-networks';
import { redisCli } from '../../cluster/redis/commands';
import { finalFailure, heartbeat, keepBeating, lastHeartbeat, sleep } from '../context';
import type { ActivityDeps } from '../deps';
import { cutOff, DoesNotEnd, endContainer, hasEnded } from '../end-container';
import { endRenamed } from '../end-renamed';
import { messageOf } from '../guard/probe';
import { SubStepRecorder, type MoveJournal } from '../move-journal';
import { Overtaken, Permit } from '../still-mine';
import { accessRedis, withConnection, type RedisAccess } from './access';
import { announce, gatherSentinels } from './announce';
import { redirectOthers, stateOf, untilRole, type RedisMove, type RedisMoveResult } from './parts';

/** A master that gives no answer is asked this often, this long each, with this much between, in milliseconds. */
const ASKED = { times: 3, limitMs: 300, everyMs: 50 };
/** The witness has this long, in milliseconds, to say that it does not reach the master either. */
const WITNESS_LIMIT_MS = 700;
/** Docker waits ten seconds for the end of a container that it killed: a second attempt would be in vain, and clients wait. */
const END_LIMIT_MS = 5000;

/**
 * Has a replica take over from a master that is gone: proves that it is, from here and from the replica's own container; ends what is
 * left of it, so that it can't wake up as a second master; promotes the replica and tells the Sentinels.
 *
 * What was acknowledged and had not reached the replica is lost: replication is asynchronous. What was acknowledged with `WAIT 1` had
 * reached some replica: whether that is this one is for the run to judge.
 * @throws ApplicationFailure `Refused` (not retried) when the master answers, or can't be ended; Overtaken when another attempt goes on,
 * as after this worker stood still; or an Error that is retried
 */
export async function takeOverMaster(deps: ActivityDeps, move: RedisMove): Promise<RedisMoveResult> {
  const access = accessRedis(deps, move.cluster);
  const journal: MoveJournal = lastHeartbeat<MoveJournal>() ?? { subSteps: [] };
  const stopBeating = keepBeating(() => journal);
  const recorder = new SubStepRecorder(journal, heartbeat, (point) => deps.faultPoint?.(point));
  const { source, target } = move;
  const permit = new Permit();
  // Both are needed at the end, and neither has to wait for the proof.
  const gathering = gatherSentinels(access);
  gathering.catch(() => undefined);
  try {
    const heir = await access.node(target);
    try {
      if ((await heir.state()).role === 'replica') {
        // Once the old master has ended it would be too late to learn it.
        if ((await heir.denied()).includes('REPLICAOF')) throw mayNotLead(target);
        // Beside the proof, which takes at least as long.
        permit.askAhead(`promote ${target}`);
        await recorder.run(
          'prove',
          `${source} is gone`,
          () => proveGone(deps, access, move),
          (says) => says,
        );
        await recorder.run(
          'end',
          `nothing of ${source} is left that could take writes`,
          () => endMaster(deps, source),
          (says) => says,
        );
        await recorder.run('promote', `${target} is the master`, async () => {
          await permit.may(`promote ${target}`);
          await heir.promote();
          await untilRole(heir, target, 'master', access.topology.limits.promote);
        });
      } else if ((await stateOf(access, source, 300))?.role === 'master')
        throw finalFailure(
          'Refused',
          `L3: ${source} and ${target} are both masters (limit: one). Nothing was changed. Next: veloz-ha redis status --cluster ${access.cluster}`,
        );
      await recorder.run(
        'announce',
        `the Sentinels name ${target}`,
        async () => announce(access, await gathering, heir, target, permit),
        (says) => says,
      );
      await recorder.run('follow', 'other replicas follow it', () => redirectOthers(access, move, permit));
      return { heldMs: null, dropped: 0, subSteps: journal.subSteps };
    } finally {
      heir.close();
    }
  } finally {
    stopBeating();
    void gathering.then(
      (circle) => circle.close(),
      () => undefined,
    );
  }
}

/** Whether the forced move got anywhere: false when the target is the master, so that there is only forward. */
export async function abandonTakeOver(deps: ActivityDeps, { cluster, target }: RedisMove): Promise<boolean> {
  const access = accessRedis(deps, cluster);
  const state = await stateOf(access, target, 1000);
  if (state === undefined)
    throw new Error(`${target} does not answer. Next: veloz-ha redis status --cluster ${access.cluster}`);
  return state.role !== 'master';
}

/**
 * A container that does not run is proof enough. Else nobody may reach the master: neither this worker, several times, nor the replica
 * from its own container.
 */
async function proveGone(deps: ActivityDeps, access: RedisAccess, { source, target }: RedisMove): Promise<string> {
  const { status } = await deps.docker.inspect(source);
  if (hasEnded(status)) return `its container is ${status}`;
  const witness = witnessReaches(deps, access, { source, target });
  witness.catch(() => undefined);
  let problem = '';
  for (let times = 0; times < ASKED.times; times++) {
    try {
      const { role } = await withConnection(access.node(source, ASKED.limitMs), (client) => client.state());
      throw answers(source, `it answers as ${role}`, access.cluster);
    } catch (error) {
      if ((error as { type?: string }).type === 'Refused') throw error;
      problem = messageOf(error);
    }
    if (hasEnded((await deps.docker.inspect(source)).status)) return 'its container ended meanwhile';
    await sleep(ASKED.everyMs);
  }
  const reaches = await witness;
  if (reaches.reached) throw answers(source, `${target} reaches it: ${reaches.says}`, access.cluster);
  return `no answer here ${ASKED.times} times (${problem}), nor to ${target} (${reaches.says}); its container is ${status}`;
}

/** Asks the master from within the replica's container. A witness that can't speak proves nothing, and that is a refusal. */
async function witnessReaches(
  deps: ActivityDeps,
  access: RedisAccess,
  { source, target }: Pick<RedisMove, 'source' | 'target'>,
): Promise<{ reached: boolean; says: string }> {
  const { host, port } = access.internal(source);
  // The wrapper in the image knows the password. What it prints is an answer, or an error of connecting.
  const ask = ['timeout', '0.5', 'redis-cli', '-h', host, '-p', String(port), 'ping'];
  let said: { exitCode: number; output: string };
  try {
    said = await deps.docker.run(target, ask, WITNESS_LIMIT_MS + 1000);
  } catch (error) {
    throw finalFailure(
      'Refused',
      `I2: ${target} can't be asked whether it reaches ${source}: ${messageOf(error)} (limit: a witness). Nothing was changed. Next: veloz-ha redis status --cluster ${access.cluster}`,
    );
  }
  const line = said.output.trim().split('\n')[0] ?? '';
  // 124: `timeout` ended it. Anything that Redis itself said, an error too, is a sign of life.
  const dead =
    said.exitCode === 124 || /^(Could not connect|Error: (Connection|Server closed)|AUTH failed: .*clos)/i.test(line);
  return { reached: !dead, says: said.exitCode === 124 ? 'no answer within 500 ms' : line };
}

/** Ends the container of the old master, or cuts it off where it can't be ended. */
async function endMaster(deps: ActivityDeps, source: string): Promise<string> {
  const began = performance.now();
  const { status } = await deps.docker.inspect(source);
  if (status === 'absent') return endOfAbsent(deps, source);
  if (hasEnded(status))
    return `its container is ${status}; started again it takes no writes before the Sentinels have spoken`;
  let problem = '';
  while (performance.now() - began < END_LIMIT_MS) {
    try {
      await endContainer(deps.docker, source);
      return 'its container was killed; started again it takes no writes before the Sentinels have spoken';
    } catch (error) {
      if (error instanceof Overtaken) throw error;
      problem = messageOf(error);
      if (error instanceof DoesNotEnd) break;
    }
  }
  try {
    const { networks, home, marked } = await cutOff(deps.docker, source);
    const from = networks.length === 0 ? home : networks.join(', ');
    const then = marked
      ? 'Once it has ended it is put back, and comes back as a replica'
      : `When it is mended: ${connectCommand(source, { home }, networks)}`;
    return `its container could not be ended (${problem}), and was cut off from ${from}: nobody reaches it. ${then}`;
  } catch (error) {
    if (error instanceof Overtaken) throw error;
    throw finalFailure(
      'Refused',
      `H2: ${source} can't be ended: ${problem}; ${messageOf(error)} (limit: proof that it takes no write). Nothing was promoted. Next: docker kill ${source}`,
    );
  }
}

/** Ends a master that goes on in a container of another name: frozen there, it would wake up as a second one. */
async function endOfAbsent({ docker }: ActivityDeps, source: string): Promise<string> {
  try {
    return `${source} has no container${await endRenamed(docker, source, 'redis')}: nobody can write to it`;
  } catch (error) {
    if (error instanceof Overtaken) throw error;
    throw finalFailure(
      'Refused',
      `H2: ${source} can't be ended: it has no container of its name, and another one may have its volume: ${messageOf(error).replace(/\.$/, '')} (limit: proof that it takes no write). Nothing was promoted. Next: docker ps --all --filter volume=${source}`,
    );
  }
}

const mayNotLead = (target: string) =>
  finalFailure(
    'Refused',
    `L1: ${target} would refuse to be the master: its ACL denies REPLICAOF to the user default (limit: it takes the command). Nothing was changed. Next: ${redisCli(target, `acl setuser default '+replicaof'`)}`,
  );

const answers = (source: string, measured: string, cluster: string) =>
  finalFailure(
    'Refused',
    `I2: ${source} is not gone: ${measured} (limit: nobody reaches it). Nothing was changed. Next: veloz-ha redis status --cluster ${cluster}`,
  );
