import { MockActivityEnvironment } from '@temporalio/testing';
import type { MoveRequest } from '../../src/activities/move-parts';
import { prepareMove } from '../../src/activities/prepare';
import { releaseStandby } from '../../src/activities/rejoin/remove';
import { settleMove, type SettleResult } from '../../src/activities/settle';
import { slotName } from '../../src/cluster/topology';
import { FakeEngine, FakeServers, pause, POOLER, PRIMARY, STANDBY, STANDBY_2 } from './guard/support/fake-engine';

const ports: Record<number, string> = { 15432: PRIMARY, 15433: STANDBY, 15434: STANDBY_2 };
let servers: FakeServers;
jest.mock('../../src/systems/postgres', () => ({
  ...jest.requireActual<object>('../../src/systems/postgres'),
  connectPostgres: ({ port }: { port: number }) => servers.sql(ports[port] ?? POOLER),
}));

const MARKER = '0/6000000';
const received = { in_recovery: true, received: MARKER, replayed: '0/5000000' };
const replayed = { ...received, replayed: MARKER };

describe('a third node whose replay is held up', () => {
  let engine: FakeEngine;
  /** `synchronous_standby_names` of whoever takes writes. */
  let names: string;
  /** What the third node says: where it is, and what holds it up. */
  let third: Record<string, unknown>;
  let held: { paused: boolean; delayMs: number; reader: string | null };
  /** It streams from the new primary. */
  let streams: boolean;
  /** Slots of those who confirm commits. */
  let synchronous: string[];
  /** Statements that change something, each with its node. */
  let changed: string[];
  const move: MoveRequest = {
    cluster: 'veloz',
    run: 'switchover-1/2',
    source: PRIMARY,
    target: STANDBY,
    others: [STANDBY_2],
    protection: 'zero-loss',
    holdLimitMs: 5000,
    pauseLimitMs: 2000,
    timeline: 3,
  };
  const settle = (rest: Partial<MoveRequest> = {}) =>
    new MockActivityEnvironment().run<[], SettleResult, () => Promise<SettleResult>>(() =>
      settleMove(engine.deps, { ...move, ...rest }),
    );

  function answer(node: string, sql: string): unknown {
    if (/ALTER SYSTEM|create_physical|drop_replication/.test(sql)) changed.push(`${node} ${sql}`);
    if (sql.startsWith('ALTER SYSTEM')) names = /'(.*)'/.exec(sql)?.[1] ?? '';
    if (sql.includes('"delayMs"')) return node === STANDBY_2 ? held : { paused: false, delayMs: 0, reader: null };
    if (sql.includes('AS in_recovery, pg_last_wal_receive_lsn()')) return node === STANDBY_2 ? third : replayed;
    if (sql.includes("'caught up'")) return { lsn: MARKER };
    if (sql.includes("current_setting('synchronous_standby_names')")) return { names };
    if (sql.includes('sync_state IN')) return synchronous.map((slot_name) => ({ slot_name }));
    if (sql.startsWith('SELECT 1 FROM pg_replication_slots s JOIN')) return streams ? [{}] : [];
    if (sql.startsWith('SELECT s.slot_name FROM pg_stat_replication'))
      return [PRIMARY, STANDBY_2].map((name) => ({ slot_name: slotName(name) }));
    if (sql.includes('pg_backend_pid')) return { pid: 7 };
    if (sql.includes('AS waits')) return { waits: true };
    if (sql.includes('AS timeline')) return { timeline: 4 };
    if (sql.includes('AS seen')) return { seen: { slots: [] } };
    return [];
  }

  beforeEach(() => {
    engine = new FakeEngine();
    Object.assign(engine.deps, { environment: { VELOZ_PG_HA_PASSWORD: 'x', VELOZ_PG_PASSWORD: 'x' } });
    engine.agent = (_node, command) => (command === 'readiness' ? { unlogged: 0 } : {});
    servers = new FakeServers();
    servers.answer = answer;
    names = 'ANY 1 (veloz_standby)';
    third = received;
    held = { paused: false, delayMs: 1_800_000, reader: null };
    streams = true;
    synchronous = [slotName(PRIMARY), slotName(STANDBY_2)];
    changed = [];
  });
  afterEach(async () => {
    await pause(10);
    expect(engine.open).toBe(0);
    expect(servers.sessions.filter(({ session }) => !session.closed)).toEqual([]);
  });

  test('by a delay has the position on its disk: it is told, and the move is settled all the same', async () => {
    const began = performance.now();
    const { warnings, timeline } = await settle();
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(timeline).toBe(4);
    expect(warnings).toEqual([
      `K1: ${STANDBY_2} has ${MARKER} on its disk and has not replayed it: recovery_min_apply_delay is 30 min 00 s (limit: replayed within 1.00 s; nobody waits for it). Next: docker exec ${STANDBY_2} psql -U postgres -d postgres -c "SHOW recovery_min_apply_delay"`,
    ]);
    expect(servers.asked).toContain(STANDBY_2);
  });

  test('streams and is none of those who confirm: that is told, once the old primary does', async () => {
    third = replayed;
    synchronous = [slotName(PRIMARY)];
    const { warnings } = await settle();
    expect(warnings?.[0]).toMatch(new RegExp(`^K2: ${STANDBY_2} streams and does not confirm commits`));
  });

  test('by a pause since the plan does not stream: it is told, and neither waited for nor asked for a position', async () => {
    streams = false;
    held = { paused: true, delayMs: 0, reader: null };
    const { warnings } = await settle();
    expect(warnings).toHaveLength(1);
    expect(warnings?.[0]).toContain(
      `K5: ${STANDBY_2} does not stream from ${STANDBY} yet: replay is paused (limit: streaming within 1.00 s)`,
    );
    expect(warnings?.[0]).toMatch(/Next: docker exec .* pg_wal_replay_resume\(\)"$/);
  });

  test('as the plan saw it is led to the new primary after the move, and counts once it streams', async () => {
    streams = false;
    names = 'veloz_standby';
    synchronous = [slotName(PRIMARY)];
    const { warnings } = await settle({ others: [], heldUp: [STANDBY_2] });
    expect(engine.asked).toContain(`${STANDBY_2} follow`);
    expect(names).toBe('ANY 1 (veloz_standby)');
    expect(warnings?.[0]).toContain('recovery_min_apply_delay is 30 min 00 s');
  });

  test('and whose agent is silent fails no move that did not need it', async () => {
    engine.agent = (node, command) =>
      node === STANDBY_2 ? new Error('gone') : command === 'readiness' ? { unlogged: 0 } : {};
    const { warnings } = await settle({ others: [], heldUp: [STANDBY_2] });
    expect(warnings?.[0]).toMatch(new RegExp(`^K5: ${STANDBY_2} does not stream from ${STANDBY} yet: `));
  });

  test('has a slot on the target that keeps its WAL, and is led nowhere before the move', async () => {
    await new MockActivityEnvironment().run(() =>
      prepareMove(engine.deps, { ...move, others: [], heldUp: [STANDBY_2] }),
    );
    expect(changed.some((each) => each.includes('pg_create_physical_replication_slot($1, true)'))).toBe(true);
    expect(engine.asked).not.toContain(`${STANDBY_2} follow`);
  });

  test('since the plan refuses a move whose clients would wait for it', async () => {
    streams = false;
    held = { paused: true, delayMs: 0, reader: null };
    const began = performance.now();
    await expect(new MockActivityEnvironment().run(() => prepareMove(engine.deps, move))).rejects.toMatchObject({
      type: 'Refused',
      message: expect.stringContaining(
        `K5: ${STANDBY_2} can't follow ${STANDBY} before it replays: replay is paused`,
      ) as unknown,
    });
    expect(performance.now() - began).toBeLessThan(15_000);
  });

  test('stays when another one is removed: it has everything on its disk', async () => {
    const said = await new MockActivityEnvironment().run<[], string, () => Promise<string>>(() =>
      releaseStandby(engine.deps, { cluster: 'veloz', run: 'remove-1/2', node: PRIMARY, primary: STANDBY, turn: 0 }),
    );
    expect(said).toContain(`K1: ${STANDBY_2} has ${MARKER} on its disk and has not replayed it`);
    expect(said).toContain("synchronous_standby_names 'ANY 2 (veloz_standby)'");
  });
});
