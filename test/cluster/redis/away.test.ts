import { awayFrom, silentBeside } from '../../../src/cluster/redis/away';
import type { ObservedRedisNode, ObservedSentinel } from '../../../src/cluster/redis/observed';
import {
  healthy,
  killed,
  master,
  MASTER,
  picture,
  replica,
  REPLICA,
  SENTINELS,
  sentinelsNaming,
  silent,
  silentSentinel,
  THIRD,
} from './picture';

const nobody: ReadonlySet<string> = new Set();
const away = (node: ObservedRedisNode, looping = nobody, sentinels: ObservedSentinel[] = sentinelsNaming(MASTER)) =>
  awayFrom(picture([master(MASTER), node], sentinels), MASTER, looping).map(({ says, next }) => `${says} | ${next}`);

describe('who is away beside a master that is well', () => {
  test('is nobody where all answer, and the master itself is judged elsewhere', () => {
    expect(awayFrom(healthy(), MASTER, nobody)).toEqual([]);
    expect(awayFrom(picture([silent(MASTER), master(REPLICA)], sentinelsNaming(REPLICA)), MASTER, nobody)).toEqual([]);
  });

  test.each([
    [
      'ends again and again',
      silent(REPLICA, 'restarting'),
      'ends each time that Docker starts it',
      'docker logs --tail 20',
    ],
    [
      'runs',
      silent(REPLICA, 'running'),
      'gives no answer (connect ECONNREFUSED 127.0.0.1:16379)',
      'docker logs --tail 20',
    ],
    ['is frozen', silent(REPLICA, 'paused'), 'is frozen, and stays so', 'docker unpause'],
    [
      'a person stopped',
      silent(REPLICA),
      'was told to stop, and stays so (its container is exited, exit code 0)',
      'docker start',
    ],
    ['was killed', killed(REPLICA), 'does not run (its container is exited, exit code 137)', 'docker start'],
  ])('a replica that %s is told with the next command', (_what, node, says, next) => {
    expect(away(node)).toEqual([`${REPLICA} ${says}: nobody could take over | ${next} ${REPLICA}`]);
  });

  test('a container that was seen restarting is told so in the moments in which it runs, too', () => {
    expect(away(silent(REPLICA, 'running'), new Set([REPLICA]))).toEqual([
      `${REPLICA} ends each time that Docker starts it: nobody could take over | docker logs --tail 20 ${REPLICA}`,
    ]);
  });

  test('where another replica could take over that is not denied', () => {
    const seen = picture([master(MASTER), killed(REPLICA), replica(THIRD, MASTER)], sentinelsNaming(MASTER));
    expect(awayFrom(seen, MASTER, nobody)).toMatchObject([
      { name: REPLICA, says: `${REPLICA} does not run (its container is exited, exit code 137)` },
    ]);
  });

  test('of the Sentinels those that run: others are looked after by their containers', () => {
    const [one, two, three] = SENTINELS;
    const loops = { ...silentSentinel(one), container: { exists: true, running: true, status: 'restarting' } };
    const rest = sentinelsNaming(MASTER).slice(2);
    const seen = picture(healthy().nodes, [loops, silentSentinel(two), ...rest]);
    expect(rest[0]?.name).toBe(three);
    expect(awayFrom(seen, MASTER, nobody)).toMatchObject([{ name: one }, { name: two }]);
    const most = picture(healthy().nodes, [loops, ...sentinelsNaming(MASTER).slice(1)]);
    expect(awayFrom(most, MASTER, nobody)).toEqual([
      { name: one, says: `${one} ends each time that Docker starts it`, next: `docker logs --tail 20 ${one}` },
    ]);
    const stopped = picture(healthy().nodes, [silentSentinel(one), ...sentinelsNaming(MASTER).slice(1)]);
    expect(awayFrom(stopped, MASTER, nobody)).toEqual([]);
  });

  test('all Sentinels that give no answer where fewer than a majority does, also those that a person stopped or removed', () => {
    const [one, two] = SENTINELS;
    const ended = { exists: true, running: false, status: 'exited', exitCode: 0 };
    const stopped = (name: string) => ({ ...silentSentinel(name), container: ended });
    const gone = { ...silentSentinel(two), container: { exists: false, running: false, status: 'absent' } };
    const [, , rest] = sentinelsNaming(MASTER);
    const says = `${one} was told to stop, and stays so (its container is exited, exit code 0): nobody could fail over`;
    const seen = (...away: ObservedSentinel[]) =>
      awayFrom(picture(healthy().nodes, [...away, ...(rest === undefined ? [] : [rest])]), MASTER, nobody);
    expect(seen(stopped(one), stopped(two))).toMatchObject([
      { name: one, says, next: `docker start ${one} ${two}` },
      { name: two, next: `docker start ${one} ${two}` },
    ]);
    expect(seen(stopped(one), gone)).toMatchObject([
      { name: one, says, next: `docker start ${one}` },
      { name: two, says: `${two} has no container: nobody could fail over`, next: 'veloz-ha stack up' },
    ]);
  });
});

describe('a node that runs and gives no answer', () => {
  const hangs = (node: ObservedRedisNode, sentinels = sentinelsNaming(MASTER)) =>
    silentBeside(picture([master(MASTER), node], sentinels));

  test('may hang beside the master that the Sentinels name', () => {
    expect(hangs(silent(REPLICA, 'running'))).toEqual([REPLICA]);
  });

  test('may have been the master that was replaced', () => {
    expect(silentBeside(picture([silent(MASTER, 'running'), master(REPLICA)], sentinelsNaming(REPLICA)))).toEqual([
      MASTER,
    ]);
  });

  test.each(['exited', 'paused', 'restarting', 'unknown'])('is not one that is %s', (status) => {
    expect(hangs(silent(REPLICA, status))).toEqual([]);
  });

  test('is left alone where it may be the master, or was taken off its networks', () => {
    expect(hangs(silent(REPLICA, 'running'), sentinelsNaming(REPLICA))).toEqual([]);
    expect(hangs(silent(REPLICA, 'running'), sentinelsNaming(null))).toEqual([]);
    expect(
      silentBeside(picture([silent(MASTER, 'running'), replica(REPLICA, MASTER)], sentinelsNaming(MASTER))),
    ).toEqual([]);
    const node = silent(REPLICA, 'running');
    const off = { ...node.container, offNetworks: { by: 'run' as const, home: 'veloz-ha' } };
    expect(hangs({ ...node, container: off })).toEqual([]);
  });
});
