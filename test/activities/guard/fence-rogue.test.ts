import { MockActivityEnvironment } from '@temporalio/testing';
import { fenceRogue, type RogueRequest } from '../../../src/activities/guard/fence-rogue';
import { ActingCluster, POOLER, PRIMARY, silence, STANDBY } from './support/acting-cluster';

let cluster: ActingCluster;
jest.mock('../../../src/systems/postgres', () => ({
  ...jest.requireActual<object>('../../../src/systems/postgres'),
  connectPostgres: (...args: Parameters<ActingCluster['connect']>) => cluster.connect(...args),
}));

/** Two nodes are writable; a standby was promoted by hand, and is on the newest timeline. */
describe('of two writable nodes one is fenced', () => {
  let route: unknown;
  const fence = (rest: Partial<RogueRequest> = {}): Promise<string> =>
    new MockActivityEnvironment().run(() =>
      fenceRogue(cluster.engine.deps, {
        cluster: 'veloz',
        run: 'guard/veloz/1',
        node: PRIMARY,
        keep: STANDBY,
        ...rest,
      }),
    );
  const fenced = () => [...cluster.fences.keys()];
  beforeEach(() => {
    cluster = new ActingCluster();
    cluster.primary = STANDBY;
    route = { host: STANDBY, port: 5432 };
    cluster.before = (node, command) => (node === POOLER && command === 'observe' ? { route } : undefined);
  });
  afterEach(async () => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(cluster.engine.open).toBe(0);
  });

  test('where clients are led to the one that stays', async () => {
    expect(await fence({ named: false })).toContain(PRIMARY);
    expect(fenced()).toEqual([PRIMARY]);
  });

  test('where the ledger names the one that stays, whoever clients are led to: the pooler is not asked', async () => {
    route = { host: PRIMARY, port: 5432 };
    await fence({ named: true });
    expect(fenced()).toEqual([PRIMARY]);
    expect(cluster.engine.asked.filter((asked) => asked.startsWith(POOLER))).toEqual([]);
  });

  test.each<[string, () => void, RegExp]>([
    [
      'clients are led to the other one',
      () => (route = { host: PRIMARY, port: 5432 }),
      /^A3: .*: clients are led to .*primary:5432 \(limit: .*standby:5432\)\. .* was left alone.* Next: veloz-ha postgres status --cluster veloz$/,
    ],
    ['the pooler has no route', () => (route = null), /^A3: .* does not say: it has no route/],
    ['the pooler is gone', () => (cluster.engine.status[POOLER] = 'exited'), /^A3: .* does not say: .*is not running/],
    [
      'its agent is silent',
      () => (cluster.before = () => silence),
      /^A3: .* does not say: no answer within|no answer to/,
    ],
  ])('and neither, where the ledger names none and %s', async (_what, given, says) => {
    given();
    await expect(fence({ named: false })).rejects.toThrow(says);
    // Also for a guard that does not say what its ledger names.
    await expect(fence()).rejects.toThrow(says);
    expect(fenced()).toEqual([]);
  });
});
