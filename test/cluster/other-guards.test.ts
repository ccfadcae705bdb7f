import { problemSentence } from '../../src/cluster/check';
import { healthFindings } from '../../src/cluster/health';
import { clusterOfGuard } from '../../src/cluster/other-guards';
import { readinessFindings } from '../../src/cluster/readiness/findings';
import { picture, POOLER, PRIMARY, STANDBY } from './support/picture';

const RUN = '0b5f8a52-6c1d-4c0a-9a53-0d6f6d1f2a11';

describe('the cluster whose guard made a run', () => {
  test.each([
    ['failover-veloz-261128063000-0af1', 'veloz'],
    ['rejoin-my-trading-2-261128063000-0af1', 'my-trading-2'],
    ['repair-veloz-261128063000-0af1', 'veloz'],
    ['guard/my-trading', 'my-trading'],
    // Started by people: their command may not know what the worker calls the cluster.
    ['failover/default/20261128T063000Z-0af1', undefined],
    ['switchover-veloz-261128063000-0af1', undefined],
    ['change-1234', undefined],
  ])('of %s is %s', (workflowId, cluster) => {
    expect(clusterOfGuard(`${workflowId}/${RUN}`)).toBe(cluster);
  });

  test('is not known of a name that is none of a run', () => {
    expect(clusterOfGuard('failover-veloz-261128063000-0af1')).toBeUndefined();
  });
});

describe('a guard of another cluster that acts on the same nodes', () => {
  const claimed = (workflowId: string) => {
    const seen = picture();
    Object.assign(seen.node(STANDBY).agent ?? {}, { claimedBy: `${workflowId}/${RUN}` });
    Object.assign(seen.observed.pooler.agent ?? {}, { claimedBy: `${workflowId}/${RUN}` });
    return seen;
  };

  test('is told by status for each node that it owns, with the run and what to do', () => {
    const { topology, observed } = claimed('failover-other-261128063000-0af1');
    const found = healthFindings(topology, observed);
    expect(found.map(({ id, result }) => `${id} ${result}`)).toEqual(['E1 warn', 'E1 warn']);
    expect(found[0]).toMatchObject({
      measured: 'its agent belongs to run failover-other-261128063000-0af1',
      limit: `runs of ${observed.cluster} only`,
      next: 'veloz-ha guard stop --cluster "other"   # where the topology names that cluster',
    });
    const told = found.map(problemSentence).join('\n');
    expect(told).toContain(`a guard of cluster other acts on ${STANDBY} too`);
    expect(told).toContain(`acts on ${POOLER} too`);
    expect(told).not.toContain(PRIMARY);
  });

  test('is told by the guard, whose cluster stays ready', () => {
    const { topology, observed } = claimed('guard/other');
    expect(readinessFindings(topology, observed).map(({ id, result }) => `${id} ${result}`)).toContain('E1 warn');
  });

  test.each(['failover-CLUSTER-261128063000-0af1', 'guard/CLUSTER', 'switchover/default/20261128T063000Z-0af1'])(
    'is not seen in %s',
    (workflowId) => {
      const { topology, observed } = claimed(workflowId.replace('CLUSTER', picture().observed.cluster));
      expect(healthFindings(topology, observed)).toEqual([]);
      expect(readinessFindings(topology, observed)).toEqual([]);
    },
  );
});
