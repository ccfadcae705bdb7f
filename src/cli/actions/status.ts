import { clusterStatus, START_TEMPORAL, START_WORKER } from '../../cluster/commands';
import { exitCodes } from '../../failures';
import { problemSentence } from '../../cluster/check';
import { SLOW_HANDOVER_MS } from '../../cluster/handover';
import { whyWatchesWait } from '../../cluster/guard/watch-slots';
import { guardFindings, guardPart } from '../../report/guard';
import {
  documentOf,
  slowHandoverHint,
  statusText,
  type Finding,
  type StatusDocument,
  type StatusPart,
} from '../../report/status';
import { tradingHints, tradingProblems } from '../../report/trading';
import { Problem } from '../../systems/problem';
import { shippedSecretsHint } from '../../systems/shipped-secrets';
import { loadTopology } from '../../systems/topology-file';
import {
  connectTemporal,
  countGuards,
  pollers,
  runsKeptMs,
  shortRetention,
  temporalConfig,
  type TemporalClient,
} from '../../systems/temporal';
import { HANDOVER_PROBE_ID, type HandoverCost } from '../../workflows/messages';
import { clusterName } from '../context';
import { toProblem } from '../errors';
import { TemporalGuard } from '../guard-source';
import { print, printDocument, type Cli } from '../io';
import { uiBase } from '../links';
import { observe } from '../observe';
import { listRuns } from '../runs-list';
import { watchStatus, type StatusLook } from '../status-watch';
import { observeTrading } from '../trading';

/** What helps where one worker can't carry all watches. */
const TOO_MANY_GUARDS = 'guard some of the clusters by other workers, on a namespace of their own';
/** How long the guard may take to answer: `status` is asked when things are bad, and must not hang then. */
const GUARD_LIMIT_MS = 1_500;

/** `status`: Temporal, workers, the price of a hand-over, the cluster in all its tiers, open runs. */
export async function status(cli: Cli, options: { cluster?: string; watch?: boolean }): Promise<number> {
  const name = clusterName(cli, options.cluster);
  const looks = looksAt(cli, name);
  if (options.watch === true) return watchStatus(cli, looks, name);
  // What does not answer becomes a problem of the document and not an error.
  const found = documentOf(await Promise.all(looks.map((look) => look())));
  if (cli.format === 'json' || cli.format === 'jsonl') printDocument(cli, found);
  else if (cli.quiet)
    print(cli, found.healthy ? 'healthy' : `unhealthy: ${found.problems.map((problem) => problem.says).join('; ')}`);
  else print(cli, statusText(found, cli.io.now(), cli.style));
  return found.healthy ? exitCodes.ok : exitCodes.unhealthy;
}

/** The looks that make up the picture. None waits for another one. */
function looksAt(cli: Cli, name: string): StatusLook[] {
  return [
    () => temporalPart(cli, name),
    () => clusterPart(name),
    () => tradingPart(cli, name),
    () => Promise.resolve(secretsPart(cli, name)),
  ];
}

async function temporalPart(cli: Cli, cluster: string): Promise<StatusPart> {
  const problems: Finding[] = [];
  const config = temporalConfig(cli.io.env);
  const where = { address: config.address, namespace: config.namespace, ui: uiBase(cli.io.env) };
  let temporal: TemporalClient;
  try {
    temporal = await connectTemporal(config, 3_000);
  } catch (error) {
    const problem = toProblem(error);
    return {
      temporal: { ...where, reachable: false, why: problem.detail.why },
      workers: [],
      runs: [],
      guard: null,
      problems: [
        {
          says: `${problem.message}: nothing can be switched over, and nothing fails over by itself`,
          next: problem.detail.next ?? START_TEMPORAL,
        },
      ],
    };
  }
  try {
    const [workers, handover, open, guard, guards, tooShort] = await Promise.all([
      pollers(temporal).catch((error: unknown) => note(problems, error, [])),
      handoverCost(temporal),
      listRuns(temporal, { limit: 20, openOnly: true }).catch((error: unknown) => note(problems, error, [])),
      new TemporalGuard(temporal, cluster, cli.io.env).look(GUARD_LIMIT_MS),
      countGuards(temporal),
      runsKeptMs(temporal.connection, temporal.namespace).then(
        (kept) => shortRetention(kept, temporal.namespace),
        () => undefined,
      ),
    ]);
    if (workers.length === 0 && problems.length === 0) {
      problems.push({
        says: 'no worker polls the task queue (needed: 1): nothing can be switched over, and nothing fails over by itself',
        next: START_WORKER,
      });
    }
    const wait = whyWatchesWait(guards ?? 0);
    const guarded = guardFindings(guard, cluster, cli.io.now());
    // Why nobody answers for the guard is told already.
    const ofGuard = guard.kind === 'silent' && problems.length > 0 ? [] : guarded.hints;
    problems.push(...guarded.problems);
    return {
      temporal: { ...where, reachable: true },
      workers,
      ...(handover === undefined ? {} : { handover }),
      runs: open,
      ...guardPart(guard, cluster),
      problems,
      hints: [
        ...ofGuard,
        ...(handover?.slow === true ? [slowHandoverHint(handover)] : []),
        ...(wait === undefined ? [] : [{ says: wait, next: TOO_MANY_GUARDS }]),
        ...(tooShort === undefined ? [] : [tooShort]),
      ],
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

async function clusterPart(name: string): Promise<StatusPart> {
  try {
    const { members, findings } = await observe(name);
    const problems = findings
      .filter((check) => check.result === 'refuse')
      .map((finding) => ({ says: problemSentence(finding), next: finding.next ?? clusterStatus(name) }));
    return { cluster: { name, members, findings }, problems };
  } catch (error) {
    // A mistake of whoever typed the command is no state of the cluster.
    if (error instanceof Problem && error.type === 'BadInput') throw error;
    const problems: Finding[] = [];
    note(problems, error, undefined);
    return { problems };
  }
}

/** Redis, engines and HAProxy; nothing where the topology has none, or is wrong, which the cluster's part says. */
async function tradingPart(cli: Cli, name: string): Promise<StatusPart> {
  const { clusters } = loadTopology(cli.io.env);
  const cluster = Object.hasOwn(clusters, name) ? clusters[name] : undefined;
  if (cluster === undefined) return {};
  const trading = await observeTrading(name, cluster, cli.io.env);
  return { ...trading, problems: tradingProblems(trading, name), hints: tradingHints(trading) };
}

/** Secrets that everybody knows. The cluster does what it promises with them, so nothing is unhealthy for it. */
function secretsPart(cli: Cli, name: string): StatusPart {
  const { clusters } = loadTopology(cli.io.env);
  const cluster = Object.hasOwn(clusters, name) ? clusters[name] : undefined;
  const hint = cluster === undefined ? undefined : shippedSecretsHint(cluster, cli.io.env);
  return hint === undefined ? {} : { hints: [hint] };
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
