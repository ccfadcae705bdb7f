import { setTimeout as sleep } from 'node:timers/promises';
import { formatMs } from '../cluster/duration';
import type { ClusterTopology } from '../cluster/topology';
import { stackText, type StackContainer } from '../report/stack';
import { tradingProblems, type TradingPicture } from '../report/trading';
import { createDockerClient, type DockerClient } from '../systems/docker';
import { Problem } from '../systems/problem';
import { loadTopology } from '../systems/topology-file';
import type { Member } from '../workflows/run-state';
import type { Cli } from './io';
import { observe } from './observe';
import { appendScreen, noScreen, terminalScreen, type Screen } from './screen';
import { observeTrading, tradingContainers } from './trading';

const LOOK_EVERY_MS = 500;

/** What is waited for. */
interface Wanted {
  standbys: 1 | 2;
  /** Redis, the engines and HAProxy too. */
  whole: boolean;
  /** Milliseconds. */
  timeout: number;
}

/** The stack once it is ready. */
interface Ready {
  members: Member[];
  trading: TradingPicture;
}

/**
 * Waits until every container is healthy, PostgreSQL replicates synchronously, the Sentinels agree on a master, and an engine
 * takes orders through HAProxy.
 * @throws Problem `SetUp` that says what was missing last
 */
export async function waitForStack(cli: Cli, name: string, wanted: Wanted): Promise<Ready> {
  const topology = loadTopology(cli.io.env);
  const cluster = topology.clusters[name];
  const docker = createDockerClient(topology.docker?.socketPath);
  const postgres = cluster?.postgres.nodes.filter((node) => !node.optional || wanted.standbys === 2) ?? [];
  const names = [
    ...[...postgres, ...(cluster?.pgbouncer.nodes ?? [])].map((node) => node.name),
    ...(wanted.whole && cluster !== undefined ? tradingContainers(cluster) : []),
  ];
  const began = cli.io.now();
  const screen = screenFor(cli);
  const style = cli.format === 'text' ? cli.style : cli.errStyle;
  const told = new Set<string>();
  try {
    for (let tick = 0; ; tick += 1) {
      const containers = await Promise.all(names.map((container) => look(docker, container)));
      const healthy = containers.every((container) => container.state === 'healthy');
      const wait = healthy
        ? await whatIsMissing(cli, name, postgres.length - 1, wanted.whole ? cluster : undefined)
        : undefined;
      if (healthy && typeof wait === 'object') return wait;
      const fresh = containers.filter((container) => !told.has(`${container.name} ${container.state}`));
      for (const container of fresh) told.add(`${container.name} ${container.state}`);
      if (!screen.redraws) screen.keep(fresh.map((container) => `${container.name}: ${container.state}`));
      screen.live(
        stackText(containers, typeof wait === 'string' ? wait : undefined, { now: cli.io.now(), began, tick }, style),
      );
      if (cli.io.now() - began > wanted.timeout) {
        const ill = containers.find((container) => container.state !== 'healthy');
        throw new Problem('SetUp', `the stack was not ready within ${formatMs(wanted.timeout)}`, {
          why:
            ill === undefined
              ? typeof wait === 'string'
                ? wait
                : 'replication is not synchronous'
              : `${ill.name} is ${ill.state}`,
          next: `veloz-ha stack logs ${ill?.name ?? names[0] ?? ''}`.trimEnd(),
        });
      }
      await sleep(LOOK_EVERY_MS);
    }
  } finally {
    screen.close();
  }
}

async function look(docker: DockerClient, name: string): Promise<StackContainer> {
  try {
    const state = await docker.inspect(name);
    return { name, state: state.running ? (state.health ?? 'healthy') : state.status };
  } catch (error) {
    throw new Problem('SetUp', 'the Docker engine does not answer', {
      why: (error as Error).message,
      next: 'npm run setup',
      cause: error,
    });
  }
}

/** What is missing, in words, or the whole picture once nothing is. */
async function whatIsMissing(
  cli: Cli,
  name: string,
  standbys: number,
  cluster: ClusterTopology | undefined,
): Promise<string | Ready> {
  const [replication, trading] = await Promise.all([
    replicationIsMissing(name, standbys),
    cluster === undefined ? {} : observeTrading(name, cluster, cli.io.env),
  ]);
  if (typeof replication === 'string') return replication;
  const problem = tradingProblems(trading, name)[0]?.says;
  return problem ?? { members: replication.members, trading };
}

/** What is missing, in words, or the members once as many standbys as asked for stream and one of them is synchronous. */
async function replicationIsMissing(name: string, standbys: number): Promise<string | { members: Member[] }> {
  try {
    const { members } = await observe(name);
    const primaries = members.filter((member) => member.role === 'primary').length;
    const streaming = members.filter((member) => member.role === 'standby' && member.state === 'streaming');
    if (primaries !== 1) return `${primaries} primaries (needed: 1)`;
    if (streaming.length < standbys) return `${streaming.length} of ${standbys} standbys are streaming`;
    if (!streaming.some((member) => member.sync === 'sync' || member.sync === 'quorum'))
      return 'no standby is synchronous';
    return { members };
  } catch (error) {
    return (error as Error).message;
  }
}

function screenFor(cli: Cli): Screen {
  if (cli.quiet) return noScreen;
  if (cli.format !== 'text') return appendScreen(cli.io.stderr);
  return cli.io.stdout.isTTY === true && cli.io.env.TERM !== 'dumb'
    ? terminalScreen(cli.io.stdout)
    : appendScreen(cli.io.stdout);
}
