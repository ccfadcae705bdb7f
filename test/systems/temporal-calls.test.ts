import { createServer, type Server } from 'node:net';
import { Connection } from '@temporalio/client';
import { callInterceptors } from '../../src/systems/temporal-calls';

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('calls to a Temporal that is gone', () => {
  let server: Server;
  let address: string;
  beforeEach(async () => {
    // Whoever connects is hung up on: a call is tried again and again.
    server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    address = `127.0.0.1:${(server.address() as { port: number }).port}`;
  });
  afterEach(() => new Promise((resolve) => server.close(resolve)));

  test('one that is to be tried again when its connection is closed ends in silence', async () => {
    const connection = Connection.lazy({ address, interceptors: callInterceptors() });
    let ended = false;
    void connection.workflowService
      .getSystemInfo({})
      .catch(() => undefined)
      .finally(() => (ended = true));
    await pause(400);
    expect(ended).toBe(false);
    await connection.close();
    // Without that the library throws from a timer by now, and the process ends.
    await pause(2500);
  });

  test('a first one on a connection that was closed fails', async () => {
    const connection = Connection.lazy({ address, interceptors: callInterceptors() });
    await connection.close();
    await expect(connection.workflowService.getSystemInfo({})).rejects.toThrow();
  });
});
