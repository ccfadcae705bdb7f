import { MockActivityEnvironment } from '@temporalio/testing';
import { restoreNames } from '../../src/activities/repair/settings';
import { slotName } from '../../src/cluster/topology';
import { FakeEngine, FakeServers, pause, POOLER, PRIMARY, STANDBY, STANDBY_2 } from './guard/support/fake-engine';

const ports: Record<number, string> = { 15432: PRIMARY, 15433: STANDBY, 15434: STANDBY_2 };
let servers: FakeServers;
jest.mock('../../src/systems/postgres', () => ({
  ...jest.requireActual<object>('../../src/systems/postgres'),
  connectPostgres: ({ port }: { port: number }) => servers.sql(ports[port] ?? POOLER),
}));

const MARKER = '0/6000000';
const behind = { in_recovery: true, received: '0/5000000', replayed: '0/5000000' };
const received = { ...behind, received: MARKER };
const replayed = { ...received, replayed: MARKER };

describe('commits that are to wait for two standbys again', () => {
  let engine: FakeEngine;
  let names: string;
  /** Where each standby is. */
  let at: Record<string, object>;
  /** Who confirms once the names are set. */
  let synchronous: string[];
  const restore = () =>
    new MockActivityEnvironment().run<[], { detail: string }, () => Promise<{ detail: string }>>(() =>
      restoreNames(engine.deps, { cluster: 'veloz', primary: PRIMARY }),
    );

  function answer(node: string, sql: string): unknown {
    if (sql.startsWith('ALTER SYSTEM')) names = /'(.*)'/.exec(sql)?.[1] ?? '';
    if (sql.includes('"delayMs"')) return { paused: false, delayMs: node === STANDBY ? 1_800_000 : 0, reader: null };
    if (sql.includes('AS in_recovery, pg_last_wal_receive_lsn()')) return at[node] ?? { in_recovery: false };
    if (sql.includes("'caught up'")) return { lsn: MARKER };
    if (sql.includes("current_setting('synchronous_standby_names')")) return { names };
    if (sql.includes('sync_state IN')) return synchronous.map((node) => ({ slot_name: slotName(node) }));
    if (sql.startsWith('SELECT s.slot_name FROM pg_stat_replication'))
      return [STANDBY, STANDBY_2].map((node) => ({ slot_name: slotName(node) }));
    if (sql.includes('pg_backend_pid')) return { pid: 7 };
    if (sql.includes('AS waits')) return { waits: true };
    return [];
  }

  beforeEach(() => {
    engine = new FakeEngine();
    Object.assign(engine.deps, { environment: { VELOZ_PG_HA_PASSWORD: 'x', VELOZ_PG_PASSWORD: 'x' } });
    servers = new FakeServers();
    servers.answer = answer;
    names = '';
    synchronous = [STANDBY, STANDBY_2];
    at = { [STANDBY]: replayed, [STANDBY_2]: replayed };
  });
  afterEach(async () => {
    await pause(10);
    expect(servers.sessions.filter(({ session }) => !session.closed)).toEqual([]);
  });

  test.each<[string, object, object]>([
    ['the first replays with a delay', received, replayed],
    ['the first is far behind', behind, replayed],
    ['the second is far behind', replayed, behind],
  ])('%s: the other one has caught up, and that is enough', async (_what, first, second) => {
    at = { [STANDBY]: first, [STANDBY_2]: second };
    const { detail } = await restore();
    expect(names).toBe('ANY 1 (veloz_standby)');
    expect(detail).toBe("synchronous_standby_names 'ANY 1 (veloz_standby)', and a standby confirmed");
  });

  test('both replay with a delay, and have it on their disks: they confirm, and it is told', async () => {
    at = { [STANDBY]: received, [STANDBY_2]: behind };
    const { detail } = await restore();
    expect(detail).toContain(
      `and a standby confirmed; K1: ${STANDBY} has ${MARKER} on its disk and has not replayed it: recovery_min_apply_delay is 30 min 00 s`,
    );
  });

  test('the first confirms nothing, whatever it has: the other one does', async () => {
    synchronous = [STANDBY_2];
    const { detail } = await restore();
    expect(detail).toContain('and a standby confirmed');
  });
});
