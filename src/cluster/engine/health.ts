import type { Check } from '../check';
import { logs } from '../commands';
import { Checklist } from '../switchover/checklist';
import { engineCommand, runtimeCommand } from './commands';
import { activeEngines, engineAnswers, serverOf, type ObservedEngines } from './observed';
import { checkAnswers, checkServers } from './systems';

/**
 * What is not as it should be now, each with the command to run next: what refuses makes the engines unhealthy, what warns is worth
 * knowing. Empty when all is well. Pure.
 */
export function engineFindings(observed: ObservedEngines): Check[] {
  const list = new Checklist();
  checkAnswers(
    list,
    observed,
    observed.engines.map(({ name }) => name),
  );
  const active = activeEngines(observed);
  const answering = observed.engines.filter(engineAnswers);
  // Where none answers, that is what is wrong.
  if (answering.length > 0)
    list.require('L4', active.length === 1, {
      says: 'exactly one engine is active',
      refusal: active.length === 0 ? 'no engine is active' : `${active.length} engines say that they are active`,
      measured: active.map(({ name, health }) => `${name} in epoch ${health.epoch}`).join(', ') || 'none',
      limit: 'one',
      next: logs(answering[0]?.name ?? ''),
    });
  for (const engine of answering) {
    const { name, health } = engine;
    const server = serverOf(observed, name);
    list.advise('L5', !health.drained, {
      says: `${name} is in service`,
      refusal: `${name} is drained`,
      measured: 'it takes no orders and no lock',
      limit: 'not drained',
      next: engineCommand('ready', observed.cluster, name),
    });
    if (health.drained) continue;
    list.require('L5', health.able, {
      says: `${name} can serve or take over`,
      refusal: `${name} can neither serve nor take over`,
      measured: health.why ?? health.status,
      limit: 'its health answers 200',
      next: logs(name),
    });
    list.require('L5', server === undefined || server.admin !== 'drain', {
      says: `HAProxy sends requests to ${name} when it is ready`,
      refusal: `HAProxy has ${name} drained, and the engine does not know`,
      measured: `its administrative state is drain`,
      limit: 'ready',
      next: runtimeCommand(observed.proxy.name, `set server ${observed.backend}/${name} state ready`),
    });
  }
  checkServers(list, observed);
  const [first] = active;
  // A front door that does not run is told already, with the command that starts it.
  const stands = observed.proxy.servers !== null || observed.proxy.container.running;
  if (active.length === 1 && first !== undefined && stands)
    list.require('L5', observed.door.node === first.name, {
      says: `the front door leads to ${first.name}`,
      refusal: `the front door does not lead to ${first.name}`,
      measured: observed.door.node === null ? (observed.door.error ?? 'no answer') : `${observed.door.node} answered`,
      limit: 'the active engine answers there',
      next: runtimeCommand(observed.proxy.name, `show servers state ${observed.backend}`),
    });
  return list.checks.filter(({ result }) => result === 'refuse' || result === 'warn');
}
