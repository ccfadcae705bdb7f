import { Agent, request } from 'node:http';
import type { PassOn } from './desk';
import { sharedLookup } from './lookup';

/** The header of an order that another engine has passed on. */
export const PASSED_ON = 'x-veloz-passed-on';
const CONNECT_LIMIT_MS = 300;

/** Passes orders on by HTTP, over connections that stay open. */
export function createPassOn(node: string): { passOn: PassOn; close: () => void } {
  const agent = new Agent({ keepAlive: true, maxSockets: 64, lookup: sharedLookup() });
  const passOn: PassOn = (url, body, key, limitMs, signal) =>
    new Promise((resolve) => {
      let sent = false;
      const call = request(
        `${url}/api/orders`,
        {
          agent,
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(body),
            'idempotency-key': key,
            [PASSED_ON]: node,
          },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', (error) => fail(error.message));
          response.on('end', () => {
            clearTimeout(timer);
            resolve({ status: response.statusCode ?? 502, body: Buffer.concat(chunks).toString('utf8') });
          });
        },
      );
      const fail = (failed: string) => {
        clearTimeout(timer);
        call.destroy();
        resolve({ failed, maybeAccepted: sent });
      };
      const timer = setTimeout(() => fail(`no answer within ${Math.round(limitMs)} ms`), limitMs);
      call.on('error', (error) => fail(error.message));
      const giveUp = () => fail('it is not the active one any more');
      signal.addEventListener('abort', giveUp, { once: true });
      call.on('close', () => signal.removeEventListener('abort', giveUp));
      call.on('socket', (socket) => {
        if (!socket.connecting) {
          sent = true;
          return;
        }
        // A dead engine's address swallows attempts to connect.
        const slow = setTimeout(() => fail(`no connection within ${CONNECT_LIMIT_MS} ms`), CONNECT_LIMIT_MS);
        socket.once('connect', () => {
          sent = true;
          clearTimeout(slow);
        });
        socket.once('close', () => clearTimeout(slow));
      });
      call.end(body);
    });
  return { passOn, close: () => agent.destroy() };
}
