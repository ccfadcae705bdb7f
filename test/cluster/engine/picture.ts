import type { AnsweringEngine, ObservedEngines, ObservedServer } from '../../../src/cluster/engine/observed';

export const FIRST = 'veloz-engine-1';
export const SECOND = 'veloz-engine-2';
export const PROXY = 'veloz-haproxy';

const running = { exists: true, running: true, status: 'running' };
export const stopped = { exists: true, running: false, status: 'exited' };

/** Two engines of which the first takes orders, and HAProxy that leads to it. */
export interface EnginePicture {
  observed: ObservedEngines;
  engine(name: string): AnsweringEngine;
  server(name: string): ObservedServer;
  /** The engine dies. */
  kill(name: string): void;
  /** The engine is drained, in both places. */
  drain(name: string): void;
}

const engineOf = (name: string, active: boolean): AnsweringEngine => ({
  name,
  container: running,
  health: { node: name, role: active ? 'active' : 'standby', status: 'healthy', epoch: 7, drained: false, able: true },
  ready: active,
});

const serverOf = (name: string, active: boolean): ObservedServer => ({
  name,
  up: active,
  admin: 'ready',
  status: active ? 'UP' : 'DOWN',
  check: active ? 'L7OK 200' : 'L7STS 503',
  sessions: 0,
  queued: 0,
  address: '172.19.0.3:8080',
});

/** A healthy picture, to be spoiled. */
export function enginePicture(): EnginePicture {
  const engines = [engineOf(FIRST, true), engineOf(SECOND, false)];
  const servers = [serverOf(FIRST, true), serverOf(SECOND, false)];
  const observed: ObservedEngines = {
    cluster: 'veloz',
    backend: 'veloz_engines',
    engines,
    proxy: { name: PROXY, container: running, servers },
    door: { node: FIRST, role: 'active' },
  };
  const named = <One extends { name: string }>(all: readonly One[], name: string): One => {
    const found = all.find((one) => one.name === name);
    if (found === undefined) throw new Error(`no ${name}`);
    return found;
  };
  return {
    observed,
    engine: (name) => named(engines, name),
    server: (name) => named(servers, name),
    kill: (name) => {
      Object.assign(named(engines, name), { health: null, ready: false, container: stopped, error: 'ECONNREFUSED' });
      Object.assign(named(servers, name), { up: false, status: 'DOWN', check: 'L4CON' });
    },
    drain: (name) => {
      Object.assign(named(engines, name).health, { drained: true, able: false, status: 'drained', role: 'standby' });
      named(engines, name).ready = false;
      named(servers, name).admin = 'drain';
    },
  };
}
