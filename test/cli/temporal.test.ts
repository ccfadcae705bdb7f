import { createServer, type AddressInfo, type Server } from 'node:net';
import { connectTemporal, shortRetention, temporalConfig } from '../../src/systems/temporal';

const none = { TEMPORAL_CONFIG_FILE: '/nowhere/temporal.toml' };

test('the connection is Temporal’s standard configuration, local by default', () => {
  expect(temporalConfig(none)).toMatchObject({
    address: 'localhost:7233',
    namespace: 'default',
    connectionOptions: { address: 'localhost:7233' },
  });
  expect(temporalConfig({ ...none, TEMPORAL_ADDRESS: 'cloud:7233', TEMPORAL_NAMESPACE: 'prod' })).toMatchObject({
    address: 'cloud:7233',
    namespace: 'prod',
  });
});

test('nobody listens: it is known at once, not after the deadline', async () => {
  const began = Date.now();
  await expect(connectTemporal(temporalConfig({ ...none, TEMPORAL_ADDRESS: 'localhost:1' }))).rejects.toMatchObject({
    type: 'Unreachable',
    message: 'Temporal is not reachable at localhost:1',
    detail: { why: 'connection refused: nobody listens on that port', next: 'veloz-ha temporal --detach' },
  });
  expect(Date.now() - began).toBeLessThan(4_500);
});

test('somebody listens who is no Temporal: the why says so', async () => {
  const server: Server = createServer((socket) =>
    socket.on('error', () => undefined).end('HTTP/1.1 400 Bad Request\r\n\r\n'),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    await expect(connectTemporal({ ...temporalConfig(none), address }, 1_000)).rejects.toMatchObject({
      type: 'Unreachable',
      detail: { why: expect.stringContaining('the port is open, but no Temporal answers') as string },
    });
  } finally {
    server.close();
  }
});

test('a namespace that keeps runs for less than 30 days is told, with the command that changes it', () => {
  const day = 86_400_000;
  expect(shortRetention(day, 'prod')).toEqual({
    says: expect.stringContaining('the namespace prod keeps runs and their reports for') as string,
    next: 'temporal operator namespace update --namespace prod --retention 720h',
  });
  for (const enough of [30 * day, 365 * day, undefined]) expect(shortRetention(enough, 'prod')).toBeUndefined();
});
