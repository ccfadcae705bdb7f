import { WATCH_SLOTS, whyWatchesWait } from '../../../src/cluster/guard/watch-slots';

describe('the slots for watches', () => {
  test('as many guards as one worker can carry are no news', () => {
    expect(whyWatchesWait(0)).toBeUndefined();
    expect(whyWatchesWait(WATCH_SLOTS / 2)).toBeUndefined();
  });

  test('one more is told, with what was counted and the limit', () => {
    expect(whyWatchesWait(WATCH_SLOTS / 2 + 1)).toBe(
      '101 guards watch with up to 202 watches, one of PostgreSQL and one of Redis each (limit: 200, what one worker carries): when a worker dies, some of the clusters may be watched by nobody',
    );
  });
});
