import { clusterStatus } from '../../cluster/commands';
import { STANDBY_FILES, timelineIn, whyNoStandby } from '../../cluster/guard/standby-files';
import type { ContainerState, DockerClient } from '../../systems/docker';
import { finalFailure } from '../context';
import { withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import { messageOf, withinLimit } from './probe';

/** How long Docker may take to answer a question about one container, in milliseconds. */
const INSPECT_MS = 1500;
/** An agent that has said nothing by then may be frozen: the files are read beside it. In milliseconds. */
const SILENT_MS = 700;
/** How long Docker may take to read the files of one node, in milliseconds. */
const READ_MS = 2000;

/**
 * Proof that a node is no primary: its container does not run, its agent says that it is a standby or that its server is stopped, or,
 * where the agent says nothing, its files say that it is a standby.
 * @throws ApplicationFailure `Refused` when there is none
 */
export async function requireNoPrimary(
  deps: Pick<ActivityDeps, 'docker'>,
  access: Pick<ClusterAccess, 'agent' | 'name'>,
  node: string,
): Promise<void> {
  const state = await stateOf(deps.docker, node);
  // Frozen, and Docker waits for it: its agent would not be reached.
  if (state === 'frozen') return;
  const { exists, running, status } = state;
  if (!exists || (!running && status !== 'paused')) return;
  const asking = askAgent(access, node);
  // A frozen node answers nobody; whether it was promoted before is in nobody's hands but ours: no run was.
  if (status === 'paused' && !(await asking).heard) return;
  const soon = await withinLimit(asking, SILENT_MS).catch(() => undefined);
  let files: string | undefined;
  if (soon?.heard !== true) {
    files = (await proofByFiles(deps.docker, node)).problem;
    if (files === undefined) return;
  }
  // One that is merely slow is waited for: it knows better.
  const said = await asking;
  if (said.heard && said.problem === undefined) return;
  const problem = [said.problem, files].filter((each) => each !== undefined).join('; ');
  throw finalFailure(
    'Refused',
    `A3: ${node} may be a primary: ${problem} (limit: proof that it is none). Nothing was relaxed. Next: ${clusterStatus(access.name)}`,
  );
}

/** What an agent says; `problem` where that proves nothing. */
interface Said {
  heard: boolean;
  problem?: string;
}

async function askAgent(access: Pick<ClusterAccess, 'agent'>, node: string): Promise<Said> {
  try {
    const said = await withSession(access.agent(node), (agent) => agent.call('observe', {}));
    if (said.postgres.state === 'stopped' || (said.signals.standby && said.promotion === null)) return { heard: true };
    return { heard: true, problem: `its PostgreSQL is ${said.postgres.state} and no standby` };
  } catch (error) {
    return { heard: false, problem: messageOf(error) };
  }
}

/**
 * The newest read of each node's files, by engine. Docker keeps a container to itself while it reads out of it; on a disk that hangs no
 * second read is to stand in line behind the first.
 */
const reading = new WeakMap<DockerClient, Map<string, Promise<unknown>>>();

/** What the files of a node prove. */
export interface ByFiles {
  /** Why they don't prove that it is no primary, in half a sentence; absent where they do. */
  problem?: string;
  /** The newest timeline that its control file names; null where that can't be told. */
  timeline: number | null;
}

/** Reads the files of a node, whether its container runs, is frozen or has ended, and says what they prove. Never throws. */
export async function proofByFiles(docker: DockerClient, node: string): Promise<ByFiles> {
  const ofEngine = reading.get(docker) ?? new Map<string, Promise<unknown>>();
  reading.set(docker, ofEngine);
  let wanted = true;
  const read = (ofEngine.get(node) ?? Promise.resolve())
    .catch(() => undefined)
    .then(() => (wanted ? readFiles(docker, node) : { problem: 'nobody waits for them any more', timeline: null }));
  ofEngine.set(node, read);
  try {
    return await withinLimit(read, READ_MS);
  } catch (error) {
    return { problem: `its files can't be read: ${messageOf(error)}`, timeline: null };
  } finally {
    wanted = false;
  }
}

/** One after the other: the order is part of the proof. */
async function readFiles(docker: DockerClient, node: string): Promise<ByFiles> {
  const control = await docker.readBytes(node, STANDBY_FILES.control);
  const signal = await docker.readFile(node, STANDBY_FILES.signal);
  const record = await docker.readFile(node, STANDBY_FILES.record);
  const problem = whyNoStandby({ control, signal, record });
  return { ...(problem === undefined ? {} : { problem }), timeline: timelineIn(control) };
}

/** Docker's word on a container; `frozen` where only its list still knows that. */
async function stateOf(docker: DockerClient, node: string): Promise<ContainerState | 'frozen'> {
  try {
    return await withinLimit(docker.inspect(node), INSPECT_MS);
  } catch (error) {
    if (await docker.isFrozen(node).catch(() => false)) return 'frozen';
    throw error;
  }
}
