import { logs, wakeContainer } from '../../cluster/commands';
import type { DockerClient } from '../../systems/docker';
import { withSession, type ClusterAccess } from '../deps';
import { withinLimit } from '../guard/probe';
import { POOLER_LIMIT_MS } from './parts';

/*
 * A pooler that gives no answer keeps nobody from being promoted: its clients can't write anyway, and its agent leads them to the newest
 * primary by itself, as soon as it runs. What was not seen is told (F2, F5).
 */

/**
 * What a report has to say where somebody was promoted without the pooler.
 * @param problem why it gave no answer
 */
export async function poolerLeftOut(
  docker: DockerClient,
  pooler: string,
  target: string,
  problem: string | undefined,
): Promise<string> {
  const what = `F2: ${pooler} gave no answer, so its clients were not held, and nobody has led them to ${target}: its agent does once it runs`;
  return told(docker, pooler, what, problem);
}

/** The same where the new state was proven without asking through the pooler. */
export async function poolerNotAsked(docker: DockerClient, pooler: string, target: string): Promise<string> {
  return told(docker, pooler, `F5: whether clients of ${pooler} reach ${target} is not known`);
}

async function told(docker: DockerClient, pooler: string, what: string, problem = 'no answer'): Promise<string> {
  const status = await docker.inspect(pooler).then(
    ({ exists, status: is }) => (exists ? is : 'absent'),
    () => undefined,
  );
  const measured = status === undefined || status === 'running' ? problem : `its container is ${status}`;
  const next = wakeContainer(pooler, status) ?? logs(pooler);
  return `${what}: ${measured.replace(/\.$/, '')} (limit: an answer within ${POOLER_LIMIT_MS} ms). Next: ${next}`;
}

/** Does the pooler's agent answer? */
export async function poolerAnswers(access: ClusterAccess): Promise<boolean> {
  const asked = withSession(access.pooler(), (agent) => agent.call('observe', {}, POOLER_LIMIT_MS));
  return withinLimit(asked, 2 * POOLER_LIMIT_MS).then(
    () => true,
    () => false,
  );
}
