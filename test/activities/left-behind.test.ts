import { accessCluster, type ClusterAccess } from '../../src/activities/deps';
import { tellLeftBehind } from '../../src/activities/left-behind';
import { NO_SLOT_LEFT } from '../../src/cluster/readiness/data';
import type { GuardState } from '../../src/workflows/guard-messages';
import { FakeEngine, FakeServers, pause, PRIMARY, Refusal, STANDBY } from './guard/support/fake-engine';

describe('what a promotion emptied or left behind', () => {
  let engine: FakeEngine;
  let servers: FakeServers;
  const unlogged = (count?: number) =>
    (engine.agent = (node, command, args) =>
      node === STANDBY && command === 'readiness' && args.start === false
        ? { ...(count === undefined ? {} : { unlogged: count }) }
        : new Refusal('BadRequest'));
  const tell = (source?: string) => {
    const access: ClusterAccess = { ...accessCluster(engine.deps, 'veloz'), sql: servers.sql };
    return tellLeftBehind(engine.deps, access, { target: STANDBY, ...(source === undefined ? {} : { source }) });
  };
  const slot = { name: 'warehouse', type: 'logical', failover: false, database: 'veloz' };
  beforeEach(() => {
    engine = new FakeEngine();
    servers = new FakeServers();
    servers.answer = () => ({ seen: { slots: [] } });
    unlogged(0);
  });
  afterEach(async () => {
    await pause(5);
    expect(engine.open).toBe(0);
  });

  test('is nothing where nothing is told', async () => {
    expect(await tell()).toEqual([]);
    expect(await tell(PRIMARY)).toEqual([]);
  });

  test.each([
    [1, '1 unlogged table, index or sequence is empty'],
    [3, '3 unlogged tables, indexes and sequences are empty'],
  ])('names %d unlogged relations by their number', async (count, says) => {
    unlogged(count);
    expect(await tell()).toEqual([
      `M6: ${says} on veloz-postgres-standby since its promotion: no WAL is written of them`,
    ]);
  });

  test('names the logical slots that the old primary still has, and neither those of nodes nor those that survive', async () => {
    const slots = [
      slot,
      { ...slot, name: 'audit', failover: true },
      { ...slot, name: 'veloz_postgres_standby', type: 'physical' },
      { ...slot, name: 'backup', type: 'physical' },
    ];
    servers.answer = () => ({ seen: { slots } });
    expect(await tell(PRIMARY)).toEqual([
      'M6: logical slots stayed behind on the old primary, and their subscribers have to begin anew: warehouse in veloz',
    ]);
  });

  test('names the slots that the guard saw while the old primary was well', async () => {
    const finding = { id: 'M6', says: NO_SLOT_LEFT, result: 'warn' as const, measured: 'warehouse in veloz' };
    const readiness = { at: 1, ready: true, findings: [{ ...finding, says: 'no table would be emptied' }, finding] };
    engine.deps.guardState = () => Promise.resolve({ readiness } as unknown as GuardState);
    expect(await tell()).toEqual([expect.stringMatching(/begin anew: warehouse in veloz$/)]);
  });

  test('is told as unknown where nobody answers, and not of an agent that can not know', async () => {
    engine.agent = () => new Refusal('Internal', 'the disk hangs');
    servers.connect = () => new Error('connect ECONNREFUSED');
    const [first, second] = await tell(PRIMARY);
    expect(first).toMatch(/^M6: it is not known whether veloz-postgres-standby has unlogged tables.*: the disk hangs$/);
    expect(second).toMatch(
      /^M6: it is not known whether logical slots were left behind on veloz-postgres-primary: conn/,
    );
    engine.agent = () => new Refusal('UnknownCommand', "There is no command 'readiness'; there are observe.");
    engine.deps.guardState = () => Promise.reject(new Error('no guard'));
    expect(await tell()).toEqual([]);
  });
});
