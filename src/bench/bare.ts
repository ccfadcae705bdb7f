import { createActivities, type MoveRequest } from '../activities';
import { decideSwitchover } from '../cluster/switchover/decide';
import type { Protection } from '../cluster/topology';
import { selectCluster } from '../cluster/topology';
import { createDockerClient } from '../systems/docker';
import { loadTopology } from '../systems/topology-file';

/** What the bare sequence prints, as one line of JSON. */
export interface BareResult {
  source: string;
  target: string;
  heldMs: number | null;
  protectedAgainMs: number;
  totalMs: number;
  steps: Record<string, number>;
}

/** The same activities in the same order, called by a plain program: what a switchover costs without Temporal. */
async function bareSwitchover(protection: Protection): Promise<BareResult> {
  const topology = loadTopology();
  const selected = selectCluster(topology);
  if ('error' in selected) throw new Error(selected.error);
  const activities = createActivities({
    topology,
    identity: 'bare',
    docker: createDockerClient(topology.docker?.socketPath),
    environment: process.env,
    handoverCost: () => undefined,
    lockHolder: () => Promise.resolve(undefined),
  });
  const steps: Record<string, number> = {};
  const startedAt = Date.now();
  const timed = async <T>(id: string, body: () => Promise<T>): Promise<T> => {
    const began = performance.now();
    const result = await body();
    steps[id] = Math.round(performance.now() - began);
    return result;
  };
  const observed = await timed('observe', () => activities.observe(selected.name));
  const { limits } = selected.cluster;
  const decision = decideSwitchover(selected.cluster, observed, { protection, pauseLimitMs: limits.pause });
  const refused = decision.checks.find((check) => check.result === 'refuse');
  if (refused !== undefined || decision.source === undefined || decision.target === undefined) {
    throw new Error(`refused: ${refused?.id} ${refused?.says}: ${refused?.measured}`);
  }
  const move: MoveRequest = {
    cluster: selected.name,
    run: `bare/${process.pid}/${startedAt}`,
    source: decision.source,
    target: decision.target,
    others: decision.others,
    heldUp: decision.heldUp,
    protection,
    holdLimitMs: limits.hold,
    pauseLimitMs: limits.pause,
    timeline: observed.nodes.find((node) => node.name === decision.source)?.sql?.timeline ?? 0,
  };
  await timed('prepare', () => activities.prepareMove(move));
  await timed('checkpoint', () => activities.checkpointNodes(move));
  const moved = await timed('move', () => activities.movePrimary(move));
  for (const part of moved.subSteps) steps[`move.${part.id}`] = part.ms;
  const settled = await timed('settle', () => activities.settleMove(move));
  await timed('verify', () => activities.verifyMove(move, 0));
  await activities.releaseNodes(move);
  return {
    source: move.source,
    target: move.target,
    heldMs: moved.heldMs,
    protectedAgainMs: settled.protectedAt - startedAt,
    totalMs: Date.now() - startedAt,
    steps,
  };
}

bareSwitchover(process.argv[2] === 'fast' ? 'fast' : 'zero-loss').then(
  (result) => {
    process.stdout.write(`${JSON.stringify(result)}\n`);
    process.exit(0);
  },
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);
