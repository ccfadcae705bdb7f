import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Endpoint } from '../cluster/topology';

/** A request as a route sees it. */
export interface EngineRequest {
  method: string;
  path: string;
  header(name: string): string | undefined;
  body: string;
}

/** An answer: `body` is sent as JSON unless it is a text. */
export interface EngineAnswer {
  status: number;
  body: unknown;
  headers?: Record<string, string>;
  /** The name of the route in the metrics. */
  route: string;
}

/** An order is small. */
const BODY_LIMIT_BYTES = 16 * 1024;

class BodyTooLarge extends Error {}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Buffer).length;
    if (size > BODY_LIMIT_BYTES) throw new BodyTooLarge(`the body is larger than ${BODY_LIMIT_BYTES} bytes`);
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/**
 * Serves HTTP until `close`.
 * @param onError told about a mistake of the program, which the client sees as a 500
 */
export async function serve(
  listen: Endpoint,
  handle: (request: EngineRequest) => Promise<EngineAnswer>,
  onAnswer: (answer: EngineAnswer) => void,
  onError: (error: unknown) => void,
): Promise<{ port: number; close: () => Promise<void> }> {
  const server: Server = createServer((request, response) => {
    const answerTo = async (): Promise<EngineAnswer> => {
      try {
        const body = await bodyOf(request);
        const path = (request.url ?? '/').split('?')[0] ?? '/';
        const header = (name: string) => {
          const value = request.headers[name];
          return Array.isArray(value) ? value.join(', ') : value;
        };
        return await handle({ method: request.method ?? 'GET', path, header, body });
      } catch (error) {
        if (error instanceof BodyTooLarge)
          return {
            status: 413,
            body: { error: error.message, code: 'too_large' },
            headers: { connection: 'close' },
            route: 'too large',
          };
        onError(error);
        return { status: 500, body: { error: 'the engine failed', code: 'internal' }, route: 'failed' };
      }
    };
    void answerTo().then((answer) => {
      onAnswer(answer);
      if (response.destroyed) return;
      const isText = typeof answer.body === 'string';
      const text = isText ? (answer.body as string) : `${JSON.stringify(answer.body)}\n`;
      response.writeHead(answer.status, {
        'content-type': isText ? 'text/plain; version=0.0.4; charset=utf-8' : 'application/json',
        'content-length': Buffer.byteLength(text),
        'cache-control': 'no-store',
        ...answer.headers,
      });
      response.end(text);
    });
  });
  // Longer than a proxy keeps a connection unused: whoever opened it ends it.
  server.keepAliveTimeout = 75_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(listen.port, listen.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const end = setTimeout(() => server.closeAllConnections(), 2000);
      await closed;
      clearTimeout(end);
    },
  };
}
