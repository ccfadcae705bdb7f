import { accessCluster } from '../../../src/activities/deps';
import { requireCopyableNow } from '../../../src/activities/rejoin/copyable';
import { PRIMARY, STANDBY } from '../guard/support/fake-engine';
import { FakeAgent } from './fake-agent';

describe('a full copy', () => {
  const request = { cluster: 'veloz', run: 'run 7', node: STANDBY, primary: PRIMARY, method: 'copy' as const, turn: 0 };
  const nothing = { leftOut: null, unreadable: null, tablespaces: [] };
  const check = (copyCheck: object | undefined) => {
    const agent = new FakeAgent();
    agent.copyCheck = copyCheck;
    return requireCopyableNow(accessCluster(agent.deps, 'veloz'), request);
  };
  const links = [{ path: '/var/lib/postgresql/data/base/16400', target: '/cold' }];
  const files = [{ path: '/var/lib/postgresql/data/x', mode: '0600', owner: 'root' }];
  const space = (problem: string) => ({ ...nothing, tablespaces: [{ oid: '16400', path: '/fast', problem }] });

  test.each<[string, object, string, string]>([
    [
      'would lack data',
      { ...nothing, leftOut: { links, more: 0 } },
      `M7: a copy of ${PRIMARY} would lack a part of its data: its server follows links, and no copy does: /var/lib/postgresql/data/base/16400 is a link to /cold`,
      `docker exec ${PRIMARY} psql -U postgres -d postgres -c "SELECT oid, datname FROM pg_database WHERE oid IN (16400)"`,
    ],
    [
      'would not come to its end',
      { ...nothing, unreadable: { user: 'postgres', files, more: 0 } },
      `M12: no node could be copied or rewound from ${PRIMARY}`,
      `docker exec -u root ${PRIMARY} chown postgres: /var/lib/postgresql/data/x`,
    ],
    [
      'has no directory for a tablespace',
      space("there is no such directory, and the server's user may not make it"),
      `M7: ${STANDBY} has no place for a copy of a tablespace of ${PRIMARY}: tablespace 16400 at /fast: there is no such directory`,
      `docker exec -u root ${STANDBY} install -d -o postgres -g postgres -m 0700 /fast`,
    ],
    [
      "would replace what may be another node's",
      space("it is not empty, and lies outside of the node's own volume"),
      `M7: ${STANDBY} has no place for a copy of a tablespace of ${PRIMARY}`,
      `docker exec -u root ${STANDBY} ls -la /fast`,
    ],
  ])('that %s is refused before anything is done', async (_what, found, says, next) => {
    const failure = await check(found).then(
      () => undefined,
      (error: Error & { type: string }) => error,
    );
    expect(failure?.type).toBe('Refused');
    expect(failure?.message).toContain(says);
    expect(failure?.message).toContain(`${STANDBY} is left as it is. Next: `);
    expect(failure?.message.split(' Next: ')[1]).toBe(next);
  });

  test.each([
    ['nothing is in its way', nothing],
    ['nothing is left out', { ...nothing, leftOut: { links: [], more: 0 } }],
    ['the agent is older', undefined],
  ])('is begun where %s', async (_what, found) => {
    await expect(check(found)).resolves.toBeUndefined();
  });
});
