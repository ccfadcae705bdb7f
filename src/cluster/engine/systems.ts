import { logs } from '../commands';
import type { Checklist, CheckWords } from '../switchover/checklist';
import { runtimeCommand } from './commands';
import {
  engineAnswers,
  type ObservedEngine,
  type ObservedEngines,
  type ObservedProxy,
  type ObservedServer,
} from './observed';

/** Checks that ended before anything answered. */
const UNREACHED = /^(?:L4CON|L4TOUT|SOCKERR)/;

interface Silent {
  name: string;
  why: string;
  next: string;
}

function containerProblem(name: string, { exists, running, status, error }: ObservedEngine['container']) {
  if (error !== undefined) return { name, why: error, next: `docker inspect ${name}` };
  if (!exists) return { name, why: 'its container does not exist', next: 'veloz-ha stack up' };
  if (running) return undefined;
  const next = status === 'paused' ? `docker unpause ${name}` : `docker start ${name}`;
  return { name, why: `its container is ${status}`, next };
}

/** Why an engine gives no answer; undefined when it does. */
export function engineSilence(engine: ObservedEngine): Silent | undefined {
  const { name } = engine;
  // An engine may live without Docker: what answers is there.
  if (engine.health !== null) return undefined;
  return containerProblem(name, engine.container) ?? { name, why: engine.error ?? 'no answer', next: logs(name) };
}

function proxySilence(proxy: ObservedProxy): Silent | undefined {
  const { name } = proxy;
  if (proxy.servers !== null) return undefined;
  return containerProblem(name, proxy.container) ?? { name, why: proxy.error ?? 'no answer', next: logs(name) };
}

/** E4: HAProxy, and every engine that is needed, answer. Returns whether they do. */
export function checkAnswers(list: Checklist, observed: ObservedEngines, needed: readonly string[]): boolean {
  const engines = observed.engines.filter(({ name }) => needed.includes(name));
  const silent = [...engines.map(engineSilence), proxySilence(observed.proxy)].filter((one) => one !== undefined);
  const [first] = silent;
  return list.require('E4', first === undefined, {
    says: 'HAProxy and every engine that is needed answer',
    refusal: `${silent.map(({ name }) => name).join(' and ')} ${silent.length === 1 ? 'does' : 'do'} not answer`,
    measured:
      first === undefined
        ? [observed.proxy.name, ...needed].join(', ')
        : silent.map(({ name, why }) => (silent.length === 1 ? why : `${name}: ${why}`)).join('; '),
    limit: 'every one of them',
    next: first?.next ?? '',
  });
}

/**
 * L5: HAProxy knows the engines, and nobody keeps it from sending them requests by hand.
 * @param serves the engine that is to take requests afterwards; absent: each of them may have to. What was set by hand at another one is
 * worth knowing, and keeps nobody from handing over.
 */
export function checkServers(list: Checklist, observed: ObservedEngines, serves?: string): void {
  const { proxy, engines } = observed;
  if (proxy.servers === null) return list.skip('L5', 'HAProxy can send requests to every engine', 'it gave no answer');
  for (const engine of engines) {
    const { name } = engine;
    const server = proxy.servers.find((one) => one.name === name);
    const measured =
      server === undefined
        ? `its servers are ${proxy.servers.map((one) => one.name).join(', ')}`
        : `${name} is ${server.status}${server.check === '' ? '' : ` (${server.check})`}`;
    const known = list.require('L5', server !== undefined && server.admin !== 'maint', {
      says: `HAProxy can send requests to ${name}`,
      refusal: server === undefined ? `HAProxy does not know ${name}` : `HAProxy keeps ${name} in maintenance`,
      measured,
      limit: 'each engine is a server, and none in maintenance',
      next:
        server === undefined
          ? `docker exec ${proxy.name} cat /run/haproxy/haproxy.cfg`
          : runtimeCommand(proxy.name, `set server ${observed.backend}/${name} state ready`),
    });
    if (known && server !== undefined) checkByHand(list, observed, server, (serves ?? name) === name);
    // An engine that gives no answer is told already, and why HAProxy does not reach it.
    if (!known || server === undefined || !engineAnswers(engine)) continue;
    // Without checks the last word of one says nothing.
    if (server.checked === false) continue;
    list.require('L5', !UNREACHED.test(server.check), {
      says: `HAProxy reaches ${name}`,
      refusal: `${name} answers, but HAProxy does not reach it`,
      measured: `its check says ${server.check} at ${server.address}`,
      limit: 'its check has an answer of the engine',
      next: logs(proxy.name),
    });
  }
}

/** L5: what somebody set at the server apart from its administrative state, and what its checks, which find it down in any case, don't show. */
function checkByHand(
  list: Checklist,
  { proxy, backend }: ObservedEngines,
  server: ObservedServer,
  serves: boolean,
): void {
  const { name, weight, checked, status } = server;
  const tell = (holds: boolean, words: CheckWords) =>
    serves ? list.require('L5', holds, words) : list.advise('L5', holds, words);
  tell(weight !== 0, {
    says: `HAProxy gives ${name} its share of requests`,
    refusal: `HAProxy gives ${name} no requests, whatever its checks say`,
    measured: `its weight is 0 (${status})`,
    limit: 'more than 0',
    next: runtimeCommand(proxy.name, `set server ${backend}/${name} weight 100%`),
  });
  tell(checked !== false, {
    says: `HAProxy checks ${name}`,
    refusal: `HAProxy does not check ${name}, and would not see it take over`,
    measured: `its checks are disabled (${status})`,
    limit: 'they are enabled',
    next: runtimeCommand(proxy.name, `enable health ${backend}/${name}`),
  });
}
