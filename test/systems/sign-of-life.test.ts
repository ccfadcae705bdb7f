import { createServer, type Server, type Socket } from 'node:net';
import { anyAnswers, saysAnything } from '../../src/systems/sign-of-life';

describe('a process that is asked whether it lives', () => {
  const servers: Server[] = [];
  const sockets: Socket[] = [];
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
  });

  const serve = async (answers: (socket: Socket) => void) => {
    const server = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => undefined);
      answers(socket);
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return { host: '127.0.0.1', port: (server.address() as { port: number }).port };
  };

  test.each<[string, boolean, (socket: Socket) => void]>([
    ['answers', true, (socket) => socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\n\r\n'))],
    ['refuses', true, (socket) => socket.on('data', () => socket.end('HTTP/1.1 503 \r\n\r\n'))],
    ['is not asked by its own protocol', true, (socket) => socket.on('data', () => socket.end('-NOAUTH\r\n'))],
    ['takes the connection and says nothing', false, () => undefined],
    ['closes without a word', false, (socket) => socket.on('data', () => socket.end())],
  ])('one that %s: %s', async (_how, lives, answers) => {
    const at = await serve(answers);
    expect(await saysAnything({ at, says: 'PING\r\n' }, 300)).toBe(lives);
  });

  test('a port where nobody listens is silence', async () => {
    const at = await serve(() => undefined);
    await new Promise((resolve) => servers.pop()?.close(resolve));
    expect(await saysAnything({ at, says: 'PING\r\n' }, 300)).toBe(false);
  });

  test('an answer that came while the asker stood still is heard', async () => {
    const at = await serve((socket) => socket.on('data', () => socket.write('+PONG\r\n')));
    const asked = saysAnything({ at, says: 'PING\r\n' }, 300);
    await new Promise((resolve) => setTimeout(resolve, 1));
    const until = Date.now() + 500;
    while (Date.now() < until);
    expect(await asked).toBe(true);
  });

  test('one answer of several is enough', async () => {
    const [silent, lives] = [await serve(() => undefined), await serve((socket) => socket.write('x'))];
    const ask = (...at: { host: string; port: number }[]) =>
      anyAnswers(
        at.map((each) => ({ at: each, says: 'show info\n' })),
        200,
      );
    expect(await ask(silent, lives)).toBe(true);
    expect(await ask(silent)).toBe(false);
    expect(await ask()).toBe(false);
  });
});
