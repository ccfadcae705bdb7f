import { STAYS_STOPPED } from '../cluster/guard/ended-containers';
import { wasStoppedByHand } from '../cluster/guard/mending';
import { startContainer } from '../cluster/redis/commands';
import type { DockerClient } from '../systems/docker';
import { endContainer } from './end-container';
import { howItEnded } from './how-it-ended';
import { startAgain } from './start-again';

/** How long the engine may take to say how it ended, in milliseconds. */
const LIMIT_MS = 5000;

/**
 * Ends a container, most often one whose process hangs, and starts it again; one that somebody told to stop meanwhile stays ended. A
 * process that hangs hears no signal, so the container of a `docker stop` still runs until its grace period is over: only its end shows
 * who wanted it.
 * @returns whether it was started; false: somebody told it to stop
 * @throws Overtaken when another attempt goes on; DoesNotEnd when it was killed and goes on; Error when it can't be killed or started, or
 * when the engine does not say how it ended: then it is not started
 */
export async function endAndStart(docker: DockerClient, name: string): Promise<boolean> {
  await endContainer(docker, name);
  if (wasStoppedByHand(await howItEnded(docker, name, LIMIT_MS))) return false;
  await startAgain(docker, name);
  return true;
}

/** That {@link endAndStart} did not start it, in a sentence without full stop. */
export const staysStopped = (name: string): string =>
  `${name} ${STAYS_STOPPED}: somebody told it to stop meanwhile. Next: ${startContainer(name)}`;
