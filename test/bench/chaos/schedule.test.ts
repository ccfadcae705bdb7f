import { catalogueOf } from '../../../src/bench/chaos/catalogue';
import { actionsOf, actionsText, onlyThese, parseActions, type Possible } from '../../../src/bench/chaos/schedule';

const places = { primary: 'p', standby: 's', pooler: 'b' };
const possible = catalogueOf(places, { redis: false, engines: false, disks: false, clocks: false });

describe('what a round does', () => {
  test('is the same for the same seed and round, and another one for others', () => {
    const drawn = (seed: number) =>
      Array.from({ length: 30 }, (_, round) => actionsText(actionsOf(seed, round, possible)));
    expect(drawn(7)).toEqual(drawn(7));
    expect(drawn(7).filter((one, round) => one === drawn(8)[round]).length).toBeLessThan(3);
    expect(new Set(drawn(7)).size).toBeGreaterThan(20);
  });

  test('is one to three things, each possible, none twice at one place, each in its time', () => {
    const sizes = new Set<number>();
    for (let round = 0; round < 500; round++) {
      const actions = actionsOf(1, round, possible);
      sizes.add(actions.length);
      expect(new Set(actions.map(({ what, where }) => `${what}:${where}`)).size).toBe(actions.length);
      expect(actions[0]?.afterMs).toBe(0);
      for (const { what, where, forMs } of actions) {
        const kinds = possible.filter((one) => one.what === what && one.where.includes(where));
        expect(kinds.some(({ forMs: [least, most] = [0, 0] as const }) => least <= forMs && forMs <= most)).toBe(true);
      }
    }
    expect([...sizes].sort()).toEqual([1, 2, 3]);
  });

  test('leaves no possibility out in the long run', () => {
    const drawn = new Set<string>();
    for (let round = 0; round < 2000; round++)
      for (const { what, where } of actionsOf(1, round, possible)) drawn.add(`${what}:${where}`);
    expect([...drawn].sort()).toEqual(
      [...new Set(possible.flatMap(({ what, where }) => where.map((place) => `${what}:${place}`)))].sort(),
    );
  });

  test('can be limited to names, and says which are none', () => {
    const only = onlyThese(possible, ['kill:primary', 'freeze']);
    expect(new Set(only.map(({ what }) => what))).toEqual(new Set(['kill', 'freeze']));
    expect(only.filter(({ what }) => what === 'kill').flatMap(({ where }) => where)).toEqual(['primary']);
    expect(() => onlyThese(possible, ['flood'])).toThrow('"flood" is none of: kill');
    expect(() => onlyThese(possible, ['kill:moon'])).toThrow('not at "moon"');
    expect(onlyThese(possible, [])).toEqual(possible);
  });

  test('can be written down and read again', () => {
    const actions = actionsOf(3, 4, possible);
    expect(parseActions(actionsText(actions))).toEqual(actions);
    expect(() => parseActions('kill:primary')).toThrow('expected what:where@afterMs+forMs');
  });

  test('needs something that is possible', () => {
    const nothing: Possible[] = [];
    expect(() => actionsOf(1, 1, nothing)).toThrow('nothing to pick from');
  });
});
