import { setTimeout as sleep } from 'node:timers/promises';
import { exitCodes } from '../../failures';
import { formatMs } from '../../cluster/duration';
import { stackText, type StackContainer } from '../../report/stack';
import { clusterText } from '../../report/status';
import { createDockerClient, type DockerClient } from '../../systems/docker';
import { Problem } from '../../systems/problem';
import { loadTopology } from '../../systems/topology-file';
import type { Member } from '../../workflows/run-state';
import { askLine } from '../ask';
import { composeArguments, COMPOSE_PROJECT, runCompose } from '../compose';
import { clusterName, withTemporal } from '../context';
import { TemporalGuard } from '../guard-source';
import { isInteractive, print, printDocument, say, type Cli } from '../io';
import { observe } from '../observe';
import { whoami } from '../who';
import { appendScreen, noScreen, terminalScreen, type Screen } from '../screen';

const LOOK_EVERY_MS = 500;
/** How long a guard may take to say that it is there. */
const GUARD_LIMIT_MS = 2000;
const DEFAULT_TIMEOUT_MS = 180_000;

/** `stack up`: starts the stack, and waits until it is healthy and replicates synchronously. */
export async function stackUp(cli: Cli, options: { standbys: 1 | 2; timeout?: number }): Promise<number> {
  const began = cli.io.now();
  const name = clusterName(cli, undefined);
  await runCompose(cli, composeArguments(options.standbys, ['up', '-d']));
  const members = await waitForStack(cli, name, {
    standbys: options.standbys,
    timeout: options.timeout ?? DEFAULT_TIMEOUT_MS,
  });
  const took = cli.io.now() - began;
  if (cli.format === 'json' || cli.format === 'jsonl')
    printDocument(cli, { version: 1, stack: { project: COMPOSE_PROJECT, tookMs: took, members } });
  else {
    const { colour, glyphs } = cli.style;
    say(
      cli,
      `${colour.green(glyphs.done)} The stack is up, healthy and replicating synchronously (${formatMs(took)}).\n`,
    );
    say(cli, clusterText({ name, members, findings: [] }, cli.style));
  }
  return exitCodes.ok;
}

/** `stack down`: stops and removes the containers and the network. The data stays. */
export async function stackDown(cli: Cli): Promise<number> {
  await stopGuard(cli);
  await runCompose(cli, composeArguments(2, ['down']));
  done(cli, 'down', 'The stack is down. Its data is kept in its volumes.', 'veloz-ha stack up');
  return exitCodes.ok;
}

/** `stack reset`: the same, and removes the volumes of this project, after a question. */
export async function stackReset(cli: Cli, options: { yes?: boolean }): Promise<number> {
  if (options.yes !== true) {
    if (!isInteractive(cli)) {
      throw new Problem('BadInput', 'nobody can be asked here', {
        why: 'reset deletes all data of the stack',
        next: 'veloz-ha stack reset --yes',
      });
    }
    const { colour, glyphs } = cli.style;
    print(
      cli,
      `${colour.red(glyphs.warning)} This deletes the containers and every volume of the project ${colour.bold(COMPOSE_PROJECT)}: all databases in them.`,
    );
    const answer = await askLine(cli, `Type ${colour.bold(COMPOSE_PROJECT)} to go on: `);
    if (answer !== COMPOSE_PROJECT) {
      throw new Problem('Rejected', 'nothing was deleted', {
        why: answer === undefined ? 'the question was interrupted' : `the answer was "${answer}"`,
      });
    }
  }
  await stopGuard(cli);
  await runCompose(cli, composeArguments(2, ['down', '--volumes']));
  done(cli, 'reset', 'The stack and its data are gone.', 'veloz-ha stack up');
  return exitCodes.ok;
}

/** A guard would take the end of the containers for a failure, and what it knows is not true of other databases. */
async function stopGuard(cli: Cli): Promise<void> {
  const cluster = clusterName(cli, undefined);
  try {
    await withTemporal(cli, async (temporal) => {
      const guard = new TemporalGuard(temporal, cluster, cli.io.env);
      const { kind } = await guard.look(GUARD_LIMIT_MS);
      if (kind === 'nobody') return;
      if (kind === 'guards') await guard.stop({ by: whoami(cli.io.env), why: 'the stack is taken down' });
      cli.io.stderr.write(
        kind === 'guards'
          ? `The guard of ${cluster} was stopped. Start it again: veloz-ha guard start\n`
          : `The guard of ${cluster} does not answer: it goes on when it has a worker. Next: veloz-ha guard stop\n`,
      );
    });
  } catch (error) {
    // Without Temporal, or without a worker, no guard acts.
    if (!(error instanceof Problem)) throw error;
  }
}

/** `stack logs`: the containers' logs. */
export async function stackLogs(
  cli: Cli,
  options: { follow?: boolean; tail?: number },
  services: string[],
): Promise<number> {
  const args = [
    'logs',
    ...(options.follow === true ? ['--follow'] : []),
    ...(options.tail === undefined ? [] : ['--tail', String(options.tail)]),
  ];
  // Containers are what people know; services are what Compose knows.
  await runCompose(cli, composeArguments(2, [...args, ...services.map((name) => name.replace(/^veloz-/, ''))]), {
    output: 'stdout',
  });
  return exitCodes.ok;
}

async function waitForStack(cli: Cli, name: string, options: { standbys: 1 | 2; timeout: number }): Promise<Member[]> {
  const topology = loadTopology(cli.io.env);
  const cluster = topology.clusters[name];
  const docker = createDockerClient(topology.docker?.socketPath);
  const postgres = cluster?.postgres.nodes.filter((node) => !node.optional || options.standbys === 2) ?? [];
  const names = [...postgres, ...(cluster?.pgbouncer.nodes ?? [])].map((node) => node.name);
  const began = cli.io.now();
  const screen = screenFor(cli);
  const style = cli.format === 'text' ? cli.style : cli.errStyle;
  const told = new Set<string>();
  try {
    for (let tick = 0; ; tick += 1) {
      const containers = await Promise.all(names.map((container) => look(docker, container)));
      const healthy = containers.every((container) => container.state === 'healthy');
      const wait = healthy ? await replicationIsMissing(name, postgres.length - 1) : undefined;
      if (healthy && typeof wait === 'object') return wait.members;
      const fresh = containers.filter((container) => !told.has(`${container.name} ${container.state}`));
      for (const container of fresh) told.add(`${container.name} ${container.state}`);
      if (!screen.redraws) screen.keep(fresh.map((container) => `${container.name}: ${container.state}`));
      screen.live(
        stackText(containers, typeof wait === 'string' ? wait : undefined, { now: cli.io.now(), began, tick }, style),
      );
      if (cli.io.now() - began > options.timeout) {
        const ill = containers.find((container) => container.state !== 'healthy');
        throw new Problem('SetUp', `the stack was not ready within ${formatMs(options.timeout)}`, {
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

function done(cli: Cli, did: string, says: string, next: string): void {
  if (cli.format === 'json' || cli.format === 'jsonl') {
    printDocument(cli, { version: 1, stack: { project: COMPOSE_PROJECT, did } });
    return;
  }
  const { colour, glyphs } = cli.style;
  say(cli, `${colour.green(glyphs.done)} ${says}\n  ${colour.dim('Next')}  ${colour.cyan(next)}`);
}
