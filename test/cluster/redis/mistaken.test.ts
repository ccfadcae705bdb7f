import { diagnose } from '../../../src/cluster/redis/faults';
import { redisFindings } from '../../../src/cluster/redis/health';
import { mistakesOf } from '../../../src/cluster/redis/mistaken';
import { namedMaster, whoHears, type ObservedRedis, type SentinelState } from '../../../src/cluster/redis/observed';
import { judgeRedis } from '../../../src/cluster/redis/watch';
import { master, MASTER, picture, redisTopology, replica, REPLICA, sentinel, SENTINELS, silent } from './picture';

/** A Sentinel that names that master, and is connected to the server with that run. */
const naming = (name: string, names: string, runId: string, replicas: SentinelState['replicas'] = []) =>
  sentinel(name, names, { replicas }, { runId });
const all = (names: string, runId: string, replicas: SentinelState['replicas'] = []) =>
  SENTINELS.map((name) => naming(name, names, runId, replicas));
const entry = (host: string, runId: string) => ({ host, port: 6379, flags: ['slave'], runId });
const findings = (observed: ObservedRedis) => redisFindings(redisTopology(), observed);

describe('a Sentinel that is connected to another node than it means', () => {
  const whole = [master(MASTER, { runId: 'mmmm' }), replica(REPLICA, MASTER, { runId: 'rrrr' })];

  test('is none where each is taken for itself, was started since, or has not said who it is', () => {
    for (const runId of ['rrrr', 'of before', ''])
      expect(mistakesOf(picture(whole, all(MASTER, 'mmmm', [entry(REPLICA, runId)])))).toEqual([]);
    expect(mistakesOf(picture([master(MASTER), replica(REPLICA, MASTER)], all(MASTER, 'mmmm')))).toEqual([]);
  });

  test('and takes the master for its replica is told before it has the master follow itself', () => {
    const [one, ...rest] = all(MASTER, 'mmmm', [entry(REPLICA, 'rrrr')]);
    const seen = picture(whole, [
      one!,
      ...rest.slice(1),
      naming(SENTINELS[1], MASTER, 'mmmm', [entry(REPLICA, 'mmmm')]),
    ]);
    expect(findings(seen)).toMatchObject([
      {
        id: 'L3',
        result: 'refuse',
        refusal: `${SENTINELS[1]} takes ${MASTER} for ${REPLICA}: what it tells the one, such as whom to follow, it tells the other`,
        measured: `where it means ${REPLICA} it is connected to the server of ${MASTER} (run mmmm)`,
        next: `docker restart ${SENTINELS[1]}`,
      },
    ]);
  });

  test('and takes a replica for the master says nothing of that one', () => {
    const seen = picture(whole, all(MASTER, 'rrrr'));
    expect(findings(seen).map(({ next }) => next)).toEqual(SENTINELS.map((name) => `docker restart ${name}`));
    const gone = picture([silent(MASTER, 'running'), replica(REPLICA, MASTER, { runId: 'rrrr' })], all(MASTER, 'rrrr'));
    expect(whoHears(gone, MASTER)).toEqual([REPLICA]);
    const answer = { answered: false, ms: 250, problem: 'no answer' };
    const limits = { policy: { probeInterval: 250, probeLimit: 250, confirmations: 3 }, silenceMs: 2500 };
    const { signals } = judgeRedis([{ at: 0, lateMs: 0, master: MASTER, answer, picture: gone }], limits) as {
      signals: { source: string; says: string; speaks: string }[];
    };
    expect(signals.find(({ source }) => source === `sentinel ${SENTINELS[0]}`)).toMatchObject({
      speaks: 'neither',
      says: `names ${MASTER}, and hears ${REPLICA} in its place`,
    });
  });

  test('and takes the promoted master for the one that it replaced is told that the promoted one is the master', () => {
    const nodes = [silent(MASTER), master(REPLICA, { runId: 'rrrr' })];
    const seen = picture(nodes, [
      naming(SENTINELS[0], REPLICA, 'rrrr'),
      naming(SENTINELS[1], MASTER, 'rrrr'),
      naming(SENTINELS[2], MASTER, 'rrrr'),
    ]);
    expect(namedMaster(seen)).toBe(REPLICA);
    const wrong = SENTINELS.slice(1).map((node) => ({ kind: 'wrong word', node, master: REPLICA, says: MASTER }));
    expect(diagnose(seen)).toEqual({ faults: [...wrong, { kind: 'stopped', node: MASTER, status: 'exited' }] });
    expect(mistakesOf(seen)).toEqual([]);
    // Which of two masters is right its name says, by which clients find them.
    const two = picture([master(MASTER, { runId: 'mmmm' }), nodes[1]!], all(MASTER, 'rrrr'));
    expect(namedMaster(two)).toBe(MASTER);
  });
});
