import { barredSays } from '../../../src/cluster/redis/barred';
import { redisFindings } from '../../../src/cluster/redis/health';
import { master, MASTER, picture, redisTopology, replica, REPLICA, sentinelsNaming, silent } from './picture';

const answered = { answered: true, ms: 1, role: 'master' } as const;
const full = { ...silent(MASTER, 'running'), error: 'ERR max number of clients reached' };
const beside = (node: ReturnType<typeof silent>, heardMs = 100) =>
  picture([node, replica(REPLICA, MASTER)], sentinelsNaming(MASTER, heardMs));

describe('a master that lets nobody new in', () => {
  test.each([
    ['ERR max number of clients reached', `docker restart ${MASTER}`],
    ['WRONGPASS invalid username-password pair or user is disabled.', `docker restart ${MASTER}`],
    ['connect ECONNREFUSED 127.0.0.1:16379', `docker restart ${MASTER}`],
    ['Command timed out', `docker exec ${MASTER} redis-cli ping`],
  ])('is told with what it says: %s', (error, next) => {
    expect(barredSays(beside({ ...full, error }), answered, MASTER)).toBe(
      `${MASTER} lets nobody new in, and goes on for those who are connected (${error}; limit: a new connection gets an answer). Next: ${next}`,
    );
  });

  test.each([
    ['it lets in whoever comes', picture([master(MASTER)], []), answered],
    ['it gives no answer over the held connection either', beside(full), { answered: false, ms: 200 }],
    ['it answers as a replica', beside(full), { ...answered, role: 'replica' as const }],
    ['it has ended since it was asked', beside(silent(MASTER)), answered],
  ])('is none where %s', (_what, seen, answer) => {
    expect(barredSays(seen, answer, MASTER)).toBeUndefined();
  });

  test('is no master that failed: nobody is told that the Sentinels replace it', () => {
    const told = redisFindings(redisTopology(), beside(full));
    expect(told[0]).toMatchObject({
      id: 'L3',
      refusal: `${MASTER} lets nobody new in, and goes on for those who are connected`,
      measured: expect.stringMatching(
        /^ERR max number of clients reached; veloz-redis-replica, .* heard from it/,
      ) as string,
      next: `docker restart ${MASTER}`,
    });
    expect(told.some(({ refusal }) => /no master answers/.test(refusal ?? ''))).toBe(false);
    const deaf = picture(
      [full, replica(REPLICA, MASTER, {}, { up: false, downMs: 5000 })],
      sentinelsNaming(MASTER, 5000),
    );
    expect(redisFindings(redisTopology(), deaf)[0]?.refusal).toMatch(/^no master answers/);
  });
});
