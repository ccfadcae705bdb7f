import { parseTopology } from '../../../src/cluster/topology';
import type { EngineSystems } from '../../../src/activities/engine/access';
import type { ActivityDeps } from '../../../src/activities/deps';
import { EngineRefusal, type EngineClient } from '../../../src/systems/engine';
import type { HaproxyClient, ProxyServer } from '../../../src/systems/haproxy';

export const FIRST = 'veloz-engine-1';
export const SECOND = 'veloz-engine-2';

const secret = 'VELOZ_PG_PASSWORD';
const at = (port: number) => ({ host: '127.0.0.1', port });

/** A topology with two engines behind a HAProxy. */
export function engineTopology(): ActivityDeps['topology'] {
  const parsed = parseTopology({
    version: 1,
    clusters: {
      veloz: {
        soak: '0s',
        postgres: {
          control: { user: 'veloz_ha', passwordFrom: secret },
          client: { user: 'veloz', passwordFrom: secret },
          nodes: [
            { name: 'veloz-postgres-primary', address: at(1) },
            { name: 'veloz-postgres-standby', address: at(2) },
          ],
        },
        pgbouncer: {
          admin: { user: 'pgbouncer_admin', passwordFrom: secret },
          nodes: [{ name: 'veloz-pgbouncer', address: at(3) }],
        },
        engines: {
          nodes: [
            { name: FIRST, address: at(11) },
            { name: SECOND, address: at(12) },
          ],
        },
        haproxy: { name: 'veloz-haproxy', address: at(20), stats: at(21), runtime: at(22) },
      },
    },
  });
  if ('mistakes' in parsed) throw new Error(JSON.stringify(parsed.mistakes));
  return parsed.topology;
}

interface FakeEngine {
  name: string;
  alive: boolean;
  drained: boolean;
}

/** Two engines, their lock, and HAProxy, as far as their contracts go. Nothing here takes time unless a test says so. */
export class FakeEngines implements EngineSystems {
  readonly engines: FakeEngine[] = [FIRST, SECOND].map((name) => ({ name, alive: true, drained: false }));
  holder: string | undefined = FIRST;
  epoch = 7;
  readonly admin = new Map<string, 'ready' | 'drain' | 'maint'>([
    [FIRST, 'ready'],
    [SECOND, 'ready'],
  ]);
  /** Servers whose weight is 0, and those that HAProxy does not check. */
  readonly weightless = new Set<string>();
  readonly unchecked = new Set<string>();
  /** What HAProxy believes; its checks correct it at the next look. */
  readonly up = new Map<string, boolean>([
    [FIRST, true],
    [SECOND, false],
  ]);
  /** Requests in each engine. */
  readonly sessions = new Map<string, number>();
  /** What was changed, in order: `step-down veloz-engine-1`, `veloz-engine-1 drain`. */
  readonly changes: string[] = [];
  /** HAProxy checks at every so many looks at it. */
  checkEvery = 1;
  private looks = 0;
  /** Who holds a lock of the cluster. */
  lockHolder: ActivityDeps['lockHolder'] = () => Promise.resolve(undefined);
  /** Called in a step-down before the lock goes. */
  whileSteppingDown: (node: string) => void = () => undefined;

  kill(name: string): void {
    this.named(name).alive = false;
    if (this.holder === name) {
      const heir = this.engines.find((engine) => engine.alive && !engine.drained);
      this.holder = undefined;
      if (heir !== undefined) this.take(heir.name);
    }
  }

  private named(name: string): FakeEngine {
    const found = this.engines.find((engine) => engine.name === name);
    if (found === undefined) throw new Error(`no ${name}`);
    return found;
  }

  private take(name: string): void {
    this.holder = name;
    this.epoch += 1;
  }

  private handOver(node: string, to: string | undefined): void {
    const heir = this.engines.find(
      ({ name, alive, drained }) => name !== node && alive && !drained && (to === undefined || name === to),
    );
    if (heir === undefined) throw new EngineRefusal(409, `${to ?? 'no other engine'} can not take over`);
    this.whileSteppingDown(node);
    if (this.holder === node) this.take(heir.name);
  }

  engine({ port }: { port: number }): EngineClient {
    const me = this.named(port === 11 ? FIRST : SECOND);
    const answering = <T>(answer: () => T): Promise<T> =>
      me.alive ? new Promise((resolve) => resolve(answer())) : Promise.reject(new Error('connect ECONNREFUSED'));
    return {
      health: () =>
        answering(() => ({
          httpStatus: me.drained ? 503 : 200,
          status: me.drained ? 'drained' : 'healthy',
          role: this.holder === me.name ? ('active' as const) : ('standby' as const),
          node: me.name,
          epoch: this.epoch,
          drained: me.drained,
        })),
      ready: () => answering(() => this.holder === me.name && !me.drained),
      stepDown: ({ to, epoch }) =>
        answering(() => {
          if (this.holder === me.name && epoch !== undefined && epoch !== this.epoch)
            throw new EngineRefusal(412, `${me.name} is active in epoch ${this.epoch}`);
          this.changes.push(`step-down ${me.name}`);
          if (this.holder === me.name) this.handOver(me.name, to);
        }),
      drain: () =>
        answering(() => {
          this.changes.push(`drain ${me.name}`);
          if (this.holder === me.name) this.handOver(me.name, undefined);
          me.drained = true;
        }),
      undrain: () =>
        answering(() => {
          this.changes.push(`undrain ${me.name}`);
          me.drained = false;
        }),
    };
  }

  haproxy(): HaproxyClient {
    return {
      servers: () => Promise.resolve(this.servers()),
      setState: (_backend, server, state) => {
        this.changes.push(`${server} ${state}`);
        this.admin.set(server, state);
        return Promise.resolve();
      },
      setHealth: (_backend, server, health) => {
        this.changes.push(`${server} ${health}`);
        this.up.set(server, health === 'up');
        return Promise.resolve();
      },
      restoreWeight: (_backend, server) => {
        this.changes.push(`${server} weight`);
        this.weightless.delete(server);
        return Promise.resolve();
      },
      enableChecks: (_backend, server) => {
        this.changes.push(`${server} checks`);
        this.unchecked.delete(server);
        return Promise.resolve();
      },
      info: () => Promise.resolve({ version: '3.0', uptimeSeconds: 1 }),
    };
  }

  private servers(): ProxyServer[] {
    const now = this.engines.map(({ name }): ProxyServer => {
      const up = this.up.get(name) === true;
      const admin = this.admin.get(name) ?? 'ready';
      return {
        name,
        up,
        admin,
        weight: this.weightless.has(name) ? 0 : 1,
        checked: !this.unchecked.has(name),
        status: up ? (admin === 'drain' || this.weightless.has(name) ? 'DRAIN' : 'UP') : 'DOWN',
        check: up ? 'L7OK 200' : 'L7STS 503',
        sessions: this.sessions.get(name) ?? 0,
        queued: 0,
        address: '',
      };
    });
    // The next check.
    this.looks += 1;
    if (this.looks % this.checkEvery === 0)
      for (const { name, alive, drained } of this.engines.filter((one) => !this.unchecked.has(one.name)))
        this.up.set(name, alive && !drained && this.holder === name);
    return now;
  }

  door(): Promise<{ status: number; body: string }> {
    const to = this.servers().find(({ up, admin, weight }) => up && admin === 'ready' && weight !== 0)?.name;
    if (to === undefined) return Promise.resolve({ status: 503, body: '{}' });
    const role = this.holder === to ? 'active' : 'standby';
    return Promise.resolve({
      status: 200,
      body: JSON.stringify({ status: 'healthy', role, node: to, epoch: this.epoch }),
    });
  }

  /** What activities need to work on it. */
  deps(more: Partial<ActivityDeps> = {}): ActivityDeps {
    const inspect = (name: string) => {
      const alive = this.engines.find((engine) => engine.name === name)?.alive ?? true;
      return Promise.resolve({ exists: true, status: alive ? 'running' : 'exited', running: alive, restartPolicy: '' });
    };
    return {
      topology: engineTopology(),
      docker: { inspect } as unknown as ActivityDeps['docker'],
      identity: 'test',
      environment: { [secret]: 'x' },
      handoverCost: () => undefined,
      lockHolder: (cluster, lock) => this.lockHolder(cluster, lock),
      engineSystems: this,
      ...more,
    };
  }
}
