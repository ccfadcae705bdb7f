import { logs } from '../commands';
import { containerWords, wasStoppedByHand } from '../guard/mending';
import { connectCommand, offNetworksSays } from '../off-networks';
import { START_STACK, startContainer, unfreezeContainer } from './commands';
import {
  answeringNodes,
  answeringSentinels,
  isStopped,
  majorityOf,
  mastersOf,
  namedMaster,
  upstreamOf,
  type ObservedRedis,
  type RedisContainer,
} from './observed';

/*
 * Nodes and Sentinels that give no answer beside a master that is well. Nothing failed by that, and clients see none of it; but it may be
 * that nobody could take over.
 */

/** One that gives no answer. */
export interface Away {
  name: string;
  /** What is so, in half a sentence. */
  says: string;
  /** The next command. */
  next: string;
}

/** One that gives no answer is told after this time, in milliseconds: a restart is over by then. */
export const AWAY_MS = 10_000;

/** What is said of such a container. */
export const LOOPS = 'ends each time that Docker starts it';

/** A container that ends each time that Docker starts it. */
export const isLooping = ({ status }: RedisContainer): boolean => status === 'restarting';

/** What to run about one that gives no answer: a container that does not run has no news in its log. */
export function lookAt(name: string, container: RedisContainer): string {
  if (container.offNetworks !== undefined) return connectCommand(name, container.offNetworks);
  if (container.status === 'absent') return START_STACK;
  if (container.status === 'paused') return unfreezeContainer(name);
  return isStopped(container) ? startContainer(name) : logs(name);
}

/**
 * Who gives no answer beside a master that does. Pure. A node that reads its files is no such one; one that a run took off its networks is
 * told as left over. Of Sentinels only those that run, and where fewer than a majority answers all others, too, whoever stopped them: each
 * one alone that is frozen or has ended is told by who looks after its container.
 * @param looping those that Docker was seen restarting since they gave an answer: between two starts a container runs for a moment
 */
export function awayFrom(observed: ObservedRedis, master: string, looping: ReadonlySet<string>): Away[] {
  const heirs = answeringNodes(observed).some(
    (node) => node.name !== master && upstreamOf(observed, node) === master && node.state.upstream?.up === true,
  );
  const nodes = observed.nodes
    .filter(({ name, state, container }) => state === null && name !== master && container.offNetworks?.by !== 'run')
    .map(({ name, container, error }) => ({
      name,
      container,
      error,
      follows: heirs ? '' : ': nobody could take over',
    }));
  const few = answeringSentinels(observed).length < majorityOf(observed);
  const missing = observed.sentinels.filter(({ state }) => state === null);
  const sentinels = missing
    .filter(({ container }) => few || container.running)
    .map(({ name, container, error }) => ({ name, container, error, follows: few ? ': nobody could fail over' : '' }));
  // One command for all that only have to be started.
  const stopped = few ? missing.filter(({ container }) => isStopped(container)).map(({ name }) => name) : [];
  return [...nodes, ...sentinels].map(({ name, container, error, follows }) => ({
    name,
    says: `${name} ${looping.has(name) && container.running ? LOOPS : whyAway(container, error)}${follows}`,
    next: stopped.includes(name) ? startContainer(stopped.join(' ')) : lookAt(name, container),
  }));
}

/** Why it gives no answer, in half a sentence. */
function whyAway(container: RedisContainer, error: string | undefined): string {
  if (container.offNetworks !== undefined) return `gives no answer: ${offNetworksSays(container.offNetworks)}`;
  if (isLooping(container)) return LOOPS;
  if (container.status === 'absent') return 'has no container';
  if (container.status === 'created') return 'was never started';
  if (container.status === 'paused') return 'is frozen, and stays so';
  if (wasStoppedByHand(container)) return `was told to stop, and stays so (${containerWords(container)})`;
  if (isStopped(container)) return `does not run (${containerWords(container)})`;
  return `gives no answer (${error ?? 'no reason given'})`;
}

/**
 * The nodes that run and give no answer, and that may be ended and started where their process hangs. Pure. Only beside the one master,
 * which answers and which a majority of the Sentinels names: a node that starts beside it becomes its replica, whatever it was. One that
 * was the master before would wake up as a second one.
 */
export function silentBeside(observed: ObservedRedis): string[] {
  const [master, second] = mastersOf(observed);
  if (master === undefined || second !== undefined || namedMaster(observed) !== master.name) return [];
  return observed.nodes
    .filter(
      ({ state, container }) => state === null && container.status === 'running' && container.offNetworks === undefined,
    )
    .map(({ name }) => name);
}
