import { MockActivityEnvironment } from '@temporalio/testing';
import { promoteStandby } from '../../src/activities/repair/promote';
import { startOldPrimary } from '../../src/activities/repair/start-primary';
import type { Ledger } from '../../src/cluster/guard/ledger';
import { ledgerOf } from '../cluster/failover/support';
import {
  FakeEngine,
  FakeServers,
  POOLER,
  PRIMARY,
  STANDBY,
  STANDBY_2,
  wellObserved,
} from './guard/support/fake-engine';

const ports: Record<number, string> = { 15432: PRIMARY, 15433: STANDBY, 15434: STANDBY_2 };
let servers: FakeServers;
jest.mock('../../src/systems/postgres', () => ({
  ...jest.requireActual<object>('../../src/systems/postgres'),
  connectPostgres: ({ port }: { port: number }) => servers.sql(ports[port] ?? POOLER),
}));

/** The optional node has no container, and the others answer as standbys on timeline 3. */
describe('a node that the ledger names, and that has no container', () => {
  let engine: FakeEngine;
  let ledger: Ledger | undefined;
  beforeEach(() => {
    engine = new FakeEngine();
    servers = new FakeServers();
    ledger = undefined;
    engine.status[STANDBY_2] = 'absent';
    servers.connect = (node) => (node === STANDBY_2 ? new Error('connect ECONNREFUSED') : undefined);
    const control = { systemIdentifier: '77', timeline: 3, state: 'in archive recovery' };
    engine.agent = (_node, command) =>
      command === 'observe' ? { ...wellObserved, control } : { already: false, ms: 1 };
    Object.assign(engine.deps, {
      environment: { VELOZ_PG_HA_PASSWORD: 'x', VELOZ_PG_PASSWORD: 'x' },
      guardState: () => Promise.resolve(ledger === undefined ? undefined : { ledger }),
    });
  });
  const run = <T>(activity: () => Promise<T>) => new MockActivityEnvironment().run<[], T, () => Promise<T>>(activity);
  const request = { cluster: 'veloz', run: 'repair/1', turn: 0 };

  describe('and the promotion of the most advanced of those who answer', () => {
    let promoted: string | undefined;
    beforeEach(() => {
      promoted = undefined;
      const { agent } = engine;
      engine.agent = (node, command, args) => {
        if (command === 'promote') promoted = node;
        return agent(node, command, args);
      };
      servers.answer = (node) => ({
        ...{
          in_recovery: node !== promoted,
          inRecovery: true,
          timeline: 3,
          received: '0/5000000',
          replayed: '0/5000000',
        },
        ...{
          receiver: null,
          replayPaused: false,
          applyDelayMs: 0,
          replayReader: null,
          systemIdentifier: '77',
          names: '',
        },
      });
    });

    test.each<[string, Ledger]>([
      ['as primary', { ...ledgerOf(), state: 'degraded', primary: STANDBY_2 }],
      ['as one that confirms commits', ledgerOf(STANDBY, STANDBY_2)],
    ])('is refused where it names it %s', async (_how, names) => {
      ledger = names;
      await expect(run(() => promoteStandby(engine.deps, request))).rejects.toMatchObject({
        type: 'Refused',
        message: `I6: ${STANDBY_2} may have acknowledged commits that nobody else has: ${PRIMARY} answers, ${STANDBY} answers, ${STANDBY_2} has no container (limit: all of them answer, and say where their WAL ends). Nothing was promoted. Next: veloz-ha stack up --standbys 2`,
      });
      expect(promoted).toBeUndefined();
    });

    test('is refused where its primary was on a newer timeline', async () => {
      ledger = { ...ledgerOf(STANDBY), timeline: 4 };
      await expect(run(() => promoteStandby(engine.deps, request))).rejects.toMatchObject({
        type: 'Refused',
        message: expect.stringMatching(/^A6: every node is on an older timeline than /) as unknown,
      });
      expect(promoted).toBeUndefined();
    });
  });

  describe('and the start of the old primary', () => {
    beforeEach(() => {
      const control = { systemIdentifier: '77', timeline: 3, state: 'in production' };
      const { agent } = engine;
      engine.agent = (node, command, args) =>
        node === PRIMARY && command === 'observe'
          ? { ...wellObserved, desired: 'held', postgres: { state: 'stopped' }, control }
          : agent(node, command, args);
      servers.answer = () => ({ in_recovery: true, received: null, replayed: null });
    });
    const start = () => run(() => startOldPrimary(engine.deps, { ...request, node: PRIMARY }));
    const refusal = (why: string) => ({
      type: 'Refused',
      message: `G5: ${PRIMARY} is not started as a primary: ${why} (limit: every other node answers as a standby on its timeline). Next: veloz-ha stack up --standbys 2`,
    });

    test('is refused where the ledger names it as the primary of a newer timeline', async () => {
      ledger = { ...ledgerOf(PRIMARY, STANDBY), primary: STANDBY_2, timeline: 4 };
      await expect(start()).rejects.toMatchObject(
        refusal(`the guard's ledger names ${STANDBY_2} as the primary, on timeline 4, newer than 3`),
      );
      expect(engine.asked).not.toContain(`${PRIMARY} start`);
    });

    test('is refused where the ledger names it as one that confirms commits', async () => {
      ledger = ledgerOf(STANDBY, STANDBY_2);
      await expect(start()).rejects.toMatchObject(refusal(`${STANDBY_2} has no container`));
      expect(engine.asked).not.toContain(`${PRIMARY} start`);
    });

    test.each<[string, Ledger | undefined]>([
      ['names it no more', ledgerOf(STANDBY)],
      ['is nobody’s', undefined],
    ])('goes on where the ledger %s', async (_what, names) => {
      ledger = names;
      const { answer } = servers;
      servers.answer = (node, sql) =>
        engine.asked.includes(`${node} start`) ? { in_recovery: false } : answer(node, sql);
      expect(await start()).toBe(`${PRIMARY} is the primary again, and nobody was promoted in its place`);
    });
  });
});
