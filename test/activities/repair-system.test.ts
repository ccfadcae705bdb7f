import { MockActivityEnvironment } from '@temporalio/testing';
import { restartPooler, startPooler } from '../../src/activities/repair/door';
import { fenceSecondPrimary } from '../../src/activities/repair/second-primary';
import { restoreNames } from '../../src/activities/repair/settings';
import { startOldPrimary } from '../../src/activities/repair/start-primary';
import { letClientsGo, routeClients } from '../../src/activities/repair/traffic';
import { FakeEngine, FakeServers, POOLER, PRIMARY, STANDBY, wellObserved } from './guard/support/fake-engine';

const ports: Record<number, string> = { 15432: PRIMARY, 15433: STANDBY };
let servers: FakeServers;
jest.mock('../../src/systems/postgres', () => ({
  ...jest.requireActual<object>('../../src/systems/postgres'),
  connectPostgres: ({ port }: { port: number }) => servers.sql(ports[port] ?? POOLER),
}));

describe('a node that was made anew as another database system since the repair looked', () => {
  let engine: FakeEngine;
  let guardState: () => Promise<unknown>;
  beforeEach(() => {
    engine = new FakeEngine();
    servers = new FakeServers();
    servers.answer = (node, sql) =>
      sql.includes('pg_control_system')
        ? { system: '78' }
        : { in_recovery: node !== PRIMARY, received: null, replayed: null };
    engine.agent = (node, command) =>
      node === PRIMARY && command === 'observe'
        ? {
            ...wellObserved,
            desired: 'held',
            postgres: { state: 'stopped' },
            control: { systemIdentifier: '78', timeline: 3 },
          }
        : command === 'route'
          ? { already: false }
          : {};
    guardState = () => Promise.resolve({ ledger: { systemIdentifier: '77', primary: STANDBY } });
    Object.assign(engine.deps, {
      environment: { VELOZ_PG_HA_PASSWORD: 'x', VELOZ_PG_PASSWORD: 'x' },
      guardState: () => guardState(),
    });
  });
  const run = <T>(activity: () => Promise<T>) => new MockActivityEnvironment().run<[], T, () => Promise<T>>(activity);
  const request = { cluster: 'veloz', run: 'repair/1', turn: 0, primary: PRIMARY };

  test.each<[string, () => Promise<unknown>]>([
    ['no client is led to it', () => routeClients(engine.deps, request)],
    ['no client that waits is let go to it', () => letClientsGo(engine.deps, request)],
    ['no pooler is restarted for it', () => restartPooler(engine.deps, request)],
    ['no pooler that is down is started for it', () => startPooler(engine.deps, 'veloz')],
    ['no other node is fenced beside it', () => fenceSecondPrimary(engine.deps, { ...request, node: STANDBY })],
    ['it gets no names', () => restoreNames(engine.deps, request)],
  ])('%s', async (_what, activity) => {
    await expect(run(activity)).rejects.toMatchObject({
      type: 'Refused',
      message: `A4: ${PRIMARY} takes writes, and belongs to another database system than the ledger: no client is led to it, and no node is made its standby: 78 on ${PRIMARY}, 77 in the ledger, whose primary was ${STANDBY} (limit: one system identifier; a new system that is meant needs a guard that begins anew: veloz-ha guard stop --cluster veloz, then veloz-ha guard start --cluster veloz). Next: docker exec ${PRIMARY} psql -U postgres -d postgres -c "SELECT system_identifier FROM pg_control_system()"`,
    });
    expect(engine.asked).toEqual([]);
    expect(engine.did).toEqual([]);
  });

  test('it is not started as the primary', async () => {
    await expect(run(() => startOldPrimary(engine.deps, { ...request, node: PRIMARY }))).rejects.toMatchObject({
      type: 'Refused',
      message: expect.stringContaining('A4: ') as unknown,
    });
    expect(engine.asked).not.toContain(`${PRIMARY} start`);
  });

  test.each<[string, () => Promise<unknown>]>([
    ['of the same system', () => Promise.resolve({ ledger: { systemIdentifier: '78', primary: STANDBY } })],
    ['that knows no system yet', () => Promise.resolve({ ledger: { primary: null } })],
    ['of nobody: there is no guard', () => Promise.resolve(undefined)],
    ['that can not be asked for', () => Promise.reject(new Error('no answer'))],
  ])('nothing is refused beside a ledger %s', async (_what, state) => {
    guardState = state;
    expect(await run(() => routeClients(engine.deps, request))).toBe(`clients' route leads to ${PRIMARY}`);
  });
});

describe('a pooler whose container does not run', () => {
  let engine: FakeEngine;
  let writable: string[];
  beforeEach(() => {
    engine = new FakeEngine();
    servers = new FakeServers();
    writable = [PRIMARY];
    servers.answer = (node, sql) =>
      sql.includes('pg_control_system')
        ? { system: '77' }
        : { in_recovery: !writable.includes(node), received: null, replayed: null };
    Object.assign(engine.deps, { environment: { VELOZ_PG_HA_PASSWORD: 'x', VELOZ_PG_PASSWORD: 'x' } });
    engine.status[POOLER] = 'exited';
  });
  const start = () => new MockActivityEnvironment().run(() => startPooler(engine.deps, 'veloz'));

  test('is started where exactly one node takes writes', async () => {
    expect(await start()).toEqual({ says: `${POOLER} runs`, up: true });
    expect(engine.did).toEqual([`start ${POOLER}`]);
  });

  test('is left down where two do, whatever the repair saw before', async () => {
    writable = [PRIMARY, STANDBY];
    await expect(start()).rejects.toMatchObject({
      type: 'Refused',
      message: `A3: ${POOLER} is not started: ${PRIMARY} and ${STANDBY} take writes, or run as primaries (limit: exactly 1 before clients are let in). Next: veloz-ha postgres status --cluster veloz`,
    });
    expect(engine.did).toEqual([]);
  });

  test('is left down where one that gives no answer runs as a primary, by its own agent', async () => {
    const { answer } = servers;
    servers.answer = (node, sql) => {
      if (node === STANDBY) throw new Error('connect ETIMEDOUT');
      return answer(node, sql);
    };
    expect(await start()).toMatchObject({ up: true });
    engine.did.length = 0;
    const observed = { ...wellObserved, control: { state: 'in production' } };
    engine.agent = (_node, command) => (command === 'observe' ? observed : {});
    await expect(start()).rejects.toMatchObject({ type: 'Refused' });
    expect(engine.did).toEqual([]);
  });

  test('is left down where nobody does, and that is asked again', async () => {
    writable = [];
    await expect(start()).rejects.toThrow(`A2: ${POOLER} is not started: no node takes writes`);
    expect(engine.did).toEqual([]);
  });
});
