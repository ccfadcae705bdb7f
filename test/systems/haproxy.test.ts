import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { createHaproxyClient, readServers } from '../../src/systems/haproxy';

/** As HAProxy 3.0 says it, with fewer columns. */
const STATE = `1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_check_state srv_fqdn srv_port
3 veloz_engines 1 veloz-engine-1 172.19.0.3 2 0 1 6 veloz-engine-1 8080
3 veloz_engines 2 veloz-engine-2 172.19.0.4 0 8 1 7 veloz-engine-2 8080
3 veloz_engines 3 waiting-room - 2 0 1 0 - 0

`;
const STATISTICS = `# pxname,svname,qcur,qmax,scur,smax,status,check_status,check_code,addr,
veloz_engines,veloz-engine-1,4,9,7,200,UP,* L7OK,200,172.19.0.3:8080,
veloz_engines,veloz-engine-2,0,0,0,200,DOWN,L7STS,503,172.19.0.4:8080,
veloz_engines,waiting-room,0,912,0,200,no check,,,unix,

`;

const withAdmin = (bits: number): string => STATE.replace('172.19.0.4 0 8 1', `172.19.0.4 0 ${bits} 1`);

describe('the servers of a backend', () => {
  test('are read from their state and their statistics', () => {
    expect(readServers('veloz_engines', STATE, STATISTICS).slice(0, 2)).toEqual([
      {
        name: 'veloz-engine-1',
        up: true,
        admin: 'ready',
        weight: 1,
        checked: true,
        status: 'UP',
        check: 'L7OK 200',
        sessions: 7,
        queued: 4,
        address: '172.19.0.3:8080',
      },
      {
        name: 'veloz-engine-2',
        up: false,
        admin: 'drain',
        weight: 1,
        checked: true,
        status: 'DOWN',
        check: 'L7STS 503',
        sessions: 0,
        queued: 0,
        address: '172.19.0.4:8080',
      },
    ]);
  });

  test.each([
    [0, 'ready'],
    [0x08, 'drain'],
    [0x10, 'drain'],
    [0x01, 'maint'],
    [0x20, 'maint'],
    [0x09, 'maint'],
  ])('an administrative state of %d is %s', (bits, admin) => {
    expect(readServers('veloz_engines', withAdmin(bits), STATISTICS)[1]?.admin).toBe(admin);
  });

  test('tell their weight and whether they are checked, where HAProxy says so', () => {
    const second = (state: string) => readServers('veloz_engines', state, STATISTICS)[1];
    expect(second(STATE.replace('0 8 1 7', '0 8 0 7'))).toMatchObject({ weight: 0, checked: true });
    // Configured, and disabled.
    expect(second(STATE.replace('0 8 1 7', '0 8 1 2'))).toMatchObject({ weight: 1, checked: false });
    expect(second(STATE.replace('srv_uweight', 'a').replace('srv_check_state', 'b'))).not.toHaveProperty('weight');
  });

  test.each([
    ['UP', true],
    ['UP 1/2', true],
    ['DRAIN', true],
    ['DOWN', false],
    ['DOWN 1/2', false],
    ['MAINT', false],
  ])('by its checks a server that is %s is up: %s', (status, up) => {
    const statistics = STATISTICS.replace(',UP,', `,${status},`);
    expect(readServers('veloz_engines', STATE, statistics)[0]?.up).toBe(up);
  });

  test('are an error when there is no such backend', () => {
    expect(() => readServers('other', "Can't find backend.\n", 'No such proxy.\n')).toThrow(
      "HAProxy has no backend other with servers: Can't find backend.",
    );
  });
});

describe('the runtime API', () => {
  let server: Server;
  let said: string[];
  /** Says what HAProxy would; a test replaces it. */
  let answer: (command: string, socket: Socket) => void;
  const client = () => createHaproxyClient({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });

  beforeEach(async () => {
    said = [];
    answer = (_command, socket) => socket.end('\n');
    server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', (chunk) => {
        said.push(chunk.toString());
        answer(chunk.toString().trim(), socket);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterEach(() => new Promise((resolve) => server.close(resolve)));

  test('names the servers without the waiting room', async () => {
    answer = (command, socket) => socket.end(command.startsWith('show stat') ? STATISTICS : STATE);
    const servers = await client().servers('veloz_engines');
    expect(servers.map(({ name }) => name)).toEqual(['veloz-engine-1', 'veloz-engine-2']);
    expect(said.sort()).toEqual(['show servers state veloz_engines\n', 'show stat veloz_engines 4 -1\n']);
  });

  test('drains, readies and marks a server', async () => {
    await client().setState('veloz_engines', 'veloz-engine-1', 'drain');
    await client().setState('veloz_engines', 'veloz-engine-1', 'ready');
    await client().setHealth('veloz_engines', 'veloz-engine-1', 'up');
    await client().restoreWeight('veloz_engines', 'veloz-engine-1');
    await client().enableChecks('veloz_engines', 'veloz-engine-1');
    expect(said).toEqual([
      'set server veloz_engines/veloz-engine-1 state drain\n',
      'set server veloz_engines/veloz-engine-1 state ready\n',
      'set server veloz_engines/veloz-engine-1 health up\n',
      'set server veloz_engines/veloz-engine-1 weight 100%\n',
      'enable health veloz_engines/veloz-engine-1\n',
    ]);
  });

  test('reads an answer that comes in pieces', async () => {
    answer = (_command, socket) => {
      socket.write('Name: HAProxy\nVersion: 3.0');
      setImmediate(() => socket.end('.11\nUptime_sec: 135\n'));
    };
    expect(await client().info()).toEqual({ version: '3.0.11', uptimeSeconds: 135 });
  });

  test('says what HAProxy refused', async () => {
    answer = (_command, socket) => socket.end('No such server.\n\n');
    await expect(client().setState('veloz_engines', 'nobody', 'drain')).rejects.toThrow(
      'HAProxy refused "set server veloz_engines/nobody state drain": No such server.',
    );
  });

  test.each(['a b', 'a;b', 'a\nb', ''])('sends no name that would be another command: %j', async (name) => {
    const haproxy = client();
    await expect(haproxy.setState('veloz_engines', name, 'drain')).rejects.toThrow('no name');
    await expect(haproxy.setHealth(name, 'veloz-engine-1', 'up')).rejects.toThrow('no name');
    await expect(haproxy.restoreWeight('veloz_engines', name)).rejects.toThrow('no name');
    await expect(haproxy.enableChecks(name, 'veloz-engine-1')).rejects.toThrow('no name');
    await expect(haproxy.servers(name)).rejects.toThrow('no name');
    expect(said).toEqual([]);
  });

  test('is an error when it closes without an answer', async () => {
    answer = (_command, socket) => socket.end();
    await expect(client().info()).rejects.toThrow('it closed without an answer');
  });

  test('is an error when it never answers', async () => {
    answer = () => undefined;
    await expect(client().info()).rejects.toThrow('no answer to "show info" within');
  });

  test('is an error when nobody listens', async () => {
    const absent = createServer();
    await new Promise<void>((resolve) => absent.listen(0, '127.0.0.1', resolve));
    const { port } = absent.address() as AddressInfo;
    await new Promise((resolve) => absent.close(resolve));
    await expect(createHaproxyClient({ host: '127.0.0.1', port }).info()).rejects.toThrow('ECONNREFUSED');
  });
});

describe('how long a request has waited', () => {
  const read = (file: string) => readFileSync(join(__dirname, '../../docker/haproxy', file), 'utf8');
  const configuration = read('haproxy.cfg.template').replace(/^ *#.*$/gm, '');
  const lua = read('waiting-room.lua').replace(/--.*$/gm, '');

  test('is counted by the clock that no step of the wall clock moves', () => {
    expect(configuration).toContain('http-request set-header X-Veloz-Since %[lua.now_ms]\n');
    expect(configuration).not.toMatch(/%\[(date|accept_date|request_date|hostdate|utime|ltime)\b/);
    expect(lua).not.toMatch(/\bos\.(time|clock|date)\b/);
  });

  test('comes from what the Lua file registers', () => {
    const fetches = [...configuration.matchAll(/%\[lua\.(\w+)/g)].map(([, name]) => name);
    const services = [...configuration.matchAll(/use-service lua\.(\w+)/g)].map(([, name]) => name);
    expect(fetches).toEqual([...lua.matchAll(/core\.register_fetches\("(\w+)"/g)].map(([, name]) => name));
    expect(services).toEqual([...lua.matchAll(/core\.register_service\("(\w+)"/g)].map(([, name]) => name));
  });
});
