/** What an engine says about itself (`GET /health`). */
export interface EngineHealth {
  node: string;
  role: 'active' | 'standby';
  /** Its word: `healthy`, `degraded`, `unhealthy`, `drained`. */
  status: string;
  /** The fencing epoch that counts, as far as it knows. */
  epoch: number;
  /** Neither takes the lock nor reports ready until it is readied. */
  drained: boolean;
  /** Why it is what it is, where it says so. */
  why?: string;
  /** It can serve, or take over: the status of the answer was 200. */
  able: boolean;
}

/** One engine as it was seen. */
export interface ObservedEngine {
  name: string;
  container: { exists: boolean; running: boolean; status: string; error?: string };
  /** null: it gave no answer, and `error` says why. */
  health: EngineHealth | null;
  /** It takes orders now (`GET /health/ready`). */
  ready: boolean;
  error?: string;
}

/** One server of HAProxy's backend, named as the engine. */
export interface ObservedServer {
  name: string;
  up: boolean;
  admin: 'ready' | 'drain' | 'maint';
  /** With 0 it gets no new request. Absent from a picture of an older version: it has its share. */
  weight?: number;
  /** HAProxy checks it. Absent from a picture of an older version: it does. */
  checked?: boolean;
  status: string;
  check: string;
  sessions: number;
  queued: number;
  address: string;
}

/** HAProxy as it was seen. */
export interface ObservedProxy {
  name: string;
  container: { exists: boolean; running: boolean; status: string; error?: string };
  /** null: the runtime API gave no answer, and `error` says why. */
  servers: ObservedServer[] | null;
  error?: string;
}

/** What an ordinary client gets at the front door (`GET /health` there). */
export interface ObservedDoor {
  /** The engine that answered; null: none did, and `error` says what came instead. */
  node: string | null;
  role: EngineHealth['role'] | null;
  error?: string;
}

/** All engines and their front door at one moment. */
export interface ObservedEngines {
  cluster: string;
  /** The backend of the engines in HAProxy. */
  backend: string;
  /** In the topology's order. */
  engines: ObservedEngine[];
  proxy: ObservedProxy;
  door: ObservedDoor;
}

/** An engine that answered. */
export type AnsweringEngine = ObservedEngine & { health: EngineHealth };

/** Whether an engine answered. */
export function engineAnswers(engine: ObservedEngine | undefined): engine is AnsweringEngine {
  return engine !== undefined && engine.health !== null;
}

/** Engines that say that they are active. More than one: at most one of them can write (the epoch), but both believe it. */
export function activeEngines(observed: ObservedEngines): AnsweringEngine[] {
  return observed.engines.filter(engineAnswers).filter(({ health }) => health.role === 'active');
}

/** Whether HAProxy gives a server new requests as soon as it is up, and sees that it is. */
export function inService({ admin, weight, checked }: ObservedServer): boolean {
  return admin === 'ready' && weight !== 0 && checked !== false;
}

/** HAProxy's server of an engine. */
export function serverOf(observed: ObservedEngines, engine: string): ObservedServer | undefined {
  return observed.proxy.servers?.find(({ name }) => name === engine);
}
