import { isKilled } from '../cluster/guard/mending';
import type { ContainerState, DockerClient } from '../systems/docker';
import { withinLimit } from './guard/probe';

/** A container's state with what tells one that a person stopped from one that was killed. */
export type EndedState = ContainerState & {
  /** It ended with a code as after a kill, and the engine has it on record that somebody told it to stop. */
  toldToStop?: true;
};

/**
 * A container's state, also with the engine's word on whether somebody told it to stop where its exit code does not tell: a `docker stop`
 * that runs out of its grace period, or that a run's fence overtakes, ends with 137.
 * @param limitMs how long the engine may take for each of its answers, in milliseconds
 * @throws Error when it gives no answer: nobody knows then, and nothing may be started
 */
export async function howItEnded(
  docker: Pick<DockerClient, 'inspect' | 'toldToStop'>,
  name: string,
  limitMs: number,
): Promise<EndedState> {
  const state = await withinLimit(docker.inspect(name), limitMs);
  if (!isKilled(state)) return state;
  return (await withinLimit(docker.toldToStop(name), limitMs)) ? { ...state, toldToStop: true } : state;
}
