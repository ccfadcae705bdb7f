import { healthFindings } from '../../../src/cluster/health';
import { readinessFindings } from '../../../src/cluster/readiness/findings';
import { primary, row } from '../support/objects';
import { picture, type Picture } from '../support/picture';

const names = (seen: Picture, value: string) =>
  Object.assign(primary(seen).sql.settings, { synchronous_standby_names: value });
const told = (seen: Picture) =>
  readinessFindings(seen.topology, seen.observed).filter(({ id }) => id === 'B2' || id === 'B8');

describe('the guard tells of commits that wait', () => {
  test('for more standbys than confirm', () => {
    const seen = picture();
    names(seen, 'ANY 2 (veloz_standby)');
    row(seen).syncState = 'quorum';
    expect(told(seen)).toMatchObject([
      {
        id: 'B2',
        result: 'refuse',
        refusal: 'commits wait for 2 standbys, of which 1 confirms: they wait for ever',
        next: expect.stringContaining(`ALTER SYSTEM SET synchronous_standby_names = 'veloz_standby'`) as unknown,
      },
    ]);
    // Told once, also where the picture of health is asked for.
    expect(healthFindings(seen.topology, seen.observed).filter(({ id }) => id === 'B2')).toHaveLength(1);
  });

  test('for a name that nobody who streams has', () => {
    const seen = picture();
    names(seen, 'somebody_else');
    row(seen).syncState = 'async';
    expect(told(seen)).toMatchObject([
      { id: 'B2', result: 'refuse', refusal: 'no standby is synchronous: commits wait for ever' },
    ]);
  });

  test('for longer than a moment', () => {
    const seen = picture();
    primary(seen).sql.syncRepWaiters = { count: 3, oldestMs: 4000 };
    expect(told(seen)).toMatchObject([{ id: 'B8', result: 'refuse', measured: '3 wait, the oldest for 4.00 s' }]);
  });

  test.each<[string, (seen: Picture) => void]>([
    ['all is well', () => undefined],
    ['the names are empty: the ledger says so', (seen) => names(seen, '')],
    ['its only standby is away: that is told by itself', (seen) => (primary(seen).sql.replication = [])],
  ])('and not where %s', (_what, change) => {
    const seen = picture();
    change(seen);
    expect(told(seen)).toEqual([]);
  });
});
