import { LedgerOfLook } from '../../../src/activities/guard/known-ledger';
import type { KnownLedger, MemberFacts, MembersRound } from '../../../src/cluster/guard/mending';
import { standbyFiles } from '../../cluster/guard/support/standby-files';

const member = (name: string, status: string, rest: Partial<MemberFacts> = {}): MemberFacts => ({
  name,
  optional: false,
  container: { status, ...(status === 'exited' ? { exitCode: 137 } : {}) },
  ...rest,
});
const look = (members: MemberFacts[], writable: string[] = []): MembersRound => ({
  writable,
  streams: [],
  commitsWait: false,
  members,
});

describe('the ledger for a look at all nodes', () => {
  let now = 0;
  let asked = 0;
  let read: string[] = [];
  let record = '';
  let ledger: KnownLedger | undefined;
  beforeEach(() => {
    [now, asked, read, record] = [10_000, 0, [], standbyFiles().record ?? ''];
    ledger = { state: 'degraded', primary: 'p', timeline: 3, synchronous: [], systemIdentifier: '77' };
    jest.spyOn(performance, 'now').mockImplementation(() => now);
  });
  afterEach(() => jest.restoreAllMocks());

  const made = () =>
    new LedgerOfLook(
      {
        guardState: () => {
          asked += 1;
          return ledger === undefined ? Promise.reject(new Error('no guard')) : Promise.resolve({ ledger } as never);
        },
        docker: {
          readBytes: (node: string) => {
            read.push(node);
            return Promise.resolve(standbyFiles().control);
          },
          readFile: (_node: string, path: string) => Promise.resolve(path.endsWith('agent.json') ? record : ''),
        } as never,
      },
      { name: 'veloz' },
    );

  test('is asked for where nobody takes writes and a container was killed, each time anew', async () => {
    const ledgers = made();
    const killed = look([member('p', 'paused'), member('s', 'exited')]);
    expect((await ledgers.of(killed)).ledger).toEqual(ledger);
    ledger = undefined;
    expect((await ledgers.of(killed)).ledger).toBeUndefined();
    expect(asked).toBe(2);
    expect((await ledgers.of(look([member('p', 'paused'), member('s', 'running')]))).ledger).toBeUndefined();
    expect(asked).toBe(2);
  });

  test('is asked for where nobody takes writes and an optional node is not there: it may be the one that it names', async () => {
    const ledgers = made();
    const without = look([member('p', 'running'), member('s', 'absent', { optional: true })]);
    expect((await ledgers.of(without)).ledger).toEqual(ledger);
    expect((await ledgers.of(without)).ledger).toEqual(ledger);
    expect(asked).toBe(1);
    now += 5000;
    await ledgers.of(without);
    expect(asked).toBe(2);
  });

  test('is asked for once where somebody takes writes and a node does not follow', async () => {
    const ledgers = made();
    const well = { ...look([member('p', 'running'), member('s', 'running')], ['p']), streams: ['s'] };
    expect((await ledgers.of(well)).ledger).toBeUndefined();
    expect(asked).toBe(0);
    const away = look([member('p', 'running'), member('s', 'exited')], ['p']);
    expect((await ledgers.of(away)).ledger).toEqual(ledger);
    now += 60_000;
    expect((await ledgers.of(away)).ledger).toEqual(ledger);
    expect(asked).toBe(1);
  });

  test('until it names a database system it is asked for every few seconds', async () => {
    const ledgers = made();
    ledger = { state: 'unknown', primary: null, timeline: 0, synchronous: [] };
    const away = look([member('p', 'running'), member('s', 'exited')], ['p']);
    await ledgers.of(away);
    await ledgers.of(away);
    expect(asked).toBe(1);
    now += 5000;
    await ledgers.of(away);
    expect(asked).toBe(2);
  });

  test('beside its killed primary the files of those are read of whom nobody hears anything', async () => {
    const others = [
      member('p', 'exited'),
      member('s', 'paused'),
      member('t', 'running', { sql: { inRecovery: true } }),
    ];
    const { round } = await made().of(look(others));
    expect(read).toEqual(['s']);
    expect(round.members.map(({ files }) => files)).toEqual([undefined, { timeline: 3 }, undefined]);
  });

  test('files that prove nothing are no proof, and beside a primary that may run none are read', async () => {
    record = '{"promotion": {"run": "run 8", "atMs": 1}}';
    const { round } = await made().of(look([member('p', 'exited'), member('s', 'paused')]));
    expect(round.members[1]?.files).toBeUndefined();
    read = [];
    await made().of(look([member('p', 'paused'), member('s', 'paused'), member('t', 'exited')]));
    expect(read).toEqual([]);
  });
});
