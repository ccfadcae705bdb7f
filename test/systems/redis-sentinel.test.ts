import { createServer, type AddressInfo } from 'node:net';
import { SentinelClient } from '../../src/systems/redis-sentinel';

type Reply = string | Reply[];
const encode = (reply: Reply): string =>
  typeof reply === 'string'
    ? `$${Buffer.byteLength(reply)}\r\n${reply}\r\n`
    : `*${reply.length}\r\n${reply.map(encode).join('')}`;

/** What a Sentinel's client makes of the answers to these questions, by their second word; everything else is OK. */
async function stateOf(answers: Record<string, Reply>) {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      const words = chunk.toString().split('\r\n');
      for (let at = 0; at < words.length;) {
        const count = Number(/^\*(\d+)$/.exec(words[at] ?? '')?.[1] ?? 0);
        if (count === 0) break;
        const said = Array.from({ length: count }, (_, index) => words[at + 2 + 2 * index] ?? '');
        at += 1 + 2 * count;
        const [first = '', second = ''] = said;
        const answer = /^sentinel$/i.test(first) ? answers[second.toLowerCase()] : undefined;
        socket.write(answer === undefined ? (/^ping$/i.test(first) ? '+PONG\r\n' : '+OK\r\n') : encode(answer));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const client = await SentinelClient.open({ host: '127.0.0.1', port }, 'secret');
  try {
    return await client.state('veloz-master');
  } finally {
    client.close();
    server.close();
  }
}

const master = (runid: string) => [
  ...['ip', 'm', 'port', '6379', 'runid', runid, 'flags', 'master', 'last-ok-ping-reply', '5000'],
  ...['role-reported', 'master', 'config-epoch', '7', 'quorum', '2', 'num-other-sentinels', '2'],
];

test('a Sentinel says to whom it is connected, and whether it ever heard from the master', async () => {
  const replicas = [
    ['ip', 'r', 'port', '6379', 'runid', 'of r', 'flags', 'slave'],
    ['ip', 's', 'port', '6379', 'runid', '', 'flags', 'slave,disconnected'],
  ];
  const state = await stateOf({ myid: 'id', master: master('of m'), replicas, ckquorum: 'OK' });
  expect(state.master).toEqual({
    host: 'm',
    port: 6379,
    flags: ['master'],
    runId: 'of m',
    lastAnswerMs: 5000,
    reports: 'master',
  });
  expect(state.replicas).toEqual([
    { host: 'r', port: 6379, flags: ['slave'], runId: 'of r' },
    { host: 's', port: 6379, flags: ['slave', 'disconnected'] },
  ]);
  const { master: unheard } = await stateOf({ myid: 'id', master: master(''), replicas: [], ckquorum: 'OK' });
  expect(unheard).toMatchObject({ neverHeard: true, lastAnswerMs: 5000 });
  expect(unheard).not.toHaveProperty('runId');
});
