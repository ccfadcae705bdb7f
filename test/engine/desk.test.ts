/* eslint-disable @typescript-eslint/require-await -- what a test answers at once is asked for as a promise */
import { Desk, type Intake, type PassOn } from '../../src/engine/desk';
import type { Leader } from '../../src/engine/leader';
import { StaleEpoch, StoreUnavailable, type Accepted, type Store } from '../../src/engine/store';
import { silent, times } from './support/fakes';

const intake: Intake = {
  asked: { symbol: 'BTCUSDT', side: 'buy', type: 'market', quantity: '1' },
  key: 'k',
  body: '{}',
  passedOn: false,
};
const kept = { id: '1-1', node: 'engine-1', epoch: 1 } as Accepted['order'];
type Identity = Parameters<Store['accept']>[2];

/** A desk before a leader whose role and a store whose answers a test sets. */
function desk(
  leader: Partial<Leader>,
  answers: (Error | ((given: Identity) => Accepted | Promise<Accepted>))[],
  passOn?: PassOn,
) {
  const given: Identity[] = [];
  let ended = 0;
  const superseded: number[] = [];
  const whole = {
    activeElsewhere: undefined,
    begin: () => ({ epoch: 1, end: () => (ended += 1) }),
    superseded: (epoch: number) => superseded.push(epoch),
    onChange: () => () => undefined,
    changed: (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)),
    ...leader,
  } as unknown as Leader;
  const store = {
    accept: async (_asked: unknown, _key: string, identity: Identity) => {
      given.push(identity);
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      if (typeof answer === 'function') return answer(identity);
      throw answer ?? new Error('the test has no answer');
    },
  } as unknown as Store;
  const nobody: PassOn = async () => ({ failed: 'nobody there', maybeAccepted: false });
  return {
    desk: new Desk('engine-1', { ...times, orderLimitMs: 600 }, whole, store, passOn ?? nobody, silent),
    given,
    superseded,
    ended: () => ended,
  };
}
const fresh = ({ id }: Identity): Accepted => ({ order: { ...kept, id }, again: false, sameBody: true });
const elsewhere = { begin: () => undefined, activeElsewhere: { node: 'engine-2', epoch: 2, url: 'http://x' } };

describe('where it is active', () => {
  test('an order is written with its node, its epoch and an id of the epoch', async () => {
    const set = desk({}, [fresh]);
    await expect(set.desk.place(intake)).resolves.toMatchObject({ kind: 'accepted', again: false });
    expect(set.given[0]).toMatchObject({ node: 'engine-1', epoch: 1, id: '1-1' });
    expect([set.desk.accepted, set.desk.lastOrder, set.ended()]).toEqual([1, '1-1', 1]);
  });

  test('one that was there before is told so, and not counted', async () => {
    const set = desk({}, [() => ({ order: { ...kept, id: '0-5' }, again: true, sameBody: true })]);
    await expect(set.desk.place(intake)).resolves.toMatchObject({ kind: 'accepted', again: true });
    expect(set.desk.accepted).toBe(0);
  });

  test('one whose answer was lost is found under its own id: it is new', async () => {
    const set = desk({}, [
      new StoreUnavailable('cut off', true),
      ({ id }) => ({ order: { ...kept, id }, again: true, sameBody: true }),
    ]);
    await expect(set.desk.place(intake)).resolves.toMatchObject({ kind: 'accepted', again: false });
    expect(new Set(set.given.map(({ id }) => id)).size).toBe(1);
    expect(set.ended()).toBe(2);
  });

  test('a key with another body is a conflict', async () => {
    const set = desk({}, [() => ({ order: kept, again: true, sameBody: false })]);
    await expect(set.desk.place(intake)).resolves.toEqual({ kind: 'conflict', order: kept });
  });

  test('what PostgreSQL refused for its epoch tells the leader', async () => {
    let turns = 0;
    const begin = () => ((turns += 1) === 1 ? { epoch: 1, end: () => undefined } : undefined);
    const set = desk({ begin }, [new StaleEpoch({ epoch: 2, node: 'engine-2', url: '' })]);
    await expect(set.desk.place(intake)).resolves.toMatchObject({ kind: 'unavailable' });
    expect(set.superseded).toEqual([1]);
    expect(set.desk.accepted).toBe(0);
  });

  test.each([
    [false, 'unavailable'],
    [true, 'unknown'],
  ])('while PostgreSQL is away, maybe written: %s, a client is told: %s', async (maybe, kind) => {
    const set = desk({}, [new StoreUnavailable('away', maybe)]);
    await expect(set.desk.place(intake)).resolves.toMatchObject({ kind });
  });

  test('an order that is sent again while it is under way is written once, and both hear of it', async () => {
    let confirm: () => void = () => undefined;
    const confirmed = new Promise<void>((resolve) => (confirm = resolve));
    const set = desk({}, [(given) => confirmed.then(() => fresh(given))]);
    const first = set.desk.place(intake);
    const again = [set.desk.place(intake), set.desk.place({ ...intake })];
    const other = set.desk.place({ ...intake, asked: { ...intake.asked, quantity: '2' } });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(set.given).toHaveLength(2);
    confirm();
    await expect(first).resolves.toMatchObject({ kind: 'accepted', again: false, order: { id: '1-1' } });
    for (const one of again)
      await expect(one).resolves.toMatchObject({ kind: 'accepted', again: true, order: { id: '1-1' } });
    await expect(other).resolves.toMatchObject({ kind: 'accepted', order: { id: '1-2' } });
    await set.desk.place(intake);
    expect(set.given).toHaveLength(3);
  });

  test('a mistake of the program is no outcome', async () => {
    await expect(desk({}, [new Error('bug')]).desk.place(intake)).rejects.toThrow('bug');
  });
});

describe('where another one is active', () => {
  const answering =
    (...answers: Awaited<ReturnType<PassOn>>[]): PassOn =>
    async () =>
      (answers.length > 1 ? answers.shift() : answers[0]) ?? { failed: 'no answer', maybeAccepted: false };

  test('its answer is the answer', async () => {
    const set = desk(elsewhere, [], answering({ status: 201, body: '{}' }));
    await expect(set.desk.place(intake)).resolves.toEqual({ kind: 'passed on', status: 201, body: '{}' });
  });

  test('its answer to one that was sent again meanwhile says that it is there already', async () => {
    const set = desk(elsewhere, [], answering({ status: 201, body: '{}' }));
    const [first, again] = await Promise.all([set.desk.place(intake), set.desk.place(intake)]);
    expect([first, again]).toMatchObject([{ status: 201 }, { status: 200, body: '{}' }]);
  });

  test('one that is not active yet is asked again', async () => {
    const set = desk(elsewhere, [], answering({ status: 503, body: '' }, { status: 200, body: '{}' }));
    await expect(set.desk.place(intake)).resolves.toMatchObject({ kind: 'passed on', status: 200 });
  });

  test.each([
    [false, 'unavailable'],
    [true, 'unknown'],
  ])('one that fails, maybe after it accepted: %s, is told as %s', async (maybeAccepted, kind) => {
    const set = desk(elsewhere, [], answering({ failed: 'cut off', maybeAccepted }));
    await expect(set.desk.place(intake)).resolves.toMatchObject({ kind });
  });

  test('an order that was passed on goes no further', async () => {
    const passOn = jest.fn<ReturnType<PassOn>, Parameters<PassOn>>();
    const set = desk(elsewhere, [], passOn);
    await expect(set.desk.place({ ...intake, passedOn: true })).resolves.toMatchObject({ kind: 'unavailable' });
    expect(passOn).not.toHaveBeenCalled();
  });
});
