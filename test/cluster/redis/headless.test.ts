import { headless } from '../../../src/cluster/redis/headless';
import {
  MASTER,
  picture,
  master,
  replica,
  REPLICA,
  sentinel,
  sentinelsNaming,
  SENTINELS,
  silent,
  silentSentinel,
} from './picture';

const both = [replica(MASTER, REPLICA), replica(REPLICA, MASTER)];
const acting = SENTINELS.map((name) => sentinel(name, MASTER, {}, { flags: ['master', 'failover_in_progress'] }));

describe('a Redis without any master', () => {
  test('is mended where every node answers, and one has everything', () => {
    expect(headless(picture(both, sentinelsNaming(MASTER)))).toEqual([{ kind: 'no master', node: MASTER }]);
    expect(headless(picture(both, [...sentinelsNaming(MASTER).slice(1), silentSentinel(SENTINELS[0])]))).toHaveLength(
      1,
    );
  });

  test.each([
    ['a node is a master', picture([master(MASTER), replica(REPLICA, MASTER)], sentinelsNaming(MASTER))],
    ['a node is silent', picture([replica(MASTER, REPLICA), silent(REPLICA, 'running')], sentinelsNaming(MASTER))],
    [
      'a node reads its files',
      picture([replica(MASTER, REPLICA, { loading: true }), replica(REPLICA, MASTER)], sentinelsNaming(MASTER)),
    ],
    [
      'the histories differ',
      picture(
        [replica(MASTER, REPLICA, { replicationId: 'another' }), replica(REPLICA, MASTER)],
        sentinelsNaming(MASTER),
      ),
    ],
    ['a Sentinel fails over', picture(both, acting)],
    [
      'no majority of the Sentinels answers',
      picture(both, [...sentinelsNaming(MASTER).slice(2), ...SENTINELS.slice(0, 2).map(silentSentinel)]),
    ],
  ])('is left alone where %s', (_why, seen) => {
    expect(headless(seen)).toEqual([]);
  });
});
