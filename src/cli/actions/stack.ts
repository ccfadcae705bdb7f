import { WorkflowNotFoundError } from '@temporalio/client';
import { guardCommand } from '../../cluster/commands';
import { exitCodes } from '../../failures';
import { formatMs } from '../../cluster/duration';
import { clusterText } from '../../report/status';
import { tradingSections } from '../../report/trading';
import { sweepMarks } from '../../systems/cut-off-marks';
import { composeContainers } from '../../systems/compose-containers';
import { createDockerClient, dockerEngine } from '../../systems/docker';
import { Problem } from '../../systems/problem';
import { innermost, type TemporalClient } from '../../systems/temporal';
import { shippedSecretsHint } from '../../systems/shipped-secrets';
import { loadTopology } from '../../systems/topology-file';
import type { RunRow } from '../../report/runs';
import { listRuns } from '../runs-list';
import { askLine } from '../ask';
import { composeArguments, COMPOSE_PROJECT, postgresServices, runCompose } from '../compose';
import { clusterName, withTemporal } from '../context';
import { TemporalGuard } from '../guard-source';
import { isInteractive, print, printDocument, say, type Cli } from '../io';
import { hashesIn, leftNotes, NOTHING_LEFT, planUp, type Left } from '../stack-left';
import { waitForStack } from '../stack-wait';
import { schedulesOfRunbooks } from '../unbegun-runs';
import { whoami } from '../who';

/** How long a guard may take to say that it is there. */
const GUARD_LIMIT_MS = 2000;
/** More runs than this are never open in one namespace at a time. */
const OPEN_RUNS_LIMIT = 1000;
const DEFAULT_TIMEOUT_MS = 180_000;

interface UpOptions {
  standbys: 1 | 2;
  only?: 'postgres';
  recreate?: boolean;
  timeout?: number;
}

/** `stack up`: starts the stack, and waits until it is healthy, replicates synchronously, and takes orders. */
export async function stackUp(cli: Cli, options: UpOptions): Promise<number> {
  const began = cli.io.now();
  const name = clusterName(cli, undefined);
  const { standbys } = options;
  const whole = options.only === undefined;
  const left = await bringUp(cli, options, whole ? undefined : postgresServices(standbys));
  for (const note of leftNotes(left)) cli.io.stderr.write(`Note: ${note}\n`);
  await sweep(cli);
  const ready = await waitForStack(cli, name, { standbys, whole, timeout: options.timeout ?? DEFAULT_TIMEOUT_MS });
  const took = cli.io.now() - began;
  const cluster = loadTopology(cli.io.env).clusters[name];
  const known = cluster === undefined ? undefined : shippedSecretsHint(cluster, cli.io.env);
  if (known !== undefined) cli.io.stderr.write(`Note: ${known.says}. Next: ${known.next}\n`);
  const { members, trading } = ready;
  if (cli.format === 'json' || cli.format === 'jsonl') {
    const { redis, engines } = trading;
    printDocument(cli, {
      version: 1,
      stack: { project: COMPOSE_PROJECT, tookMs: took, left, members, redis, engines },
    });
    return exitCodes.ok;
  }
  const { colour, glyphs } = cli.style;
  const active = trading.engines?.members.find(({ role }) => role === 'active')?.name;
  const what = active === undefined ? 'PostgreSQL and PgBouncer are' : 'The stack is';
  const takes = active === undefined ? '' : `; ${active} takes orders`;
  say(
    cli,
    `${colour.green(glyphs.done)} ${what} up, healthy and replicating synchronously${takes} (${formatMs(took)}).\n`,
  );
  const sections = [clusterText({ name, members, findings: [] }, cli.style), ...tradingSections(trading, cli.style)];
  say(cli, sections.join('\n\n'));
  return exitCodes.ok;
}

/**
 * Has Compose make and start what does not run. What runs goes on: made anew all at once, after an image was built, the stack would be
 * down.
 * @returns what runs otherwise than it would be made now
 */
async function bringUp(cli: Cli, { standbys, recreate }: UpOptions, only: string[] | undefined): Promise<Left> {
  const up = (services: readonly string[]) => runCompose(cli, composeArguments(standbys, ['up', '-d', ...services]));
  const containers = recreate === true ? [] : await standing(cli);
  if (!containers.some(({ stands }) => stands)) {
    await up(only ?? []);
    return NOTHING_LEFT;
  }
  let hashes = '';
  const onOutput = (text: string) => (hashes += text);
  await runCompose(cli, composeArguments(standbys, ['config', '--hash', '*']), { onOutput });
  const { services, left } = planUp(containers, hashesIn(hashes), only);
  if (services.length > 0) await up(services);
  return left;
}

async function standing(cli: Cli): ReturnType<typeof composeContainers> {
  try {
    return await composeContainers(dockerEngine(loadTopology(cli.io.env).docker?.socketPath), COMPOSE_PROJECT);
  } catch (error) {
    throw new Problem('SetUp', 'the Docker engine does not answer', {
      why: innermost(error),
      next: 'npm run setup',
      cause: error,
    });
  }
}

/** `stack down`: stops and removes the containers and the network. The data stays. */
export async function stackDown(cli: Cli): Promise<number> {
  await stopGuard(cli);
  await openRunsOf(cli, async (_temporal, open) => {
    for (const { workflowId, runbook } of open)
      cli.io.stderr.write(
        `The ${runbook} ${workflowId} is open and goes on when the stack is up. Next: veloz-ha abort ${workflowId}\n`,
      );
    return Promise.resolve();
  });
  await runCompose(cli, composeArguments(2, ['down']));
  await sweep(cli);
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
  await endRuns(cli);
  await runCompose(cli, composeArguments(2, ['down', '--volumes']));
  await sweep(cli);
  done(cli, 'reset', 'The stack and its data are gone.', 'veloz-ha stack up');
  return exitCodes.ok;
}

/** Nobody needs to know any more which containers that are gone a run had taken off their networks. */
async function sweep(cli: Cli): Promise<void> {
  const docker = createDockerClient(loadTopology(cli.io.env).docker?.socketPath);
  await sweepMarks(docker).catch((error: unknown) => {
    cli.io.stderr.write(
      `Volumes named veloz-cut-off-… may be left of containers that are gone: ${(error as Error).message}. They do no harm. Next: docker volume ls --filter label=io.veloz.cut-off\n`,
    );
  });
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
          ? `The guard of ${cluster} was stopped. Start it again: ${guardCommand('start', cluster)}\n`
          : `The guard of ${cluster} does not answer: it goes on when it has a worker. Next: ${guardCommand('stop', cluster)}\n`,
      );
    });
  } catch (error) {
    // Without Temporal, or without a worker, no guard acts.
    if (!(error instanceof Problem)) throw error;
  }
}

/**
 * Ends every open run of the cluster: what they would go on with is about to be gone, and each would do its next step, or hold the
 * lock, in a stack that it knows nothing of. A guard that gave no answer is one of them.
 */
async function endRuns(cli: Cli): Promise<void> {
  await openRunsOf(cli, async (temporal, open) => {
    const reason = `the stack was reset by ${whoami(cli.io.env)}: its databases are gone`;
    for (const { workflowId, runbook } of open) {
      // Whoever ends meanwhile, as the child of one that was ended, has ended.
      const ended = await temporal.client.workflow
        .getHandle(workflowId)
        .terminate(reason)
        .then(
          () => true,
          (error: unknown) => (error instanceof WorkflowNotFoundError ? true : innermost(error)),
        );
      cli.io.stderr.write(
        ended === true
          ? `The ${runbook} ${workflowId} was open and is terminated.\n`
          : `The ${runbook} ${workflowId} is open and could not be terminated: ${ended}. Next: temporal workflow terminate --workflow-id ${workflowId}\n`,
      );
    }
    // They are not this command's to change; but what they start acts on the next stack.
    for (const { id, starts } of await schedulesOfRunbooks(temporal).catch(() => []))
      cli.io.stderr.write(
        `The schedule ${id} starts ${starts}, also on the next stack. Next: temporal schedule toggle --pause --schedule-id ${id}\n`,
      );
  });
}

/** The open runs of the cluster, where Temporal can be reached; where not, that is told. */
async function openRunsOf(cli: Cli, use: (temporal: TemporalClient, open: RunRow[]) => Promise<void>): Promise<void> {
  const cluster = clusterName(cli, undefined);
  try {
    await withTemporal(cli, async (temporal) => {
      const open = await listRuns(temporal, { limit: OPEN_RUNS_LIMIT, openOnly: true, guards: true });
      await use(
        temporal,
        // One that no worker has begun may name no cluster: it is of the default one, as this stack is.
        open.filter((run) => run.cluster === cluster || run.cluster === ''),
      );
    });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    cli.io.stderr.write(
      `Runs of ${cluster} that may be open are left alone: ${error.message}. A run that is open goes on with the next stack. Next: veloz-ha runs --open\n`,
    );
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

function done(cli: Cli, did: string, says: string, next: string): void {
  if (cli.format === 'json' || cli.format === 'jsonl') {
    printDocument(cli, { version: 1, stack: { project: COMPOSE_PROJECT, did } });
    return;
  }
  const { colour, glyphs } = cli.style;
  say(cli, `${colour.green(glyphs.done)} ${says}\n  ${colour.dim('Next')}  ${colour.cyan(next)}`);
}
