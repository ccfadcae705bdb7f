import type { LifeQuestion } from '../../systems/sign-of-life';
import { healthOf, logs } from '../commands';
import type { LockName } from '../locks';
import { START_STACK, startContainer } from '../redis/commands';
import type { ClusterTopology, Endpoint } from '../topology';
import { containerWords, isKilled, wasStoppedByHand, type LeftOver, type MemberFacts } from './mending';

/**
 * The containers through which clients come, and those that tell them the way: the pooler, the engines, HAProxy, the Sentinels. Each
 * takes up its work by itself when it starts, and asks first who is in charge: its pooler looks for the primary, an engine for the lock,
 * a Sentinel for what the other Sentinels watch. The nodes of PostgreSQL and Redis have a role that has to be decided on; they are not
 * among these.
 */
export function containersOfTheWay(topology: WayTopology): string[] {
  return [...topology.pgbouncer.nodes.map(({ name }) => name), ...restartedWhereTheyHang(topology)];
}

/**
 * Those among them that are ended and started where they hang: neither Docker's own check of their health nor {@link lifeQuestions} gets an
 * answer. A pooler's agent looks after PgBouncer itself.
 */
export function restartedWhereTheyHang({ engines, haproxy, redis }: Omit<WayTopology, 'pgbouncer'>): string[] {
  return [
    ...(engines?.nodes ?? []).map(({ name }) => name),
    ...(haproxy === undefined ? [] : [haproxy.name]),
    ...(redis?.sentinels ?? []).map(({ name }) => name),
  ];
}

/** Those among them without which no client gets through: it is told, too, that a person stopped one. */
export function clientsOnlyWay({ pgbouncer, haproxy }: Pick<WayTopology, 'pgbouncer' | 'haproxy'>): string[] {
  return [...pgbouncer.nodes.map(({ name }) => name), ...(haproxy === undefined ? [] : [haproxy.name])];
}

/** Those that are deployed together or not at all: where all of one such group have no container, nobody has lost one. */
export function deployedTogether({ engines, haproxy, redis }: Omit<WayTopology, 'pgbouncer'>): string[][] {
  const groups = [
    [...(engines?.nodes ?? []).map(({ name }) => name), ...(haproxy === undefined ? [] : [haproxy.name])],
    (redis?.sentinels ?? []).map(({ name }) => name),
  ];
  return groups.filter((group) => group.length > 0);
}

type WayTopology = Pick<ClusterTopology, 'pgbouncer' | 'engines' | 'haproxy' | 'redis'>;

/** Docker starts a container anew within this time that ended by itself, in milliseconds. */
export const RESTART_MS = 1000;

/** By Docker's check it has not answered several times in a row, for some 15 s. It hangs when that is so for this long, in milliseconds. */
export const HANGS_MS = 10_000;

/** One that hangs again after so many restarts is left to a person: each is a kill, and none has helped. */
export const RESTARTS = 5;

/** A freeze that lasts for a moment is none to tell of, in milliseconds. */
const FROZEN_MS = 2000;

/** A `docker restart` is over within this time, in milliseconds. */
const STOPPED_MS = 5000;

/** Whoever makes a container anew has done so within this time, in milliseconds. */
const ABSENT_MS = 10_000;

/** Docker was seen starting it anew for this long, in milliseconds: longer than one crash counts ({@link LOOP_OVER_MS}). */
const LOOPS_MS = 15_000;

/** A container that has run for this long since Docker started it anew loops no more, in milliseconds: Docker counts so, too. */
export const LOOP_OVER_MS = 10_000;

/** What is said of a container that Docker starts again and again. */
export const ENDS_EACH_TIME = 'it ends each time that Docker starts it';

/** What is said of a container that the watch ended and did not start, after its name: somebody told it to stop meanwhile. */
export const STAYS_STOPPED = 'was ended, and stays so';

/** What else has to be known of a container. */
export interface WayContainer {
  /** Docker was seen starting it anew, and it has not run for {@link LOOP_OVER_MS} since. */
  loops?: boolean;
  /** No client gets through without it ({@link clientsOnlyWay}). */
  onlyWay?: boolean;
}

/** What else is known of a container whose check of health fails. */
export interface HungFacts {
  /** It answered when it was asked from here; absent where nobody asked yet. */
  answered?: boolean;
  /** How often it was ended and started in a row. */
  restarts?: number;
  /** Why the last attempt was in vain. */
  problem?: string;
}

/** Whether Docker's own check gets no answer of a container that runs, and that nobody froze. */
export const failsItsCheck = ({ status, health }: { status: string; health?: string }): boolean =>
  status === 'running' && health === 'unhealthy';

/**
 * A container that runs and whose check of health fails. Docker's word alone ends nothing: a check may ask for more than an answer, or be
 * what hangs. One that answers from here, or that was ended and started so often that this does not help, is told, for a person.
 */
export function hungContainer(name: string, { answered, restarts = 0, problem }: HungFacts = {}): LeftOver {
  const common = { node: name, started: true as const, settleMs: HANGS_MS };
  if (answered === true)
    return {
      ...common,
      says: "Docker's check of its health fails, and it answers when it is asked from here",
      leaves: 'what answers is not ended',
      next: healthOf(name),
      key: `${name} unhealthy`,
    };
  const says =
    answered === undefined
      ? "its container runs, and its process does not answer by Docker's check of its health"
      : "its container runs, and its process does not answer: neither Docker's check of its health nor a question from here";
  if (restarts >= RESTARTS)
    return {
      ...common,
      says,
      leaves: `it was ended and started ${restarts} times, and that did not help`,
      next: logs(name),
      key: `${name} hangs on`,
    };
  return {
    ...common,
    says: problem === undefined ? says : `${says}; it could not be ended and started: ${problem}`,
    key: `${name} hangs`,
  };
}

/**
 * What shows that a container's process lives, when it is asked from outside: engines by HTTP; HAProxy at its front door, its statistics
 * and its runtime API, whose socket is not subject to the global `maxconn` (BC_O_UNLIMITED in HAProxy's cli.c), so that it answers when
 * all places are taken; Sentinels by PING. Whatever comes is an answer.
 */
export function lifeQuestions(
  name: string,
  { engines, haproxy, redis }: Omit<WayTopology, 'pgbouncer'>,
): LifeQuestion[] {
  const http = (at: Endpoint, path: string) => ({
    at,
    says: `GET ${path} HTTP/1.1\r\nHost: ${at.host}\r\nConnection: close\r\n\r\n`,
  });
  if (name === haproxy?.name)
    return [
      { at: haproxy.runtime, says: 'show info\n' },
      http(haproxy.stats, '/live'),
      http(haproxy.address, '/health/live'),
    ];
  const engine = engines?.nodes.find((each) => each.name === name);
  if (engine !== undefined) return [http(engine.address, '/health/live')];
  const sentinel = redis?.sentinels.find((each) => each.name === name);
  return sentinel === undefined ? [] : [{ at: sentinel.address, says: 'PING\r\n' }];
}

/** The lock of the runs that may have a container in hand. */
export const lockOf = (name: string, { redis }: Pick<WayTopology, 'redis'>): LockName =>
  redis?.sentinels.some((each) => each.name === name) === true ? 'redis' : 'engine';

/** Those that do the same work: while one of them is started, the others go on, also where they seem to hang. */
export function othersLike(name: string, { engines, redis }: Pick<WayTopology, 'engines' | 'redis'>): string[] {
  const groups = [engines?.nodes ?? [], redis?.sentinels ?? []].map((group) => group.map((each) => each.name));
  return (groups.find((group) => group.includes(name)) ?? []).filter((each) => each !== name);
}

/**
 * A container that has ended, and that Docker does not start again: it was killed. Or one that is not as it should be and that only a
 * person mends: frozen, gone, or ending each time that Docker starts it. Undefined for one that runs, or was told to stop, which is a
 * person's decision; of clients' only way that is told all the same.
 */
export function endedContainer(
  name: string,
  container: MemberFacts['container'],
  { loops = false, onlyWay = false }: WayContainer = {},
): LeftOver | undefined {
  if (container.status === 'paused')
    return {
      node: name,
      says: 'its container is paused',
      leaves: 'somebody froze it',
      byHand: `docker unpause ${name}`,
      key: `${name} paused`,
      started: true,
      settleMs: FROZEN_MS,
    };
  if (container.status === 'absent')
    return {
      node: name,
      says: 'it has no container',
      leaves: 'somebody has to make one',
      next: START_STACK,
      key: `${name} absent`,
      started: true,
      settleMs: ABSENT_MS,
    };
  if (loops)
    return {
      node: name,
      says: ENDS_EACH_TIME,
      leaves: 'its log says why',
      next: logs(name),
      key: `${name} loops`,
      started: true,
      settleMs: LOOPS_MS,
    };
  if (onlyWay && wasStoppedByHand(container))
    return {
      node: name,
      says: containerWords(container),
      leaves: 'it was told to stop, and no client gets through without it',
      byHand: startContainer(name),
      key: `${name} stopped`,
      started: true,
      settleMs: STOPPED_MS,
    };
  if (!isKilled(container)) return undefined;
  return {
    node: name,
    says: containerWords(container),
    key: `${name} ended`,
    started: true,
    settleMs: RESTART_MS,
  };
}
