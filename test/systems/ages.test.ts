import { observeSqlOf } from '../../src/systems/postgres';
import { readinessOf } from '../../src/systems/postgres-readiness';

test('an age in milliseconds outgrows an integer of 32 bits after 24.8 days: none is asked for as one', async () => {
  const asked: string[] = [];
  const session = {
    query: (sql: string) => {
      asked.push(sql);
      return Promise.resolve([{ seen: {} }] as never[]);
    },
    close: () => undefined,
  };
  await observeSqlOf(session);
  await readinessOf(session).catch(() => undefined);

  expect(asked.length).toBeGreaterThan(1);
  const ages = asked.join('\n').match(/extract\(epoch.*$/gm) ?? [];
  expect(ages.length).toBeGreaterThan(3);
  expect(ages.filter((line) => /\)::int(eger|4)?\b/.test(line))).toEqual([]);
});

test('a session that tracks no activity hides its times: its transaction and its wait are told without them', async () => {
  let asked = '';
  await observeSqlOf({
    query: (sql: string) => {
      asked = sql;
      return Promise.resolve([{ seen: {} }] as never[]);
    },
    close: () => undefined,
  });
  expect(asked).toMatch(/'hiddenTransactions', CASE WHEN EXISTS .*\n.*state = 'disabled'/);
  expect(asked).toContain("l.locktype = 'virtualxid'");
  expect(asked).toMatch(/'ageless', .*FILTER \(WHERE query_start IS NULL\)/);
});
