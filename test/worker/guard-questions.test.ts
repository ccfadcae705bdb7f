import { createServer, type Server, type Socket } from 'node:net';
import { Client, Connection, WorkflowNotFoundError } from '@temporalio/client';
import { callInterceptors } from '../../src/systems/temporal-calls';
import { guardState, lockHolder } from '../../src/worker/guard-questions';

/** A way to Temporal that answers: only what is asked of it here. */
const answering = (describe: () => Promise<unknown>): Client =>
  ({
    withDeadline: (_deadline: number, question: () => Promise<unknown>) => question(),
    workflow: { getHandle: () => ({ describe }) },
  }) as unknown as Client;

describe('what the guard asks of Temporal', () => {
  let server: Server;
  let hung: Client;
  const sockets: Socket[] = [];
  beforeEach(async () => {
    // It takes connections, and whatever is sent to it is lost.
    server = createServer((socket) => sockets.push(socket.on('error', () => undefined)));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = `127.0.0.1:${(server.address() as { port: number }).port}`;
    hung = new Client({ connection: Connection.lazy({ address, interceptors: callInterceptors() }) });
  });
  afterEach(async () => {
    await hung.connection.close();
    for (const socket of sockets.splice(0)) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });

  test('who holds the lock is told over the other connection when one hangs', async () => {
    const lock = {
      status: { name: 'RUNNING' },
      workflowId: 'cluster-lock/veloz',
      parentExecution: { workflowId: 'x' },
    };
    const started = performance.now();
    await expect(lockHolder([hung, answering(() => Promise.resolve(lock))], 'veloz')).resolves.toBe('x');
    expect(performance.now() - started).toBeLessThan(3000);
  });

  test('nobody holds a lock only where Temporal says so', async () => {
    const nobody = answering(() => Promise.reject(new WorkflowNotFoundError('no', 'cluster-lock/veloz', undefined)));
    await expect(lockHolder([hung, nobody], 'veloz')).resolves.toBeUndefined();
    let asked = 0;
    const busy = answering(() =>
      asked++ < 2 ? Promise.reject(new Error('busy')) : Promise.reject(new WorkflowNotFoundError('no', '', undefined)),
    );
    await expect(lockHolder([busy], 'veloz')).resolves.toBeUndefined();
    expect(asked).toBe(3);
  });

  test('a guard that cannot be asked is given up in time', async () => {
    const started = performance.now();
    await expect(guardState([hung], 'veloz')).resolves.toBeUndefined();
    expect(performance.now() - started).toBeLessThan(9000);
  });
});
