import { setTimeout as sleep } from 'node:timers/promises';
import { formatSize } from '../cluster/size';
import { openPostgresAgent, type PostgresObservation } from '../systems/agent';
import { createDockerClient } from '../systems/docker';
import { loadTopology } from '../systems/topology-file';

/** An agent is asked by way of `docker exec`, over one session. */
const ASK_AGENT_EVERY_MS = 50;
const AGENT_LIMIT_MS = 2000;

/** Asks one node's agent what it copies. */
export class AgentEye {
  private readonly docker = createDockerClient(loadTopology().docker?.socketPath);
  private agent: Awaited<ReturnType<typeof openPostgresAgent>> | undefined;

  constructor(private readonly node: string) {}

  /** What is copied; undefined while nothing is. */
  async copyWords(): Promise<string | undefined> {
    try {
      this.agent ??= await openPostgresAgent(this.docker, this.node);
      const words = copyWordsOf(await this.agent.call('observe', {}, AGENT_LIMIT_MS));
      if (words !== undefined) return words;
    } catch {
      // Its container is being started.
      this.close();
    }
    await sleep(ASK_AGENT_EVERY_MS);
    return undefined;
  }

  close(): void {
    this.agent?.close();
    this.agent = undefined;
  }
}

/** What a node copies, by its agent; undefined while it does not, or does something else to its data. */
export function copyWordsOf({
  job,
  postgres,
  startGuard,
}: Pick<PostgresObservation, 'job' | 'postgres' | 'startGuard'>): string | undefined {
  if (job?.kind === 'copy' && job.state === 'running' && job.phase === 'pg_basebackup')
    return `copying, ${formatSize(job.doneBytes)}${job.totalBytes === null ? '' : ` of ${formatSize(job.totalBytes)}`}`;
  // At its first start a node copies by itself.
  return postgres.state === 'starting' && postgres.pid === null && startGuard?.startsWith('Copying') === true
    ? `copying, at its first start: ${startGuard.replace(/\.$/, '')}`
    : undefined;
}
