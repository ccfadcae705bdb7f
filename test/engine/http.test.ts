/* eslint-disable @typescript-eslint/require-await -- what a test answers at once is asked for as a promise */
import { serve, type EngineAnswer, type EngineRequest } from '../../src/engine/http';

const close: (() => Promise<void>)[] = [];
afterEach(() => Promise.all(close.splice(0).map((one) => one())));

async function served(handle: (request: EngineRequest) => Promise<EngineAnswer>) {
  const answers: EngineAnswer[] = [];
  const errors: unknown[] = [];
  const server = await serve(
    { host: '127.0.0.1', port: 0 },
    handle,
    (answer) => answers.push(answer),
    (error) => errors.push(error),
  );
  close.push(server.close);
  return { url: `http://127.0.0.1:${server.port}`, answers, errors };
}

test('a request reaches its route, without the query, and the answer comes back as JSON', async () => {
  const { url } = await served(async (request) => ({
    status: 201,
    body: { method: request.method, path: request.path, body: request.body, key: request.header('idempotency-key') },
    headers: { 'x-extra': '1' },
    route: 'r',
  }));
  const answer = await fetch(`${url}/a/b?c=d`, { method: 'POST', headers: { 'Idempotency-Key': 'k' }, body: 'ü' });
  expect(answer.status).toBe(201);
  expect(answer.headers.get('x-extra')).toBe('1');
  expect(answer.headers.get('content-type')).toBe('application/json');
  await expect(answer.json()).resolves.toEqual({ method: 'POST', path: '/a/b', body: 'ü', key: 'k' });
});

test('a text is sent as it is', async () => {
  const { url } = await served(async () => ({ status: 200, body: 'metric 1\n', route: 'm' }));
  await expect((await fetch(url)).text()).resolves.toBe('metric 1\n');
});

test('a body that no order has is refused unread', async () => {
  const handle = jest.fn();
  const { url, answers } = await served(handle);
  await fetch(url, { method: 'POST', body: 'x'.repeat(20_000) }).catch(() => undefined);
  expect(handle).not.toHaveBeenCalled();
  expect(answers.map(({ status }) => status)).toEqual([413]);
});

test('a mistake of the program is told inside, and a client sees a 500 without its text', async () => {
  const { url, errors } = await served(() => Promise.reject(new Error('the password is x')));
  const answer = await fetch(url);
  expect(answer.status).toBe(500);
  await expect(answer.text()).resolves.not.toContain('password');
  expect(errors).toHaveLength(1);
});
