import { countAttempt, isDue, noAttempts, startAgain } from '../../src/activities/start-again';

describe('what is started again', () => {
  test('is due once others had their time, and after each attempt later', () => {
    const tried = noAttempts(5000);
    expect(isDue(tried, 5999, 1000)).toBe(false);
    expect(isDue(tried, 6000, 1000)).toBe(true);
    let now = 6000;
    const pauses: number[] = [];
    for (let times = 0; times < 3; times++) {
      countAttempt(tried, now, { backoff: 2000 });
      pauses.push(tried.notBefore - now);
      expect(isDue(tried, tried.notBefore - 1, 1000)).toBe(false);
      now = tried.notBefore;
      expect(isDue(tried, now, 1000)).toBe(true);
    }
    expect(pauses).toEqual([2000, 4000, 8000]);
    expect(tried).toMatchObject({ since: 5000, attempts: 3 });
  });

  test('is started by its name; why it was not is what Docker says', async () => {
    const started: string[] = [];
    await startAgain({ start: (name) => Promise.resolve(void started.push(name)) }, 'a');
    expect(started).toEqual(['a']);
    const broken = { start: () => Promise.reject(new Error('no such image')) };
    await expect(startAgain(broken, 'a')).rejects.toThrow('no such image');
  });
});
