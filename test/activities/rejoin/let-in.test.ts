import { accessCluster } from '../../../src/activities/deps';
import { requireLetIn } from '../../../src/activities/rejoin/let-in';
import { PRIMARY, STANDBY } from '../guard/support/fake-engine';
import { FakeAgent } from './fake-agent';

describe('a standby that is to follow anew', () => {
  const refused = { host: PRIMARY, port: 5432, ok: false, problem: 'permission denied to start WAL sender (42501)' };
  const running = { desired: 'up', signals: { standby: true }, postgres: { state: 'running', pid: 7, sinceMs: 5 } };
  const request = { cluster: 'veloz', run: 'run 7', node: STANDBY, primary: PRIMARY, method: 'auto' as const, turn: 0 };
  const look = (seen: Record<string, unknown>, replication: unknown) => {
    const agent = new FakeAgent();
    agent.seen = seen;
    agent.readiness = replication === undefined ? undefined : { replication };
    return requireLetIn(accessCluster(agent.deps, 'veloz'), request);
  };

  test('is left as it is where the primary does not let it in', async () => {
    await expect(look(running, [refused])).rejects.toMatchObject({
      type: 'Refused',
      message: `C4: ${STANDBY} runs, and is left as it is: ${PRIMARY} does not let it in: permission denied to start WAL sender (42501) (limit: IDENTIFY_SYSTEM answers). Next: docker logs --tail 20 ${PRIMARY}`,
    });
  });

  test.each<[string, Record<string, unknown>, unknown]>([
    ['the primary lets it in', running, [{ ...refused, ok: true, problem: null }]],
    ['the primary starts, or gives no answer in time', running, [{ ...refused, ok: null }]],
    ['another node refuses it', running, [{ ...refused, host: 'another' }]],
    ['it is fenced already', { ...running, desired: 'fenced' }, [refused]],
    ['it was the primary', { ...running, signals: { standby: false } }, [refused]],
    ['it does not run', { ...running, postgres: { state: 'stopped', pid: null, sinceMs: 5 } }, [refused]],
    ['its agent does not tell', running, undefined],
  ])('is not where %s', async (_what, seen, replication) => {
    await expect(look(seen, replication)).resolves.toBeUndefined();
  });
});
