import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { createDockerClient, type DockerClient } from '../../src/systems/docker';
import { datedIn, fileIn, tarOf } from '../../src/systems/docker-tar';

describe('a file as an archive', () => {
  const owner = { uid: 999, gid: 998 };
  const tar = (archive: Buffer, ...options: string[]) =>
    execFileSync('tar', [...options, '-f', '-'], { input: archive }).toString();

  test.each(['', '{"version":1}\n', 'x'.repeat(511), 'x'.repeat(512), 'x'.repeat(1500), 'Zürich, 東京\n'])(
    'is what tar takes (%#)',
    (content) => {
      const archive = tarOf('fence.json', content, owner);
      expect(archive.length % 512).toBe(0);
      expect(tar(archive, '-x', '-O')).toBe(content);
      expect(tar(archive, '-t', '-v', '--numeric-owner')).toMatch(
        new RegExp(`^-rw------- 999/998 +${Buffer.byteLength(content)} .* fence\\.json\\n$`),
      );
    },
  );
});

test.each(['', 'a = 1\n', 'x'.repeat(512), 'Zürich'])('a file is read out of an archive (%#)', (content) => {
  expect(fileIn(tarOf('f', content, { uid: 1, gid: 1 }))).toBe(content);
  // As GNU tar writes it, with the records of a later format before the file.
  const folder = mkdtempSync(join(tmpdir(), 'veloz-ha-tar-'));
  try {
    writeFileSync(join(folder, 'f'), content);
    expect(fileIn(execFileSync('tar', ['-C', folder, '--format=pax', '-c', 'f']))).toBe(content);
    expect(fileIn(execFileSync('tar', ['-C', folder, '-c', '.']))).toBe(content);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  expect(fileIn(Buffer.alloc(1024))).toBeUndefined();
  const ageMs = Date.now() - (datedIn(tarOf('f', content, { uid: 1, gid: 1 }))?.writtenAt ?? 0);
  expect(ageMs).toBeGreaterThanOrEqual(0);
  expect(ageMs).toBeLessThan(10_000);
});

/** An engine behind a socket that answers what a test says. */
describe('the Docker client', () => {
  const folder = mkdtempSync(join(tmpdir(), 'veloz-ha-docker-'));
  const socketPath = join(folder, 'docker.sock');
  const asked: { request: string; body: Buffer }[] = [];
  let answer: (response: ServerResponse, request: IncomingMessage) => void;
  let server: Server;
  let docker: DockerClient;
  const says = (status: number, body: unknown = {}) => {
    answer = (response) => {
      response.writeHead(status, { 'Content-Type': 'application/json' });
      response.end(status === 204 || status === 304 ? undefined : JSON.stringify(body));
    };
  };
  beforeAll(async () => {
    server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        asked.push({ request: `${request.method} ${request.url}`, body: Buffer.concat(chunks) });
        answer(response, request);
      });
    });
    await new Promise<void>((resolve) => server.listen(socketPath, resolve));
    // A path of the topology wins over whatever the environment says.
    process.env.DOCKER_HOST = 'tcp://192.0.2.1:2376';
    docker = createDockerClient(socketPath);
    delete process.env.DOCKER_HOST;
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(() => {
    asked.length = 0;
  });

  test('tells a frozen container from one that runs', async () => {
    const state = (status: string, running: boolean, paused: boolean) =>
      says(200, {
        State: { Status: status, Running: running, Paused: paused },
        HostConfig: { RestartPolicy: { Name: 'unless-stopped' } },
      });
    state('running', true, false);
    expect(await docker.inspect('p')).toMatchObject({ exists: true, status: 'running', running: true });
    state('paused', true, true);
    expect(await docker.inspect('p')).toMatchObject({ exists: true, status: 'paused', running: false });
    state('exited', false, false);
    expect(await docker.inspect('p')).toMatchObject({
      status: 'exited',
      running: false,
      restartPolicy: 'unless-stopped',
    });
  });

  test('takes a container that there is none of for absent, and no other answer', async () => {
    says(404, { message: 'No such container: p' });
    expect(await docker.inspect('p')).toEqual({ exists: false, status: 'absent', running: false, restartPolicy: 'no' });
    says(500, { message: 'the engine is ill' });
    await expect(docker.inspect('p')).rejects.toThrow('the engine is ill');
  });

  test.each<[string, number, (client: DockerClient) => Promise<void>]>([
    ['a kill of one that does not run', 409, (client) => client.kill('p')],
    ['a start of one that runs', 304, (client) => client.start('p')],
    ['the end of a freeze that there is none of', 409, (client) => client.unpause('p')],
    ['a cut of a network that it is not on', 404, (client) => client.disconnect('p', 'n')],
    ['a join of a network that it is on', 403, (client) => client.connect('p', { network: 'n', aliases: [] })],
  ])('%s is no error', async (_what, status, act) => {
    says(status, { message: 'so it is already' });
    await act(docker);
    says(418, { message: 'no' });
    await expect(act(docker)).rejects.toThrow('no');
  });

  test('tells where a container is on the network, with what it takes to put it there again', async () => {
    const networks = {
      'veloz-ha': { Aliases: ['postgres-primary', 'a1b2c3d4e5f6'], IPAMConfig: null },
      backup: { Aliases: null, IPAMConfig: { IPv4Address: '10.0.0.7' } },
    };
    says(200, {
      Id: 'a1b2c3d4e5f6a7b8',
      HostConfig: { NetworkMode: 'veloz-ha' },
      NetworkSettings: { Networks: networks },
    });
    expect(await docker.attachments('p')).toEqual({
      id: 'a1b2c3d4e5f6a7b8',
      home: 'veloz-ha',
      networks: [
        { network: 'veloz-ha', aliases: ['postgres-primary'] },
        { network: 'backup', aliases: [], ipv4: '10.0.0.7' },
      ],
    });
    says(200);
    await docker.connect('p', { network: 'backup', aliases: ['p-1'], ipv4: '10.0.0.7' });
    expect(asked.at(-1)?.request).toMatch(/^POST .*\/networks\/backup\/connect$/);
    expect(JSON.parse(asked.at(-1)?.body.toString() ?? '')).toEqual({
      Container: 'p',
      EndpointConfig: { Aliases: ['p-1'], IPAMConfig: { IPv4Address: '10.0.0.7' } },
    });
  });

  test('makes, finds by label, and removes volumes', async () => {
    says(201, { Name: 'v' });
    await docker.createVolume('v', { 'io.veloz.cut-off': 'p' });
    expect(asked.at(-1)?.request).toMatch(/^POST .*\/volumes\/create(\?.*)?$/);
    expect(JSON.parse(asked.at(-1)?.body.toString() ?? '')).toEqual({ Name: 'v', Labels: { 'io.veloz.cut-off': 'p' } });
    says(200, {
      Volumes: [
        { Name: 'v', Labels: { 'io.veloz.cut-off': 'p' } },
        { Name: 'w', Labels: null },
      ],
    });
    expect(await docker.volumes('io.veloz.cut-off=p')).toEqual([
      { name: 'v', labels: { 'io.veloz.cut-off': 'p' } },
      { name: 'w', labels: {} },
    ]);
    expect(decodeURIComponent(asked.at(-1)?.request ?? '')).toContain('filters={"label":["io.veloz.cut-off=p"]}');
    says(200, { Volumes: null });
    expect(await docker.volumes('io.veloz.cut-off')).toEqual([]);
    says(404, { message: 'no such volume' });
    await docker.removeVolume('v');
    expect(asked.at(-1)?.request).toMatch(/^DELETE .*\/volumes\/v$/);
  });

  test.each([
    ['postgres', 'postgres: checkpointer', true],
    ['postgres', '/usr/bin/python3 -IS /usr/local/bin/veloz-agent run', true],
    ['postgres', 'redis-server *:6379', false],
    ['redis', 'redis-server *:6379', true],
    ['redis', '/usr/bin/redis-server 0.0.0.0:6379', true],
    ['redis', '/usr/bin/python3 -IS /usr/local/bin/veloz-redis run', true],
    ['redis', 'tar -c /var/lib/redis', false],
  ] as const)('tells whether a container that has a volume may serve it: %s, "%s"', async (server, command, serves) => {
    const mount = (over: object) => ({ Mounts: [{ Name: 'v', RW: true }], ...over });
    answer = (response, request) => {
      response.writeHead(200, { 'Content-Type': 'application/json' });
      const list = [
        mount({ Id: 'abc', Names: ['/old'], State: 'paused' }),
        mount({ Id: 'def', Names: ['/ended'], State: 'exited' }),
        { Id: 'ghi', Names: ['/reads'], State: 'running', Mounts: [{ Name: 'v', RW: false }] },
      ];
      const isTop = request.url?.includes('/containers/abc/top') === true;
      response.end(JSON.stringify(isTop ? { Titles: ['PID', 'COMMAND'], Processes: [['7', command]] } : list));
    };
    expect(await docker.livingWritersOf('v', server)).toEqual([{ id: 'abc', name: 'old', status: 'paused', serves }]);
  });

  test('lays a file into a container’s folder', async () => {
    says(200);
    await docker.putFile('p', '/var/lib/postgresql/veloz/fence.json', '{}', { uid: 999, gid: 999 });
    expect(asked[0]?.request).toMatch(/^PUT .*\/containers\/p\/archive\?path=%2Fvar%2Flib%2Fpostgresql%2Fveloz$/);
    expect(execFileSync('tar', ['-x', '-O', '-f', '-', 'fence.json'], { input: asked[0]?.body }).toString()).toBe('{}');
  });

  describe('says whether somebody told a container to stop', () => {
    const startedAt = '2026-01-02T03:04:05.123456789Z';
    const endedAt = '2026-01-02T04:00:00.5Z';
    let events: object[];
    let container: { id: string; status: string; endedAt: string; signal?: string };
    /** It goes on and says no more, as an engine whose clock is behind. */
    let goesOn: boolean;
    beforeEach(() => {
      events = [];
      goesOn = false;
      container = { id: `id ${Math.random()}`, status: 'exited', endedAt };
      answer = (response, request) => {
        response.writeHead(200, { 'Content-Type': 'application/json' });
        if (request.url?.includes('/events') !== true) {
          const { id, status, endedAt: at, signal } = container;
          const State = { Status: status, StartedAt: startedAt, FinishedAt: at, ExitCode: 137 };
          response.end(JSON.stringify({ Id: id, State, Config: signal === undefined ? {} : { StopSignal: signal } }));
          return;
        }
        response.write(events.map((event) => `${JSON.stringify(event)}\n`).join('') || ' ');
        if (!goesOn) response.end();
      };
    });
    const kill = (signal: number) => ({ Action: 'kill', Actor: { Attributes: { signal: `${signal}` } } });
    const stop = { Action: 'stop', Actor: { Attributes: { name: 'p' } } };
    const start = { Action: 'start', Actor: { Attributes: { name: 'p' } } };

    test.each<[string, object[], string | undefined, boolean]>([
      ['docker stop that had to kill it', [kill(15), kill(9), stop], undefined, true],
      ['the same, of which the list holds the end only', [stop], undefined, true],
      ['the same at the moment of its end', [kill(15), kill(9)], undefined, true],
      ['the same with a stop signal of its own', [kill(2), kill(9)], 'SIGINT', true],
      ['the same with one by its number', [kill(3)], '3', true],
      ['docker stop in a life before this one, and docker kill', [kill(15), stop, start, kill(9)], undefined, false],
      ['docker stop after a restart', [kill(15), stop, start, kill(15)], undefined, true],
      ['docker kill', [kill(9)], undefined, false],
      ['docker kill, and SIGKILL is how it is stopped', [kill(9)], 'SIGKILL', false],
      ['a signal that only has it read its settings', [kill(1), kill(9)], undefined, false],
      ['a crash, or a list that does not reach back so far', [], undefined, false],
    ])('%s', async (_what, said, signal, told) => {
      events = said;
      if (signal !== undefined) container.signal = signal;
      expect(await docker.toldToStop('p')).toBe(told);
      const url = new URL(asked[1]?.request.split(' ')[1] ?? '', 'http://engine');
      expect(JSON.parse(url.searchParams.get('filters') ?? '')).toEqual({
        type: ['container'],
        container: [container.id],
        event: ['start', 'stop', 'kill'],
      });
      // All of the list, and up to the end at least, also where this machine's clock is behind; the engine need not wait for what is to come.
      expect(url.searchParams.get('since')).toBe('1');
      const until = Number(url.searchParams.get('until')) * 1000;
      expect(until).toBeGreaterThanOrEqual(Date.parse(endedAt) - 1);
      expect(until).toBeLessThanOrEqual(Math.max(Date.now(), Date.parse(endedAt)) + 1);
    });

    test('also when its list has grown over that, and no longer once it was started and killed', async () => {
      events = [stop];
      expect(await docker.toldToStop('p')).toBe(true);
      events = [];
      expect(await docker.toldToStop('p')).toBe(true);
      container.endedAt = '2026-01-03T00:00:00Z';
      expect(await docker.toldToStop('p')).toBe(false);
    });

    test('by what an engine has told that goes on', async () => {
      goesOn = true;
      events = [stop];
      expect(await docker.toldToStop('p')).toBe(true);
    });

    test('never of one that runs, of one that there is none of, and where the engine refuses to say', async () => {
      events = [stop];
      container.status = 'running';
      expect(await docker.toldToStop('p')).toBe(false);
      says(404, { message: 'no such container' });
      expect(await docker.toldToStop('p')).toBe(false);
      says(403, { message: 'events are not for you' });
      expect(await docker.toldToStop('p')).toBe(false);
    });
  });

  test('hands on no event of a container whose name only begins like one that is meant, which the engine tells all the same', async () => {
    let stream: ServerResponse | undefined;
    answer = (response) => {
      response.writeHead(200);
      response.flushHeaders();
      stream = response;
    };
    const seen: string[] = [];
    const end = await docker.events(
      ['standby'],
      ({ container, action }) => seen.push(`${container} ${action}`),
      () => undefined,
    );
    for (const name of ['standby-2', 'standby', 'stand'])
      stream?.write(`${JSON.stringify({ Action: 'die', Actor: { Attributes: { name } } })}\n`);
    while (seen.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(seen).toEqual(['standby die']);
    end();
  });

  test('hands on events, however they are cut up, and tells once when they break off', async () => {
    let stream: ServerResponse | undefined;
    answer = (response) => {
      response.writeHead(200);
      response.flushHeaders();
      stream = response;
    };
    const seen: string[] = [];
    let ended = 0;
    await docker.events(
      ['p'],
      ({ container, action }) => seen.push(`${container} ${action}`),
      () => (ended += 1),
    );
    const event = (action: string) => `${JSON.stringify({ Action: action, Actor: { Attributes: { name: 'p' } } })}\n`;
    const text = event('pause') + event('die');
    stream?.write(text.slice(0, 25));
    await new Promise((resolve) => setTimeout(resolve, 20));
    stream?.write(`${text.slice(25)}\n`);
    for (let tries = 0; seen.length < 2 && tries < 200; tries++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    expect(seen).toEqual(['p pause', 'p die']);
    expect(ended).toBe(0);
    stream?.destroy();
    for (let tries = 0; ended === 0 && tries < 200; tries++) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(ended).toBe(1);
  });

  test('says nothing of the end of events that it ended itself', async () => {
    answer = (response) => {
      response.writeHead(200);
      response.flushHeaders();
    };
    let ended = 0;
    const end = await docker.events(
      ['p'],
      () => undefined,
      () => (ended += 1),
    );
    end();
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(ended).toBe(0);
  });

  describe('runs a command', () => {
    /** How long the engine takes to start it, in milliseconds. */
    let startMs: number;
    /** Whether the engine tells with what it ended. */
    let tells: boolean;
    let ended: Promise<void>;
    const sockets: Duplex[] = [];
    const upgrade = (_request: IncomingMessage, socket: Duplex) => {
      ended = new Promise((resolve) => socket.once('end', resolve));
      sockets.push(socket.on('error', () => undefined));
      socket.resume();
      setTimeout(() => {
        socket.write(
          'HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n',
        );
        // One that is late goes on, as `tail -f` would.
        if (startMs > 0) return;
        setTimeout(() => socket.end(Buffer.concat([Buffer.from([1, 0, 0, 0, 0, 0, 0, 3]), Buffer.from('ok\n')])), 20);
      }, startMs);
    };
    beforeEach(() => {
      startMs = 0;
      tells = true;
      server.on('upgrade', upgrade);
      answer = (response, request) => {
        if (request.url?.includes('/json') === true && !tells) return;
        response.writeHead(200, { 'Content-Type': 'application/json' });
        response.end(JSON.stringify(request.url?.includes('/json') === true ? { ExitCode: 3 } : { Id: 'e7' }));
      };
    });
    afterEach(() => {
      server.off('upgrade', upgrade);
      for (const socket of sockets.splice(0)) socket.destroy();
    });

    test('and returns what it printed and how it ended', async () => {
      expect(await docker.run('p', ['true'], 2000)).toEqual({ exitCode: 3, output: 'ok\n' });
    });

    test('and waits with a limit for the engine to tell how it ended', async () => {
      tells = false;
      await expect(docker.run('p', ['true'], 2000)).rejects.toThrow('the end of "true" in p took longer than 5000 ms');
    }, 15_000);

    test('and closes the stream of one that begins when nobody waits for it any more', async () => {
      startMs = 5500;
      await expect(docker.run('p', ['true'], 2000)).rejects.toThrow('docker exec in p took longer than 5000 ms');
      await ended;
    }, 15_000);
  });

  describe('writes into a volume that no container has', () => {
    const file = {
      volume: 'node-a',
      mountedAt: '/var/lib/x',
      path: '/var/lib/x/own/fence.json',
      content: '{"version":1}',
      owner: { uid: 999, gid: 999 },
      imageOf: ['gone', 'node-b'],
      labels: { 'io.veloz.cluster': 'veloz' },
    };
    /** What the archive in the volume reads as. */
    let kept: Buffer;
    let directory: boolean;
    beforeEach(() => {
      kept = Buffer.alloc(0);
      directory = true;
      answer = (response, request) => {
        const { method = '', url = '' } = request;
        const end = (status: number, body: object | Buffer = {}) => {
          response.writeHead(status, {
            'Content-Type': Buffer.isBuffer(body) ? 'application/x-tar' : 'application/json',
          });
          response.end(status === 204 ? undefined : Buffer.isBuffer(body) ? body : JSON.stringify(body));
        };
        if (url.endsWith('/containers/gone/json')) return end(404, { message: 'no such container' });
        if (url.endsWith('/containers/node-b/json')) return end(200, { Image: 'sha256:7' });
        if (url.includes('/containers/create')) return end(201, { Id: 'c7' });
        if (method === 'PUT') return directory ? end(200) : end(404, { message: 'no such directory' });
        if (method === 'GET') return end(200, kept);
        return end(204);
      };
    });
    const requests = () => asked.map(({ request }) => request.replace(/\?.*$/, ''));

    test('by a container that is made, never started, and removed', async () => {
      kept = tarOf('fence.json', file.content, file.owner);
      expect(await docker.putIntoVolume(file)).toBe(true);
      expect(requests()).toEqual([
        'GET /containers/gone/json',
        'GET /containers/node-b/json',
        'DELETE /containers/veloz-fence-node-a',
        'POST /containers/create',
        'PUT /containers/c7/archive',
        'GET /containers/c7/archive',
        'DELETE /containers/veloz-fence-node-a',
      ]);
      expect(JSON.parse(asked[3]?.body.toString() ?? '')).toMatchObject({
        Image: 'sha256:7',
        HostConfig: { NetworkMode: 'none', Mounts: [{ Type: 'volume', Source: 'node-a', Target: '/var/lib/x' }] },
      });
    });

    test('and removes that container where the volume was never used, or reads back as something else', async () => {
      directory = false;
      expect(await docker.putIntoVolume(file)).toBe(false);
      expect(requests().at(-1)).toBe('DELETE /containers/veloz-fence-node-a');
      directory = true;
      await expect(docker.putIntoVolume(file)).rejects.toThrow('fence.json in node-a is not what was written');
      expect(requests().at(-1)).toBe('DELETE /containers/veloz-fence-node-a');
    });
  });
});
