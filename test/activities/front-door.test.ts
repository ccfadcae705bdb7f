import { openDoor } from '../../src/activities/front-door';
import { FakeServers, silence } from './guard/support/fake-engine';

describe('the way that clients take', () => {
  let servers: FakeServers;
  const open = (options?: { evenRefused?: boolean }) =>
    openDoor(
      {
        ...servers.access(),
        frontDoor: (limitMs) => servers.sql('client', limitMs),
        keptDoor: (limitMs) => servers.sql('kept', limitMs),
      },
      1000,
      options,
    );
  const isOpen = () => servers.sessions.filter(({ session }) => !session.closed).map(({ node }) => node);
  beforeEach(() => (servers = new FakeServers()));

  test("is an ordinary client's while that is served", async () => {
    expect((await open()).kept).toBe(false);
    expect(isOpen()).toEqual(['client']);
  });

  test('takes the kept place where the pool is full', async () => {
    servers.answer = (node) => (node === 'client' ? silence : { one: 1 });
    const session = await open();
    expect(session.kept).toBe(true);
    expect(isOpen()).toEqual(['kept']);
    session.close();
    expect(isOpen()).toEqual([]);
  });

  test('takes the kept place where PgBouncer takes no more clients', async () => {
    servers.connect = (node) =>
      node === 'client' ? new Error('no more connections allowed (max_client_conn)') : undefined;
    expect((await open()).kept).toBe(true);
    expect(isOpen()).toEqual(['kept']);
  });

  test('takes no kept place where the server refused the client: it would hide that', async () => {
    servers.answer = (node) => (node === 'client' ? new Error('pg_hba.conf rejects connection') : { one: 1 });
    await expect(open()).rejects.toThrow('pg_hba.conf rejects connection');
    expect(isOpen()).toEqual([]);
  });

  test('nor where it was refused at once; only whoever asks where the way leads takes it then', async () => {
    servers.connect = (node) => (node === 'client' ? new Error('role "veloz" is not permitted to log in') : undefined);
    await expect(open()).rejects.toThrow('not permitted to log in');
    expect((await open({ evenRefused: true })).kept).toBe(true);
    expect(isOpen()).toEqual(['kept']);
  });

  test('takes the kept place where the server itself has no more connections', async () => {
    servers.answer = (node) => (node === 'client' ? new Error('sorry, too many clients already') : { one: 1 });
    expect((await open()).kept).toBe(true);
  });

  test('is that of a client that waits, where neither is served', async () => {
    servers.answer = () => silence;
    expect((await open()).kept).toBe(false);
    expect(isOpen()).toEqual(['client']);
  });

  test('says why the client was refused, where it was in already and the kept place is not served', async () => {
    // PgBouncer, of a server that it can't reach: it ends the client with that.
    servers.answer = (node) => (node === 'client' ? new Error('server login has been failing') : silence);
    await expect(open({ evenRefused: true })).rejects.toThrow('server login has been failing');
    expect(isOpen()).toEqual([]);
  });

  test('says why the client was refused, where nobody gets in', async () => {
    servers.connect = (node) => new Error(`${node} is refused`);
    await expect(open()).rejects.toThrow('client is refused');
    expect(isOpen()).toEqual([]);
  });
});
