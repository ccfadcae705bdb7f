import { whyNotTheLast } from '../../cluster/failover/ended-primary';
import { STANDBY_FILES } from '../../cluster/guard/standby-files';
import type { ActivityDeps } from '../deps';
import { FENCE_FILE } from '../fence';
import { messageOf, withinLimit } from '../guard/probe';
import type { Look } from './look';
import type { FailoverMove } from './move';
import { whyLeftStopped } from './source-data';

/** How long Docker may take to say how a container is, in milliseconds: clients wait. */
const INSPECT_LIMIT_MS = 1000;
/** How long it may take to read three small files of it, in milliseconds. */
const READ_LIMIT_MS = 2000;

/** Why the failed primary is not fenced to be read. */
export interface Left {
  /** In half a sentence; absent where its container has not ended, of which nothing is to be said. */
  problem?: string;
}

/**
 * Whether a primary that a person says has failed, or that the guard saw dead before a person thought about it, may be fenced and read:
 * undefined where its container has ended by now, and it certainly was the last primary ({@link whyNotTheLast}). Never throws: what
 * nobody can tell speaks against it. Whoever starts the container after this look starts it into the fence, or has its server ended by
 * that, before its WAL is read: nothing that it acknowledged meanwhile is missed.
 */
export async function whyNotOver(
  deps: Pick<ActivityDeps, 'docker'>,
  request: Pick<FailoverMove, 'source' | 'run' | 'leavesStopped'>,
  { states }: Pick<Look, 'states'>,
): Promise<Left | undefined> {
  const { source, run } = request;
  try {
    if (!(await hasExited(deps, source))) return {};
    const stays = await whyLeftStopped(deps, request);
    if (stays !== undefined) return { problem: stays };
    const [control, signal, fence] = await withinLimit(
      Promise.all([
        deps.docker.readBytes(source, STANDBY_FILES.control),
        deps.docker.readFile(source, STANDBY_FILES.signal),
        deps.docker.readFile(source, FENCE_FILE),
      ]),
      READ_LIMIT_MS,
    );
    const problem = whyNotTheLast({ control, signal, fence }, run, states);
    if (problem !== undefined) return { problem };
    // Somebody may have started it while its files were read.
    return (await hasExited(deps, source)) ? undefined : {};
  } catch (error) {
    return { problem: `how its container ended is not known: ${messageOf(error).replace(/\.$/, '')}` };
  }
}

/** One that was never started, or that Docker could not remove, can't be started to be read either. */
const hasExited = async ({ docker }: Pick<ActivityDeps, 'docker'>, source: string): Promise<boolean> =>
  (await withinLimit(docker.inspect(source), INSPECT_LIMIT_MS)).status === 'exited';
