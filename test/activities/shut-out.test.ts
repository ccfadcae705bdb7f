import { requireClients, verifyWay, withWay, type ClientWay } from '../../src/activities/clients-at-target';
import { accessCluster, type ClusterAccess } from '../../src/activities/deps';
import { observeConsole } from '../../src/activities/observe';
import { restartPooler } from '../../src/activities/repair/door';
import { letClientsGo } from '../../src/activities/repair/traffic';
import { verifyRepair } from '../../src/activities/repair/verify';
import type { ClientAnswer } from '../../src/systems/agent';
import { FakeEngine, FakeServers, POOLER, PRIMARY, Refusal, STANDBY, wellObserved } from './guard/support/fake-engine';

const nodes: Record<number, string> = { 15432: PRIMARY, 15433: STANDBY };
let servers: FakeServers;
jest.mock('../../src/systems/postgres', () => ({
  ...jest.requireActual<object>('../../src/systems/postgres'),
  connectPostgres: ({ port }: { port: number }, { user, database }: { user: string; database: string }) =>
    servers.sql(nodes[port] ?? (database === 'pgbouncer' ? 'console' : user === 'veloz' ? 'client' : 'kept')),
}));

const missing = { ok: false, code: '3D000', problem: 'database "veloz" does not exist (3D000)' };
const full = { ok: false, code: '53300', problem: 'too many connections for database "veloz" (53300)' };
const closed = { ok: false, code: '55000', problem: 'database "veloz" is not currently accepting connections (55000)' };
const well = { ok: true, code: null, problem: null };
const ADDRESS = '10.0.0.2';

/** Clients that are let in nowhere: nothing that a run does changes that, so that it is told and fails no run. */
describe('clients that are shut out', () => {
  let engine: FakeEngine;
  let access: ClusterAccess;
  /** How a login of the pooler's user ends, by node. */
  let logins: Record<string, Partial<ClientAnswer>>;
  /** What PgBouncer says of the database of clients. */
  let database: Record<string, string>;
  let route: string;
  /** What a client meets at the front door; undefined where it is served. */
  let refusal: Error | undefined;
  beforeEach(() => {
    engine = new FakeEngine();
    servers = new FakeServers();
    logins = { [PRIMARY]: well, [STANDBY]: well };
    database = { name: 'veloz', host: ADDRESS, port: '5432', paused: '0', disabled: '0', current_connections: '0' };
    route = PRIMARY;
    refusal = undefined;
    engine.agent = (node, command, args) => {
      if (node !== POOLER) return wellObserved;
      if (command === 'tryClient') {
        const addresses = args.addresses as { host: string; port: number }[];
        const answers = addresses.map((address) => ({ ...address, readOnly: null, ...logins[address.host] }));
        return { user: 'veloz', database: 'veloz', answers };
      }
      return { route: { host: route, port: 5432 }, routeAddress: ADDRESS, paused: false, hold: null };
    };
    servers.connect = (node) => (['client', 'kept'].includes(node) ? refusal : undefined);
    servers.answer = (node, sql) => {
      if (node === 'console') return sql === 'SHOW DATABASES' ? [database] : [];
      const address = `${ADDRESS}/32`;
      return { in_recovery: node === STANDBY, inRecovery: node === STANDBY, address, received: null, replayed: null };
    };
    access = accessCluster(engine.deps, 'veloz');
  });

  const refused = (words: string) => new Error(`server login has been failing, cached error: ${words}`);

  describe("what PgBouncer's console says of its clients", () => {
    let said: Record<string, Record<string, string | number | null>[]>;
    beforeEach(() => {
      // As PgBouncer 1.24 answers, by its source (admin.c).
      said = {
        'SHOW DATABASES': [database],
        'SHOW STATE': [
          { key: 'active', value: 'yes' },
          { key: 'paused', value: 'no' },
          { key: 'suspended', value: 'no' },
        ],
        'SHOW SERVERS': [{ database: 'veloz', replication: 'none', user: 'veloz', link: '0xc1', remote_pid: 811 }],
        'SHOW CLIENTS': [],
      };
      servers.answer = (_node, sql) => said[sql] ?? [];
    });

    test('nobody paused it, and nobody replicates through it', async () => {
      const seen = await observeConsole(access);
      expect(seen).toMatchObject({ paused: false, halted: null });
      expect(seen.replication).toBeUndefined();
    });

    test('the database is paused', async () => {
      database.paused = '1';
      expect(await observeConsole(access)).toMatchObject({ paused: true, halted: null });
    });

    test('all of it is, and the database does not show it', async () => {
      said['SHOW STATE'] = [
        { key: 'active', value: 'no' },
        { key: 'paused', value: 'yes' },
        { key: 'suspended', value: 'no' },
      ];
      expect(await observeConsole(access)).toMatchObject({ paused: true, halted: 'paused' });
    });

    test('who replicates through it, to this database', async () => {
      const server = { database: 'veloz', replication: 'physical', user: 'cdc', application_name: 'pg_receivewal' };
      said['SHOW SERVERS']?.push({ ...server, link: '0xc2', remote_pid: 812 }, { ...server, database: 'other' });
      said['SHOW CLIENTS'] = [{ database: 'veloz', replication: 'physical', ptr: '0xc2', id: 44 }];
      expect((await observeConsole(access)).replication).toEqual([
        { user: 'cdc', applicationName: 'pg_receivewal', serverPid: 812, clientId: 44 },
      ]);
    });
  });

  test('a repair ends a SUSPEND, in which the console takes nobody new, by the session of the agent', async () => {
    let suspended = true;
    const asked: string[] = [];
    const [observed, connects, ask] = [engine.agent, servers.connect, servers.answer];
    servers.connect = (node) => (node === 'console' && suspended ? new Error('timeout expired') : connects(node));
    servers.answer = (node, sql) =>
      node === PRIMARY ? { writable: true, in_recovery: false, inRecovery: false } : ask(node, sql);
    engine.agent = (node, command, args) => {
      if (node !== POOLER) return observed(node, command, args);
      asked.push(command);
      if (command === 'observe') return { paused: suspended, halted: suspended ? 'suspended' : null, hold: null };
      if (command === 'hold') suspended = false;
      return {};
    };
    const request = { cluster: 'veloz', run: 'repair-veloz', turn: 0, primary: PRIMARY };
    expect(await letClientsGo(engine.deps, request)).toBe('clients were paused by nobody who held them, and go on');
    expect(asked).toEqual(['claim', 'release', 'observe', 'hold', 'release']);
  });

  describe('a repair', () => {
    const restart = (limitMs?: number) => restartPooler(engine.deps, { cluster: 'veloz', primary: PRIMARY }, limitMs);
    const verify = (rest: object = {}) =>
      verifyRepair(engine.deps, { cluster: 'veloz', primary: PRIMARY, standbys: [], ...rest }, 0);

    test('leaves the pooler alone where the primary itself refuses them', async () => {
      refusal = refused('database "veloz" does not exist');
      logins[PRIMARY] = missing;
      expect(await restart()).toBe(
        `${POOLER} was left as it is: ${PRIMARY} itself refuses clients: login as veloz: ${missing.problem}`,
      );
      expect(engine.did).toEqual([]);
    });

    test('and where somebody disabled their database there, which a restart would undo', async () => {
      refusal = new Error('database does not allow connections: veloz');
      database.disabled = '1';
      expect(await restart()).toContain(`${POOLER} refuses new clients: somebody disabled database veloz there`);
      expect(engine.did).toEqual([]);
    });

    test('restarts it where the primary would let them in, and only once where that helps nobody', async () => {
      refusal = refused('connect timeout');
      await expect(restart(300)).rejects.toMatchObject({
        nonRetryable: true,
        message: expect.stringContaining(
          `${POOLER} was restarted, and clients still do not reach ${PRIMARY}`,
        ) as string,
      });
      expect(engine.did).toEqual([`kill ${POOLER}`, `start ${POOLER}`]);
    });

    test('does not start it before it has ended, which it does only once what hangs in it wakes up', async () => {
      refusal = refused('connect timeout');
      engine.onKill = () => undefined;
      await expect(restart(300)).rejects.toMatchObject({
        nonRetryable: true,
        message: expect.stringMatching(
          new RegExp(
            `^F5: ${POOLER} was killed, and was not started again: its container has not ended .* docker start ${POOLER}$`,
          ),
        ) as string,
      });
      expect(engine.did).toEqual([`kill ${POOLER}`]);
    }, 20_000);

    test('ends well with the words of the primary, where PgBouncer says that it leads there', async () => {
      refusal = refused('database "veloz" does not exist');
      logins[PRIMARY] = missing;
      expect(await verify()).toBe(
        `F5: PgBouncer leads clients to ${PRIMARY}, and none is let in: ${PRIMARY} itself refuses clients: login as veloz: ${missing.problem}`,
      );
    });

    test('does not where PgBouncer leads elsewhere, nor where the primary would let them in', async () => {
      refusal = refused('database "veloz" does not exist');
      await expect(verify()).rejects.toThrow('F5: a client at the front door gets no answer');
      logins[PRIMARY] = missing;
      database.host = '10.0.0.3';
      await expect(verify()).rejects.toThrow(`F5: ${POOLER} leads clients to 10.0.0.3:5432`);
    });

    test('asks nobody at the door where it knows already that they do not get through', async () => {
      refusal = refused('connect timeout');
      expect(await verify({ withoutDoor: true })).toBe('clients were not asked');
    });
  });

  describe('the proof of a move', () => {
    const request = { source: STANDBY, target: PRIMARY, others: [] };
    const way = async (shutOut: boolean, unplanned = false): Promise<ClientWay['kind']> =>
      withWay(access, { target: PRIMARY, unplanned }, shutOut, async (found) => {
        await verifyWay(access, found, PRIMARY, `${ADDRESS}/32`);
        return found.kind;
      });

    test.each([
      ['missing', missing],
      ['closed', closed],
      ['allowed no connections', full],
    ])('warns where the database is %s on the old primary too', async (_, answer) => {
      logins = { [PRIMARY]: answer, [STANDBY]: answer };
      const { shutOut, warning } = await requireClients(access, request);
      expect(shutOut).toBe(true);
      expect(warning).toContain(
        `F5: ${PRIMARY} refuses clients, as ${STANDBY} does: login as veloz: ${answer.problem} (limit: a login from the pooler as its own user). Next: docker exec ${PRIMARY} psql`,
      );
    });

    test('fails where only the new primary refuses them, or by other words', async () => {
      logins[PRIMARY] = missing;
      await expect(requireClients(access, request)).rejects.toThrow(`F5: ${PRIMARY} refuses clients`);
      logins[STANDBY] = closed;
      await expect(requireClients(access, request)).rejects.toThrow(missing.problem);
    });

    test('waits for a place where only the new primary is full', async () => {
      logins[PRIMARY] = full;
      expect(await requireClients(access, request)).toEqual({ shutOut: false });
    });

    test('takes the kept place where only the role of clients is refused', async () => {
      servers.connect = (node) => (node === 'client' ? refused('role "veloz" is not permitted to log in') : undefined);
      expect(await way(true)).toBe('door');
      await expect(way(false)).rejects.toThrow('not permitted to log in');
    });

    test("takes PgBouncer's own word where nobody gets in, and that alone", async () => {
      refusal = refused('database "veloz" does not exist');
      expect(await way(true)).toBe('word');
      await expect(way(false)).rejects.toThrow('does not exist');
    });

    test.each([
      ['its route leads to another node', () => (route = STANDBY)],
      ['it uses another address', () => (database.host = '10.0.0.3')],
      ['it uses another port', () => (database.port = '5433')],
    ])('fails by that word where %s', async (_, change) => {
      refusal = refused('database "veloz" does not exist');
      change();
      await expect(way(true)).rejects.toThrow(`F5: ${POOLER} leads clients to`);
    });

    test('fails by that word where the address is not that of the new primary any more', async () => {
      refusal = refused('database "veloz" does not exist');
      await expect(
        withWay(access, { target: PRIMARY }, true, (found) => verifyWay(access, found, PRIMARY, '10.0.0.9/32')),
      ).rejects.toThrow(`(limit: ${PRIMARY}:5432, 10.0.0.9/32)`);
    });

    test('takes it where somebody disabled the database at the pooler, and says how to enable it', async () => {
      refusal = new Error('database does not allow connections: veloz');
      database.disabled = '1';
      const told = await withWay(access, { target: PRIMARY }, false, (found) =>
        Promise.resolve(found.kind === 'word' ? found.warning : found.kind),
      );
      expect(told).toContain(`F2: ${POOLER} refuses new clients: somebody disabled database veloz there`);
      expect(told).toContain('-c "ENABLE veloz"');
    });

    test('asks nobody after a failover where the pooler gives no answer', async () => {
      refusal = refused('connect timeout');
      engine.agent = () => new Refusal('Unreachable');
      expect(await way(false, true)).toBe('not asked');
    });
  });
});
