import { activeEngines, inService, serverOf, type ObservedEngines } from '../../cluster/engine/observed';
import { keepBeating, sleep } from '../context';
import type { ActivityDeps } from '../deps';
import { observeEngines } from './observe';
import { steadyMs } from '../clock';

/** What must be so at the end. */
export interface EngineProof {
  cluster: string;
  /** The engine that takes orders; absent where none is expected to be known. */
  active?: string;
  /** Its epoch is at least this one. */
  epoch: number;
  /** Engines that are out of service. */
  drained?: string[];
}

const LOOKS = 20;
const LOOK_AGAIN_MS = 100;

/**
 * Proves the new state, first once and then for as long as the soak lasts: one active engine, and it is the expected one (L4); the
 * front door leads to it, and HAProxy has it up (L5).
 * @throws Error that says what is not so
 */
export async function verifyEngines(
  deps: ActivityDeps,
  proof: EngineProof,
  soakMs: number,
): Promise<{ detail: string; soakedMs: number }> {
  const started = steadyMs();
  let rounds = 0;
  const stopBeating = keepBeating(() => `soak: ${rounds} rounds, ${steadyMs() - started} of ${soakMs} ms`);
  try {
    let wrong: string | undefined;
    // HAProxy's checks and an engine's own view need a moment; after the first good look nothing may be wrong any more.
    for (let looks = 0; looks < LOOKS; looks++) {
      wrong = whatIsWrong(await observeEngines(deps, proof.cluster), proof);
      if (wrong === undefined) break;
      await sleep(LOOK_AGAIN_MS);
    }
    for (rounds = 1; wrong === undefined && steadyMs() - started < soakMs; rounds++) {
      await sleep(Math.min(250, soakMs));
      wrong = whatIsWrong(await observeEngines(deps, proof.cluster), proof);
    }
    if (wrong !== undefined) throw new Error(wrong);
    const soakedMs = steadyMs() - started;
    const who = proof.active === undefined ? '' : `one active engine, ${proof.active}; the front door leads to it; `;
    return { detail: `${who}${rounds} rounds in ${soakedMs} ms`, soakedMs };
  } finally {
    stopBeating();
  }
}

/** What is not as the proof has it; undefined when all is. */
export function whatIsWrong(observed: ObservedEngines, { active: expected, epoch, drained = [] }: EngineProof) {
  const active = activeEngines(observed);
  const [first] = active;
  for (const name of drained) {
    const engine = observed.engines.find((one) => one.name === name);
    if (engine?.health?.drained !== true) return `${name} is not drained`;
    if (serverOf(observed, name)?.admin !== 'drain') return `HAProxy does not have ${name} drained`;
  }
  if (expected === undefined) return undefined;
  if (active.length !== 1 || first?.name !== expected)
    return `active: ${active.map(({ name }) => name).join(', ') || 'no engine'}; expected ${expected} alone`;
  if (first.health.epoch < epoch)
    return `${expected} is active in epoch ${first.health.epoch}, expected at least ${epoch}`;
  if (!first.ready) return `${expected} is active and takes no orders`;
  const server = serverOf(observed, expected);
  if (server === undefined || !server.up || !inService(server))
    return `HAProxy has ${expected} as ${server === undefined ? 'no server' : server.status}`;
  if (observed.door.node !== expected)
    return `the front door leads to ${observed.door.node ?? `nobody (${observed.door.error ?? 'no answer'})`}, and not to ${expected}`;
  return undefined;
}
