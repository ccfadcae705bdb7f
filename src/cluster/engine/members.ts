import { engineAnswers, serverOf, type ObservedEngines } from './observed';

/** An engine, or their front door, in one line. */
export interface EngineMember {
  name: string;
  kind: 'engine' | 'haproxy';
  role: 'active' | 'standby' | 'drained' | 'proxy' | 'stopped' | 'unreachable' | 'absent';
  state: string;
  epoch?: number;
  /** How HAProxy sees it: `UP`, `DOWN`, `DRAIN`. */
  traffic?: string;
  /** Requests on their way to it. */
  sessions?: number;
  /** Of HAProxy: the engine that clients reach. */
  routesTo?: string;
  note?: string;
}

/** The engines in the topology's order, then HAProxy. */
export function engineMembers(observed: ObservedEngines): EngineMember[] {
  const absent = ({ exists, running, error }: { exists: boolean; running: boolean; error?: string }) =>
    error !== undefined ? 'unreachable' : !exists ? 'absent' : !running ? 'stopped' : 'unreachable';
  const engines = observed.engines.map((engine): EngineMember => {
    const server = serverOf(observed, engine.name);
    const traffic =
      server === undefined
        ? {}
        : {
            traffic: server.admin === 'drain' || server.weight === 0 ? 'DRAIN' : server.status,
            sessions: server.sessions,
          };
    if (!engineAnswers(engine))
      return {
        name: engine.name,
        kind: 'engine',
        role: absent(engine.container),
        state: engine.container.status,
        ...traffic,
        ...(engine.error === undefined || !engine.container.running ? {} : { note: engine.error }),
      };
    const { health } = engine;
    return {
      name: engine.name,
      kind: 'engine',
      role: health.role === 'standby' && health.drained ? 'drained' : health.role,
      state: engine.ready ? (health.status === 'degraded' ? 'takes orders, degraded' : 'takes orders') : health.status,
      epoch: health.epoch,
      ...traffic,
      ...(health.status === 'healthy' || health.drained || health.why === undefined ? {} : { note: health.why }),
    };
  });
  const { proxy, door } = observed;
  const wrong = [
    ...(proxy.servers === null && proxy.container.running ? [proxy.error ?? 'no answer'] : []),
    ...(door.node === null && proxy.container.running ? [`front door: ${door.error ?? 'no answer'}`] : []),
  ];
  return [
    ...engines,
    {
      name: proxy.name,
      kind: 'haproxy',
      role: proxy.servers === null ? absent(proxy.container) : 'proxy',
      state: proxy.servers === null ? proxy.container.status : 'running',
      ...(door.node === null ? {} : { routesTo: door.node }),
      ...(wrong.length === 0 ? {} : { note: wrong.join('; ') }),
    },
  ];
}
