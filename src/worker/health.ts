import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What the endpoints tell. */
export interface HealthSource {
  /** The SDK's worker state: INITIALIZED, RUNNING, STOPPING, DRAINING, DRAINED, STOPPED, FAILED. */
  state(): string;
  /** Anything a person wants to know; no secrets. */
  status(): Record<string, unknown>;
}

/**
 * The port if it is free on 127.0.0.1, else a free one: a second worker on the same machine must not fail for its default.
 */
export async function portOrFree(wanted: number): Promise<number> {
  for (const port of [wanted, 0]) {
    const server = createServer();
    try {
      return await new Promise<number>((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
      });
    } catch {
      continue;
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  }
  return 0;
}

/**
 * Serves `/health/live` (the process answers and has not failed), `/health/ready` (it takes work) and `/status` on 127.0.0.1.
 * @throws Error when the port is taken
 */
export async function startHealthServer(
  port: number,
  source: HealthSource,
): Promise<{ port: number; close(): Promise<void> }> {
  const server = createServer((request, response) => {
    const state = source.state();
    const answer = (ok: boolean, body: Record<string, unknown>) => {
      response.writeHead(ok ? 200 : 503, { 'content-type': 'application/json' });
      response.end(`${JSON.stringify(body)}\n`);
    };
    switch (request.url) {
      case '/health/live':
        return answer(state !== 'FAILED' && state !== 'STOPPED', { state });
      case '/health/ready':
        return answer(state === 'RUNNING', { state });
      case '/health':
      case '/status':
        return answer(state === 'RUNNING', { state, ...source.status() });
      default:
        response.writeHead(404).end('known: /health/live /health/ready /status\n');
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
