import type { Check } from '../check';
import { logs } from '../commands';
import { Checklist } from '../switchover/checklist';
import { engineCommand, engineStatus } from './commands';
import {
  activeEngines,
  engineAnswers,
  inService,
  serverOf,
  type AnsweringEngine,
  type ObservedEngine,
  type ObservedEngines,
} from './observed';
import { checkAnswers, checkServers } from './systems';

/** What a runbook of the engines does: hands over, takes one engine out of service, or puts it back. */
export type EngineRunbookKind = 'switchover' | 'drain' | 'ready';

/** What is asked of it. */
export interface EngineQuestion {
  kind: EngineRunbookKind;
  /** `switchover`: the engine to become active. `drain`, `ready`: the engine meant. */
  node?: string;
  /** Refuse unless this engine is the active one (A1). */
  expectedActive?: string;
}

/** What will be done, once no check refuses. */
export interface EngineDecision {
  checks: Check[];
  /** The engine that takes orders now; absent when none does, or more than one says so. */
  source?: string;
  /** Who takes orders afterwards; the source itself where nothing is handed over. */
  target?: string;
  /** `drain`, `ready`: the engine that it is about. */
  node?: string;
  /** The epoch before. */
  epoch: number;
  /** What was asked for is so already. */
  alreadyDone: boolean;
}

/** Decides what a runbook of the engines would do. Pure. */
export function decideEngines(observed: ObservedEngines, question: EngineQuestion): EngineDecision {
  const list = new Checklist();
  const { kind, node } = question;
  const names = observed.engines.map(({ name }) => name);
  const known = node === undefined || names.includes(node);
  if (node !== undefined)
    list.require('A1', known, {
      says: `${node} is an engine of the cluster`,
      refusal: `${node} is no engine of the cluster`,
      measured: `the engines are ${names.join(', ')}`,
      limit: 'one of them',
      next: engineStatus(observed.cluster),
    });
  const decision: EngineDecision = { checks: list.checks, epoch: 0, alreadyDone: false };
  if (!known) return decision;
  const engine = observed.engines.find(({ name }) => name === node);
  if (kind === 'ready') return decideReady(list, observed, decision, question);

  const source = checkActive(list, observed, question);
  if (source === undefined) {
    checkAnswers(list, observed, node === undefined ? [] : [node]);
    return decision;
  }
  decision.source = source.name;
  decision.epoch = source.health.epoch;
  if (kind === 'drain') {
    decision.node = node;
    if (engine === undefined) return missing(list, decision, observed, 'drain');
    if (engine.name !== source.name) {
      checkAnswers(list, observed, [engine.name]);
      checkServers(list, observed, source.name);
      decision.target = source.name;
      decision.alreadyDone = isDrained(observed, engine);
      return decision;
    }
  }
  return decideHandover(list, observed, decision, source, kind === 'switchover' ? node : undefined);
}

/** The lock goes from the active engine to another one. */
function decideHandover(
  list: Checklist,
  observed: ObservedEngines,
  decision: EngineDecision,
  source: AnsweringEngine,
  wanted: string | undefined,
): EngineDecision {
  if (wanted === source.name) {
    decision.target = source.name;
    decision.alreadyDone = true;
    return decision;
  }
  const others = observed.engines.filter(({ name }) => name !== source.name);
  const able = (engine: ObservedEngine) => engineAnswers(engine) && engine.health.able && !engine.health.drained;
  const target = others.find(({ name }) => name === wanted) ?? others.find(able) ?? others[0];
  if (
    !list.require('A2', target !== undefined, {
      says: 'there is an engine to hand over to',
      refusal: 'there is no engine to hand over to',
      measured: `${source.name} is the only engine of the topology`,
      limit: 'at least one other engine',
      next: engineStatus(observed.cluster),
    }) ||
    target === undefined
  )
    return decision;
  decision.target = target.name;
  checkAnswers(list, observed, [source.name, target.name]);
  if (engineAnswers(target)) checkAble(list, observed, target);
  checkEpochs(list, observed, source);
  checkServers(list, observed, target.name);
  checkDoor(list, observed, source);
  return decision;
}

function decideReady(
  list: Checklist,
  observed: ObservedEngines,
  decision: EngineDecision,
  { node }: EngineQuestion,
): EngineDecision {
  const engine = observed.engines.find(({ name }) => name === node);
  decision.node = node;
  const [active] = activeEngines(observed);
  decision.epoch = active?.health.epoch ?? 0;
  if (active !== undefined) decision.source = active.name;
  decision.target = active?.name ?? node;
  if (engine === undefined) return missing(list, decision, observed, 'ready');
  checkAnswers(list, observed, [engine.name]);
  const server = serverOf(observed, engine.name);
  decision.alreadyDone = engineAnswers(engine) && !engine.health.drained && server !== undefined && inService(server);
  return decision;
}

function missing(
  list: Checklist,
  decision: EngineDecision,
  observed: ObservedEngines,
  kind: 'drain' | 'ready',
): EngineDecision {
  list.require('A1', false, {
    says: 'the request names an engine',
    refusal: 'the request names no engine',
    measured: `the engines are ${observed.engines.map(({ name }) => name).join(', ')}`,
    limit: 'one of them',
    next: engineCommand(kind, observed.cluster, observed.engines[0]?.name),
  });
  return decision;
}

/** Out of service: the engine says so itself, and HAProxy sends it nothing. */
export function isDrained(observed: ObservedEngines, engine: ObservedEngine): boolean {
  return engineAnswers(engine) && engine.health.drained && serverOf(observed, engine.name)?.admin === 'drain';
}

/** L4, A1: exactly one engine is active, and the expected one. */
function checkActive(
  list: Checklist,
  observed: ObservedEngines,
  { expectedActive }: EngineQuestion,
): AnsweringEngine | undefined {
  const active = activeEngines(observed);
  const [source] = active;
  const one = list.require('L4', active.length === 1, {
    says: 'exactly one engine is active',
    refusal: active.length === 0 ? 'no engine is active' : `${active.length} engines say that they are active`,
    measured:
      active.length === 0
        ? observed.engines.map(wordsOf).join('; ')
        : active.map(({ name, health }) => `${name} in epoch ${health.epoch}`).join(', '),
    limit: 'one',
    next:
      active.length === 0
        ? (observed.engines.map((engine) => logs(engine.name))[0] ?? engineStatus(observed.cluster))
        : engineStatus(observed.cluster),
  });
  if (!one || source === undefined) return undefined;
  if (expectedActive !== undefined)
    list.require('A1', source.name === expectedActive, {
      says: `${expectedActive} is the active engine`,
      refusal: `${expectedActive} is not the active engine`,
      measured: `${source.name} is`,
      limit: 'the one that the request expects',
      next: engineStatus(observed.cluster),
    });
  return source;
}

const wordsOf = (engine: ObservedEngine): string =>
  engine.health === null
    ? `${engine.name}: ${engine.error ?? engine.container.status}`
    : `${engine.name}: ${engine.health.role}, ${engine.health.status}${engine.health.why === undefined ? '' : ` (${engine.health.why})`}`;

/** L5: the engine that takes over is in a state to. */
function checkAble(list: Checklist, observed: ObservedEngines, target: AnsweringEngine): void {
  const { name, health } = target;
  list.require('L5', !health.drained, {
    says: `${name} is in service`,
    refusal: `${name} is drained`,
    measured: 'it takes no lock while it is',
    limit: 'not drained',
    next: engineCommand('ready', observed.cluster, name),
  });
  // A drained engine says unhealthy too: that would be the same finding twice.
  if (health.drained) return;
  list.require('L5', health.able, {
    says: `${name} can take over`,
    refusal: `${name} can not take over`,
    measured: wordsOf(target),
    limit: 'its health answers 200',
    next: logs(name),
  });
}

/** L4: nobody has seen a later epoch than the active engine's, which would mean that it can write nothing any more. */
function checkEpochs(list: Checklist, observed: ObservedEngines, source: AnsweringEngine): void {
  const seen = observed.engines.filter(engineAnswers);
  const highest = Math.max(...seen.map(({ health }) => health.epoch));
  list.require('L4', source.health.epoch >= highest, {
    says: `the epoch of ${source.name} is the latest`,
    refusal: `${source.name} is active in an old epoch`,
    measured: seen.map(({ name, health }) => `${name} ${health.epoch}`).join(', '),
    limit: `at least ${highest}`,
    next: engineStatus(observed.cluster),
  });
}

/** L5: clients reach the active engine now. */
function checkDoor(list: Checklist, observed: ObservedEngines, source: AnsweringEngine): void {
  const { door } = observed;
  list.require('L5', door.node === source.name, {
    says: `the front door leads to ${source.name}`,
    refusal: `the front door does not lead to ${source.name}`,
    measured: door.node === null ? (door.error ?? 'no answer') : `${door.node} answered`,
    limit: 'the active engine answers there',
    next: engineStatus(observed.cluster),
  });
}
