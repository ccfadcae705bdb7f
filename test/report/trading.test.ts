import { engineFindings } from '../../src/cluster/engine/health';
import { engineMembers } from '../../src/cluster/engine/members';
import { redisFindings } from '../../src/cluster/redis/health';
import type { ObservedRedis } from '../../src/cluster/redis/observed';
import { redisPicture } from '../../src/report/redis';
import { tradingHints, tradingProblems, tradingSections, type TradingPicture } from '../../src/report/trading';
import { enginePicture, FIRST } from '../cluster/engine/picture';
import {
  healthy,
  master,
  MASTER,
  picture,
  redisTopology,
  replica,
  REPLICA,
  SENTINELS,
  sentinelsNaming,
  silent,
} from '../cluster/redis/picture';
import { plain } from './made-up';

const redisOf = (seen: ObservedRedis) => redisPicture(seen, redisFindings(redisTopology(), seen));
function enginesOf(change: (seen: ReturnType<typeof enginePicture>) => void = () => undefined) {
  const seen = enginePicture();
  change(seen);
  return { name: 'veloz', members: engineMembers(seen.observed), findings: engineFindings(seen.observed) };
}
const well: TradingPicture = { started: true, redis: redisOf(healthy()), engines: enginesOf() };
const text = (trading: TradingPicture, width = 110) => tradingSections(trading, plain({ width })).join('\n\n');

test('healthy tiers: who is what, how far behind, and that the Sentinels agree', () => {
  expect(tradingProblems(well, 'veloz')).toEqual([]);
  expect(tradingHints(well)).toEqual([]);
  expect(text(well)).toMatchInlineSnapshot(`
   "Redis
     NODE                 ROLE     FOLLOWS             LINK  OFFSET  LAG
     veloz-redis-master   master                               1000
     veloz-redis-replica  replica  veloz-redis-master  up      1000  0 B
     ✔ 3 of 3 Sentinels name veloz-redis-master

   Engines and HAProxy
     NODE            ROLE     STATE         EPOCH  HAPROXY    REQUESTS  NOTE
     veloz-engine-1  active   takes orders      7  UP                0
     veloz-engine-2  standby  healthy           7  not ready         0
     veloz-haproxy   proxy    running                                   clients reach veloz-engine-1"
  `);
});

test('a topology without these tiers shows nothing', () => {
  expect([tradingProblems({}, 'veloz'), tradingHints({}), tradingSections({}, plain())]).toEqual([[], [], []]);
});

test('tiers that nobody started are a hint and no problem', () => {
  expect(tradingProblems({ started: false }, 'veloz')).toEqual([]);
  expect(tradingHints({ started: false })).toEqual([
    {
      says: 'Redis, the engines and HAProxy are not started; PostgreSQL and PgBouncer alone are',
      next: 'veloz-ha stack up',
    },
  ]);
});

test('what is wrong in one tier is a problem with its command, and hides no other tier', () => {
  const ill: TradingPicture = { ...well, engines: enginesOf((seen) => seen.kill(FIRST)) };
  expect(tradingProblems(ill, 'veloz').map(({ next }) => next)).toContain(`docker start ${FIRST}`);
  expect(text(ill)).toContain('3 of 3 Sentinels name veloz-redis-master');
  const unseen: TradingPicture = { started: true, engines: well.engines, silent: { redis: 'no answer within 4 s' } };
  expect(tradingProblems(unseen, 'veloz')).toEqual([
    { says: 'Redis could not be looked at: no answer within 4 s', next: 'veloz-ha redis status --cluster veloz' },
  ]);
  expect(text(unseen)).toContain('veloz-haproxy');
});

test('Sentinels that do not agree, or do not answer, are shown one by one', () => {
  const nodes = [master(MASTER), replica(REPLICA, MASTER)];
  const [first, ...others] = sentinelsNaming(MASTER);
  const two = redisOf(picture(nodes, [first!, ...others.slice(0, 1), { ...silent(SENTINELS[2]), state: null }]));
  expect(text({ redis: two })).toContain('2 of 3 Sentinels name veloz-redis-master');
  expect(text({ redis: two })).toMatch(/veloz-redis-sentinel-3 +stopped/);
  const apart = redisOf(picture(nodes, [first!, ...sentinelsNaming(REPLICA).slice(1)]));
  expect(text({ redis: apart })).toContain('3 of 3 Sentinels answer, and name different masters');
});
