import { dropMark, leaveMark, marksOf } from '../systems/cut-off-marks';
import type { Attachment, DockerClient } from '../systems/docker';
import { steadyMs } from './clock';
import { sleep } from './context';
import { withinLimit } from './guard/probe';
import { Overtaken, stillMine } from './still-mine';

/** Docker's words for a container in which nothing runs. */
const ended: ReadonlySet<string> = new Set(['exited', 'dead', 'created', 'absent']);

/** Whether nothing runs in a container, as Docker's word has it. A frozen one has not ended. */
export const hasEnded = (status: string): boolean => ended.has(status);

/** A container in which nothing hangs ends within some 150 ms of its kill. Clients wait meanwhile. In milliseconds. */
const END_LIMIT_MS = 3000;

/** A container that was killed and goes on: a process of it hangs in the kernel, where no signal reaches it. */
export class DoesNotEnd extends Error {
  override readonly name = 'DoesNotEnd';
}

/**
 * Kills a container, a frozen one too, and waits until Docker says that it ended. Docker's own answer to the kill is not waited for: it
 * comes only when every process has ended, and one that hangs on a dead disk keeps it waiting for ten seconds, or for ever. The kill
 * stays in force: whatever hangs ends as soon as it wakes up.
 * @throws Overtaken when another attempt goes on, and nothing was killed; DoesNotEnd when it was killed and goes on; Error when it can't
 * be killed
 */
export async function endContainer(docker: DockerClient, name: string, limitMs = END_LIMIT_MS): Promise<void> {
  await stillMine(`kill ${name}`);
  const kill: { failure?: unknown } = {};
  const killed = docker.kill(name).catch((failure: unknown) => {
    kill.failure = failure;
  });
  const end = steadyMs() + limitMs;
  // Most often it has ended when Docker answers: then one look is enough.
  await withinLimit(killed, limitMs).catch(() => undefined);
  for (;;) {
    if (kill.failure !== undefined) throw asError(kill.failure);
    const { status } = await docker.inspect(name);
    if (hasEnded(status)) return;
    if (steadyMs() >= end)
      throw new DoesNotEnd(
        `its container has not ended ${limitMs} ms after it was killed: something in it hangs in the kernel`,
      );
    await sleep(25);
  }
}

const asError = (failure: unknown): Error => (failure instanceof Error ? failure : new Error(String(failure)));

/** How long Docker may take to note who took a container off its networks, in milliseconds: clients wait. */
const MARK_LIMIT_MS = 1000;

/** A container that is on no network any more. */
export interface CutOff {
  /** The networks that it was taken off, by an earlier attempt too; empty where nobody knows which. */
  networks: string[];
  /** The network that it was made for. */
  home: string;
  /** Where it was until just now. */
  taken: Attachment[];
  /** Docker has it on record that a run did this: it is put back as soon as that does no harm. */
  marked: boolean;
}

/**
 * Takes a container off its networks, and proves it. Before, a mark is left for each of them (src/systems/cut-off-marks.ts), so that
 * the container can be put back; where Docker is too slow for that, it is taken off all the same.
 * @throws Overtaken when another attempt goes on; Error when it stays on one
 */
export async function cutOff(docker: DockerClient, name: string): Promise<CutOff> {
  const { id, home, networks: taken } = await docker.attachments(name);
  const marking = { done: false };
  if (taken.length > 0) {
    await stillMine(`take ${name} off its networks`);
    const leaving = Promise.all(taken.map((place) => leaveMark(docker, name, id, place))).then(() => {
      marking.done = true;
    });
    // One that arrives later still serves.
    leaving.catch(() => undefined);
    await withinLimit(leaving, MARK_LIMIT_MS).catch(() => undefined);
  }
  try {
    for (const { network } of taken) {
      await stillMine(`take ${name} off network ${network}`);
      await docker.disconnect(name, network);
    }
    const left = await docker.networks(name);
    if (left.length > 0) throw new Error(`it is still on network ${left.join(', ')}`);
  } catch (error) {
    if (!(error instanceof Overtaken))
      await withinLimit(dropMarks(docker, name, id), MARK_LIMIT_MS).catch(() => undefined);
    throw error;
  }
  const before = await withinLimit(marksOf(docker, name, id), MARK_LIMIT_MS).catch(() => []);
  const known = before.filter(({ current }) => current).map(({ place }) => place.network);
  const networks = [...new Set([...taken.map(({ network }) => network), ...known])];
  const marked = networks.length > 0 && (marking.done || networks.every((each) => known.includes(each)));
  return { networks, home, taken, marked };
}

/** Of the networks that a container is on after all: who takes it off them later is somebody else. */
async function dropMarks(docker: DockerClient, name: string, id: string): Promise<void> {
  const left = await docker.networks(name);
  await Promise.all(left.map((network) => dropMark(docker, name, id, network)));
}
