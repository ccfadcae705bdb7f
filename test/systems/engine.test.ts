import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createEngineClient, EngineRefusal, readHealth } from '../../src/systems/engine';

interface Seen {
  request: string;
  authorization: string | undefined;
  ifMatch: string | undefined;
  body: string;
}

/** An engine that gives one answer. */
describe('the client of an engine', () => {
  let server: Server;
  let seen: Seen[];
  let answer: { status: number; body: string };
  const client = (token: () => string = () => 'secret') =>
    createEngineClient({ host: '127.0.0.1', port: (server.address() as AddressInfo).port }, token);

  beforeEach(async () => {
    seen = [];
    answer = { status: 200, body: '{}' };
    server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => {
        const { authorization, 'if-match': ifMatch } = request.headers;
        seen.push({ request: `${request.method ?? ''} ${request.url ?? ''}`, authorization, ifMatch, body });
        response.writeHead(answer.status).end(answer.body);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterEach(() => {
    server.close();
    server.closeAllConnections();
  });

  test('reads its health, well or not, without the token', async () => {
    const health = { status: 'healthy', role: 'active', node: 'engine-1', epoch: 3, drained: false, why: 'w', more: 1 };
    answer = { status: 503, body: JSON.stringify(health) };
    const unasked = jest.fn<string, []>();
    const { more: _, ...told } = health;
    await expect(client(unasked).health()).resolves.toEqual({ httpStatus: 503, ...told });
    expect(unasked).not.toHaveBeenCalled();
  });

  test('is ready by the status alone', async () => {
    await expect(client().ready()).resolves.toBe(true);
    answer = { status: 503, body: '' };
    await expect(client().ready()).resolves.toBe(false);
  });

  test('administers with the token', async () => {
    await client().stepDown({ run: 'r', to: 'engine-2' });
    await client().drain('r');
    await client().undrain('r');
    expect(seen.map(({ request }) => request)).toEqual([
      'POST /admin/step-down',
      'POST /admin/drain',
      'POST /admin/ready',
    ]);
    expect(new Set(seen.map(({ authorization }) => authorization))).toEqual(new Set(['Bearer secret']));
    expect(JSON.parse(seen[0]?.body ?? '')).toEqual({ run: 'r', to: 'engine-2' });
  });

  test('names the epoch that is to end beside the body: an engine of an earlier version takes no key that it does not know', async () => {
    await client().stepDown({ run: 'r', epoch: 7 });
    await client().stepDown({ run: 'r' });
    expect(seen.map(({ ifMatch, body }) => [ifMatch, body])).toEqual([
      ['"7"', '{"run":"r"}'],
      [undefined, '{"run":"r"}'],
    ]);
  });

  test('a refusal has its status and what the engine said, and never the token', async () => {
    answer = { status: 409, body: '{"error":"nobody can take over"}' };
    const refusal = await client()
      .stepDown({ run: 'r' })
      .catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(EngineRefusal);
    expect(refusal).toMatchObject({
      httpStatus: 409,
      message: expect.stringContaining('nobody can take over') as string,
    });
    expect(String(refusal)).not.toContain('secret');
  });

  test('one that is not there is told with its address', async () => {
    const gone = client();
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    await expect(gone.health()).rejects.toThrow(`127.0.0.1:${port}/health`);
  });
});

test.each(['', 'nonsense', 'null', '[]', '{"role":"active"}', '{"role":"king","node":"a","epoch":1}'])(
  '%s is no health of an engine',
  (body) => expect(() => readHealth(200, body, 'http://x')).toThrow('http://x/health was answered 200'),
);
