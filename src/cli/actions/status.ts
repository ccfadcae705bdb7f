import { exitCodes } from '../../failures';
import { problemSentence } from '../../cluster/check';
import { SLOW_HANDOVER_MS } from '../../cluster/handover';
import { guardPart, type GuardPart } from '../../report/guard';
import {
  slowHandoverHint,
  statusText,
  type ClusterPicture,
  type Finding,
  type StatusDocument,
} from '../../report/status';
import { tradingHints, tradingProblems, type TradingPicture } from '../../report/trading';
import { Problem } from '../../systems/problem';
import { loadTopology } from '../../systems/topology-file';
import { connectTemporal, pollers, temporalConfig, type TemporalClient } from '../../systems/temporal';
import { HANDOVER_PROBE_ID, type HandoverCost } from '../../workflows/messages';
import { clusterName } from '../context';
import { toProblem } from '../errors';
import { TemporalGuard } from '../guard-source';
import { print, printDocument, type Cli } from '../io';
import { uiBase } from '../links';
import { observe } from '../observe';
import { listRuns } from '../runs-list';
import { observeTrading } from '../trading';

/** How long the guard may take to answer: `status` is asked when things are bad, and must not hang then. */
const GUARD_LIMIT_MS = 1_500;

/** `status`: Temporal, workers, the price of a hand-over, the cluster in all its tiers, open runs. */
export async function status(cli: Cli, options: { cluster?: string }): Promise<number> {
  const found = await collect(cli, options.cluster);
  if (cli.format === 'json' || cli.format === 'jsonl') printDocument(cli, found);
  else if (cli.quiet)
    print(cli, found.healthy ? 'healthy' : `unhealthy: ${found.problems.map((problem) => problem.says).join('; ')}`);
  else print(cli, statusText(found, cli.io.now(), cli.style));
  return found.healthy ? exitCodes.ok : exitCodes.unhealthy;
}

/** Looks at everything at once; what does not answer becomes a problem of the document and not an error. */
async function collect(cli: Cli, requested: string | undefined): Promise<StatusDocument> {
  const problems: Finding[] = [];
  const hints: Finding[] = [];
  const name = clusterName(cli, requested);
  const [temporal, cluster, trading] = await Promise.all([
    temporalPart(cli, name, problems, hints),
    clusterPart(name, problems),
    tradingPart(cli, name),
  ]);
  problems.push(...tradingProblems(trading));
  hints.push(...tradingHints(trading));
  return {
    version: 1,
    healthy: problems.length === 0,
    ...temporal,
    ...(cluster === undefined ? {} : { cluster }),
    ...trading,
    problems,
    hints,
  };
}

async function temporalPart(
  cli: Cli,
  cluster: string,
  problems: Finding[],
  hints: Finding[],
): Promise<Pick<StatusDocument, 'temporal' | 'workers' | 'handover' | 'runs'> & GuardPart> {
  const config = temporalConfig(cli.io.env);
  const where = { address: config.address, namespace: config.namespace, ui: uiBase(cli.io.env) };
  let temporal: TemporalClient;
  try {
    temporal = await connectTemporal(config, 3_000);
  } catch (error) {
    const problem = toProblem(error);
    problems.push({
      says: `${problem.message}: nothing can be switched over, and nothing fails over by itself`,
      next: problem.detail.next ?? 'veloz-ha temporal',
    });
    return {
      temporal: { ...where, reachable: false, why: problem.detail.why },
      workers: [],
      runs: [],
      guard: null,
    };
  }
  try {
    const [workers, handover, open, guard] = await Promise.all([
      pollers(temporal).catch((error: unknown) => note(problems, error, [])),
      handoverCost(temporal),
      listRuns(temporal, { limit: 20, openOnly: true }).catch((error: unknown) => note(problems, error, [])),
      new TemporalGuard(temporal, cluster, cli.io.env).look(GUARD_LIMIT_MS),
    ]);
    if (workers.length === 0 && problems.length === 0) {
      problems.push({
        says: 'no worker polls the task queue (needed: 1): nothing can be switched over, and nothing fails over by itself',
        next: 'veloz-ha worker',
      });
    }
    if (handover?.slow === true) hints.push(slowHandoverHint(handover));
    return {
      temporal: { ...where, reachable: true },
      workers,
      ...(handover === undefined ? {} : { handover }),
      runs: open,
      ...guardPart(guard),
    };
  } finally {
    await temporal.connection.close().catch(() => undefined);
  }
}

/** The latest measurement that a worker has left; undefined when there is none. */
async function handoverCost(temporal: TemporalClient): Promise<StatusDocument['handover']> {
  try {
    const handle = temporal.client.workflow.getHandle(HANDOVER_PROBE_ID);
    const description = await handle.describe();
    if (description.status.name !== 'COMPLETED') return undefined;
    const cost = (await handle.result()) as HandoverCost;
    return { ...cost, slow: cost.minMs > SLOW_HANDOVER_MS };
  } catch {
    // Not measured yet, or measured longer ago than the server keeps: status says so.
    return undefined;
  }
}

async function clusterPart(name: string, problems: Finding[]): Promise<ClusterPicture | undefined> {
  try {
    const { members, findings } = await observe(name);
    for (const finding of findings.filter((check) => check.result === 'refuse')) {
      problems.push({
        says: problemSentence(finding),
        next: finding.next ?? 'veloz-ha postgres status',
      });
    }
    return { name, members, findings };
  } catch (error) {
    // A mistake of whoever typed the command is no state of the cluster.
    if (error instanceof Problem && error.type === 'BadInput') throw error;
    return note(problems, error, undefined);
  }
}

/** Redis, engines and HAProxy; nothing where the topology has none, or is wrong, which the cluster's part says. */
async function tradingPart(cli: Cli, name: string): Promise<TradingPicture> {
  const { clusters } = loadTopology(cli.io.env);
  const cluster = Object.hasOwn(clusters, name) ? clusters[name] : undefined;
  return cluster === undefined ? {} : observeTrading(name, cluster, cli.io.env);
}

/** Keeps an error as a problem and goes on with a value in its place. */
function note<T>(problems: Finding[], error: unknown, instead: T): T {
  const problem = toProblem(error);
  problems.push({
    says: problem.detail.why === undefined ? problem.message : `${problem.message}: ${problem.detail.why}`,
    next: problem.detail.next ?? 'run it again with -v',
  });
  return instead;
}
