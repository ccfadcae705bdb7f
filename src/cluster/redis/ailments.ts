import { logs } from '../commands';
import { formatSize } from '../size';
import { redisCli } from './commands';
import { answeringNodes, type AnsweringRedis, type ObservedRedis } from './observed';

/*
 * What a node is set to, or has met with, so that it does not do what is promised of it, although it answers and replicates. The node itself
 * puts back what is its own within a second (docker/redis): what is seen here for longer it could not.
 */

/** One such thing. */
export interface Ailment {
  /** `refuses`: it was seen refusing a write. `denied`: it refuses what a move asks of it. `apart`: it can follow nobody. `set`: it is set otherwise than a node has to be. */
  kind: 'refuses' | 'denied' | 'apart' | 'set';
  /** What is so, in half a sentence. */
  refusal: string;
  measured: string;
  limit: string;
  /** The next command. */
  next: string;
}

/** What ails a node that answers, worst first. Pure. */
export function ailmentsOf({ name, state }: AnsweringRedis): Ailment[] {
  const found: Ailment[] = [];
  const { settings, refusesWrites } = state;
  const takesNone = state.role === 'master' ? 'takes no writes' : 'would take no writes as the master';
  if (refusesWrites !== undefined)
    found.push({
      kind: 'refuses',
      refusal: `${name}, the master, takes no writes`,
      measured: refusesWrites,
      limit: 'it takes a write',
      next: refusesWrites.startsWith('it waits')
        ? redisCli(name, 'client unpause')
        : redisCli(name, 'info persistence'),
    });
  const [denied] = state.denied ?? [];
  if (denied !== undefined)
    found.push({
      kind: 'denied',
      refusal: `${name} refuses commands that a move needs`,
      measured: `its ACL denies ${state.denied?.join(', ')} to the user default`,
      limit: 'none',
      next: redisCli(name, `acl setuser default '+${denied.toLowerCase()}'`),
    });
  if (state.keepsFile === false)
    found.push({
      kind: 'set',
      refusal: `${name} keeps no append-only file: a restart would bring back an old state`,
      measured: 'appendonly is no',
      limit: 'yes',
      next: redisCli(name, 'config set appendonly yes'),
    });
  if (settings === undefined) return found;
  const { minReplicas, knowsPassword, snapshotsStopWrites, maxMemory, usedMemory, eviction } = settings;
  if (!knowsPassword)
    found.push({
      kind: 'apart',
      refusal: `${name} would log in to a master with another password, and could follow nobody`,
      measured: 'masterauth is not the password of the nodes',
      limit: 'the password of the nodes',
      next: logs(name),
    });
  if (minReplicas > 0)
    found.push({
      kind: 'set',
      refusal: `${name} takes no writes as the master while its replica is away`,
      measured: `min-replicas-to-write is ${minReplicas}`,
      limit: '0',
      next: redisCli(name, 'config set min-replicas-to-write 0'),
    });
  if (snapshotsStopWrites)
    found.push({
      kind: 'set',
      refusal: `${name} ${takesNone}: its last snapshot failed`,
      measured: 'rdb_last_bgsave_status is err, and save asks for snapshots',
      limit: 'no snapshots: the append-only file has everything',
      next: redisCli(name, `config set save ''`),
    });
  if (maxMemory > 0 && eviction === 'noeviction' && usedMemory > maxMemory)
    found.push({
      kind: 'set',
      refusal: `${name} ${takesNone}: it has more than its limit of memory`,
      measured: `${formatSize(usedMemory)} used`,
      limit: `maxmemory ${formatSize(maxMemory)}`,
      next: redisCli(name, 'config set maxmemory 0'),
    });
  return found;
}

/** A master was seen refusing a write. */
export const refusesWrites = (observed: ObservedRedis): boolean =>
  answeringNodes(observed).some(({ state }) => state.refusesWrites !== undefined);

/**
 * The same of all nodes in one sentence without full stop, those of masters first; undefined where all are well.
 * @param twice the look before this one saw a write refused, too: one alone may have met the hold of a planned move
 */
export function ailmentSays(observed: ObservedRedis, twice: boolean): string | undefined {
  const nodes = answeringNodes(observed).sort(
    (a, b) => Number(b.state.role === 'master') - Number(a.state.role === 'master'),
  );
  const [first, ...more] = nodes.flatMap((node) => ailmentsOf(node)).filter(({ kind }) => kind !== 'refuses' || twice);
  if (first === undefined) return undefined;
  const says = [first, ...more].map(({ refusal, measured, limit }) => `${refusal} (${measured}; limit: ${limit})`);
  return `${says.join('; ')}. Next: ${first.next}`;
}
