import { logs } from '../commands';
import { formatSize } from '../size';
import { redisCli } from './commands';
import { answeringNodes, mastersOf, type AnsweringRedis, type ObservedRedis, type RedisSettings } from './observed';

/*
 * What a node is set to, or has met with, so that it does not do what is promised of it, although it answers and replicates. The node itself
 * puts back what is its own within a second (docker/redis): what is seen here for longer it could not.
 */

/** One such thing. */
export interface Ailment {
  /**
   * `refuses`: it was seen refusing a write. `denied`: it refuses what a move asks of it. `apart`: it can follow nobody. `writable`: it would
   * take writes as a replica. `full`: it soon lets nobody new in. `set`: it is set otherwise than a node has to be.
   */
  kind: 'refuses' | 'denied' | 'apart' | 'writable' | 'full' | 'set';
  /** What is so, in half a sentence. */
  refusal: string;
  measured: string;
  limit: string;
  /** The next command. */
  next: string;
}

/**
 * Why a replica, which keeps to no limit of memory itself, would drop keys as the master that its master keeps, or could refuse writes that
 * it takes; undefined where it would not. Pure.
 * @param master undefined where it does not answer: what is already too much counts then
 */
export function dropsKeys(
  { name, state }: AnsweringRedis,
  master: AnsweringRedis | undefined,
): Omit<Ailment, 'kind'> | undefined {
  const own = state.settings;
  if (own === undefined || own.maxMemory === 0) return undefined;
  const evicts = own.eviction !== 'noeviction';
  // That is told already.
  if (!evicts && own.usedMemory > own.maxMemory) return undefined;
  const its = master?.state.settings;
  const less = its === undefined ? evicts && own.usedMemory > own.maxMemory : isTighter(own, its);
  if (!less) return undefined;
  const limit = its === undefined || its.maxMemory === 0 ? 'no limit' : `${formatSize(its.maxMemory)}, ${its.eviction}`;
  return {
    refusal: evicts
      ? `${name} would drop keys as the master, acknowledged ones too`
      : `${name} would refuse writes as the master sooner than its master`,
    measured: `its maxmemory is ${formatSize(own.maxMemory)}, ${own.eviction}; ${formatSize(own.usedMemory)} used`,
    limit: master === undefined ? limit : `that of ${master.name}: ${limit}`,
    next: redisCli(
      name,
      `config set maxmemory ${its?.maxMemory ?? 0} maxmemory-policy ${its?.eviction ?? 'noeviction'}`,
    ),
  };
}

/** Control, Sentinels and what connects anew during a move need so many places beside the clients of the master. */
const PLACES = 50;
/** Above this share of its places a node soon lets nobody new in. */
const NEARLY_FULL = 0.9;

/** Why a node does not let in whom it has to; undefined where it does. Pure. */
function letsInTooFew({ name, state }: AnsweringRedis, master: AnsweringRedis | undefined): Ailment | undefined {
  const own = state.settings?.clients;
  if (own === undefined) return undefined;
  if (own.connected > NEARLY_FULL * own.most)
    return {
      kind: 'full',
      refusal: `${name} soon lets nobody new in`,
      measured: `${own.connected} clients are connected`,
      limit: `${NEARLY_FULL * 100} % of maxclients ${own.most}`,
      next: redisCli(name, 'client list'),
    };
  const its = state.role === 'replica' ? master?.state.settings?.clients : undefined;
  const needed = (its?.connected ?? 0) + PLACES;
  if (its === undefined || own.most >= needed) return undefined;
  return {
    kind: 'set',
    refusal: `${name} would not let in all clients of its master`,
    measured: `its maxclients is ${own.most}`,
    limit: `${needed}: ${its.connected} are connected to its master, and ${PLACES} more`,
    next: redisCli(name, `config set maxclients ${Math.max(its.most, needed)}`),
  };
}

/** It keeps less than the other one, or drops what the other one would not. */
const isTighter = (own: RedisSettings, its: RedisSettings): boolean =>
  its.maxMemory === 0 ||
  own.maxMemory < its.maxMemory ||
  (own.eviction !== 'noeviction' && own.eviction !== its.eviction);

/**
 * What ails a node that answers, worst first. Pure.
 * @param master whose keys a replica has to keep; absent where it does not answer
 */
export function ailmentsOf(node: AnsweringRedis, master?: AnsweringRedis): Ailment[] {
  const { name, state } = node;
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
        : refusesWrites.startsWith('MISCONF')
          ? `docker exec ${name} df -h /var/lib/redis`
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
  const {
    minReplicas,
    knowsPassword,
    followsAsOther,
    followsByTls,
    readOnly,
    snapshotsStopWrites,
    maxMemory,
    usedMemory,
    eviction,
  } = settings;
  if (readOnly === false)
    found.push({
      kind: 'writable',
      refusal: `${name} ${state.role === 'replica' ? 'takes' : 'would take'} writes as a replica, and lose${state.role === 'replica' ? 's' : ''} what it acknowledges`,
      measured: 'replica-read-only is no',
      limit: 'yes',
      next: redisCli(name, 'config set replica-read-only yes'),
    });
  if (!knowsPassword)
    found.push({
      kind: 'apart',
      refusal: `${name} would log in to a master with another password, and could follow nobody`,
      measured: 'masterauth is not the password of the nodes',
      limit: 'the password of the nodes',
      next: logs(name),
    });
  if (followsAsOther === true)
    found.push({
      kind: 'apart',
      refusal: `${name} would log in to a master as another user, and could follow nobody`,
      measured: 'masteruser is set',
      limit: 'empty: the user default',
      next: redisCli(name, `config set masteruser ''`),
    });
  if (followsByTls === true)
    found.push({
      kind: 'apart',
      refusal: `${name} would speak TLS to a master, which has none, and could follow nobody`,
      measured: 'tls-replication is yes',
      limit: 'no',
      next: redisCli(name, 'config set tls-replication no'),
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
  const tooFew = letsInTooFew(node, master);
  if (tooFew !== undefined) found.push(tooFew);
  const drops = state.role === 'replica' ? dropsKeys(node, master) : undefined;
  if (drops !== undefined) found.push({ kind: 'set', ...drops });
  return found;
}

/** A master was seen refusing a write. */
export const refusesWrites = (observed: ObservedRedis): boolean =>
  answeringNodes(observed).some(({ state }) => state.refusesWrites !== undefined);

/**
 * The same of all nodes in one sentence without full stop, those of masters first; undefined where all are well.
 * @param twice the look before this one saw a write refused, too: one alone may have met the hold of a planned move
 * @param moves the command that moves a master away which refuses writes; absent where that mends nothing
 */
export function ailmentSays(observed: ObservedRedis, twice: boolean, moves?: string): string | undefined {
  const nodes = answeringNodes(observed).sort(
    (a, b) => Number(b.state.role === 'master') - Number(a.state.role === 'master'),
  );
  const [master] = mastersOf(observed);
  const [first, ...more] = nodes
    .flatMap((node) => ailmentsOf(node, master))
    .filter(({ kind }) => kind !== 'refuses' || twice);
  if (first === undefined) return undefined;
  const says = [first, ...more].map(({ refusal, measured, limit }) => `${refusal} (${measured}; limit: ${limit})`);
  return `${says.join('; ')}. Next: ${first.kind === 'refuses' ? (moves ?? first.next) : first.next}`;
}
