import { MockActivityEnvironment } from '@temporalio/testing';
import { watchMembers, type MembersWatchResult } from '../../../src/activities/guard/watch-members';
import { ActingCluster, POOLER, PRIMARY, STANDBY } from './support/acting-cluster';

let cluster: ActingCluster;
jest.mock('../../../src/systems/postgres', () => ({
  ...jest.requireActual<object>('../../../src/systems/postgres'),
  connectPostgres: (...args: Parameters<ActingCluster['connect']>) => cluster.connect(...args),
}));

describe('a stretch of looking after what is left over', () => {
  const watch = (mayStart: boolean, forMs: number): Promise<MembersWatchResult> =>
    new MockActivityEnvironment().run(() =>
      watchMembers(cluster.engine.deps, { cluster: 'veloz', mayAct: false, mayStart, known: [], forMs }),
    );
  beforeEach(() => {
    cluster = new ActingCluster();
  });

  test.each([STANDBY, PRIMARY, POOLER])(
    'the agent of %s, whose server works and streams, is woken, and that ends the stretch',
    async (node) => {
      cluster.engine.stopped.add(node);
      const result = await watch(true, 20_000);
      expect(result).toMatchObject({ why: 'sees', leftOver: [] });
      expect(result.started).toEqual([expect.stringContaining(`the agent of ${node} was woken`)]);
      expect(cluster.engine.did).toEqual([`wake ${node}`]);
    },
    30_000,
  );

  test('in a mode in which people want to act themselves nobody is woken', async () => {
    cluster.engine.stopped.add(STANDBY);
    expect(await watch(false, 5000)).toMatchObject({ why: 'quiet', leftOver: [] });
    expect(cluster.engine.did).toEqual([]);
  }, 30_000);
});
