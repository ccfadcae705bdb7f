import { MockActivityEnvironment } from '@temporalio/testing';
import { recordPromotion, type RecordResult } from '../../../src/activities/failover/record';
import { ActingCluster, STANDBY } from '../guard/support/acting-cluster';

let cluster: ActingCluster;
jest.mock('../../../src/systems/postgres', () => ({
  ...jest.requireActual<object>('../../../src/systems/postgres'),
  connectPostgres: (...args: Parameters<ActingCluster['connect']>) => cluster.connect(...args),
}));

test('the record of a promotion tells what it emptied, beside what could not be written', async () => {
  cluster = new ActingCluster();
  cluster.before = (_node, command) => (command === 'readiness' ? { unlogged: 2 } : undefined);
  cluster.servers.answer = (_node, sql) =>
    sql.includes('veloz_ha.epoch') ? new Error('no such table') : { timeline: 4 };
  const request = { cluster: 'veloz', run: 'failover-1/2', target: STANDBY };
  const result = await new MockActivityEnvironment().run<[], RecordResult, () => Promise<RecordResult>>(() =>
    recordPromotion(cluster.engine.deps, request),
  );
  expect(result).toEqual({
    timeline: 4,
    epoch: null,
    detail: 'timeline 4, CHECKPOINT done',
    warnings: [
      'the epoch could not be written into PostgreSQL: no such table',
      'M6: 2 unlogged tables, indexes and sequences are empty on veloz-postgres-standby since its promotion: no WAL is written of them',
    ],
  });
});
