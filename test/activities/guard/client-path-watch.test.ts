import { ClientPathWatch } from '../../../src/activities/guard/client-path-watch';
import { HeldAgent } from '../../../src/activities/guard/held-agents';
import { openPoolerAgent } from '../../../src/systems/agent';
import { FakeEngine, FakeServers, pause, POOLER, PRIMARY, Refusal, silence, STANDBY } from './support/fake-engine';

const answered = { writable: true, standby: false, speaks: true, problem: null, ms: 1 };
const standby = { ...answered, writable: false, standby: true };
const nobody = { ...answered, writable: false, speaks: false, problem: 'no answer within 1000 ms' };

/** Waits for what has to become so; a machine that has much to do takes its time. */
async function until(what: () => boolean): Promise<void> {
  for (const end = Date.now() + 3000; !what() && Date.now() < end;) await pause(5);
  expect(what()).toBe(true);
}

describe('a watch of the way that clients take', () => {
  let engine: FakeEngine;
  let servers: FakeServers;
  let watch: ClientPathWatch;
  let reached: Record<string, unknown>;
  let through: unknown;
  let tried: number;
  const begin = () => {
    const access = {
      ...servers.access(),
      frontDoor: () => {
        tried += 1;
        return servers.sql('the pool');
      },
      keptDoor: () => servers.sql('the kept place'),
    };
    const agent = new HeldAgent(POOLER, () => openPoolerAgent(engine.deps.docker, POOLER));
    watch = new ClientPathWatch(engine.deps, access, PRIMARY, agent, undefined, undefined, 20);
    watch.look({
      name: PRIMARY,
      answered: true,
      ms: 1,
      standbys: [
        { node: STANDBY, syncState: 'sync', state: 'streaming' },
        { node: 'somebody', syncState: 'async', state: 'streaming' },
      ],
    });
    watch.start();
  };
  beforeEach(() => {
    engine = new FakeEngine();
    servers = new FakeServers();
    reached = { [PRIMARY]: answered, [STANDBY]: standby };
    through = silence;
    tried = 0;
    servers.answer = () => through;
    engine.agent = (_node, _command, args) => ({
      answers: (args['addresses'] as { host: string }[]).map(({ host }) => reached[host]),
    });
  });
  afterEach(async () => {
    watch.close();
    await pause(10);
    expect(engine.open).toBe(0);
    await until(() => servers.sessions.every(({ session }) => session.closed));
  });

  test('asks for the primary alone while that is reached, and tries no query through the pool', async () => {
    begin();
    await until(() => engine.asked.length >= 3);
    expect(watch.sign()).toBeUndefined();
    expect(engine.args.every(({ addresses }) => (addresses as unknown[]).length === 1)).toBe(true);
    expect(tried).toBe(0);
  });

  test('is not silent where only applications have taken every place of the pool', async () => {
    reached[PRIMARY] = nobody;
    servers.answer = (node) => (node === 'the pool' ? silence : { one: 1 });
    begin();
    await until(() => watch.sign()?.through === 'answered');
  });

  test('counts how often and for how long it was not reached, whom the pooler reaches, and tries the pool', async () => {
    reached[PRIMARY] = nobody;
    through = Object.assign(new Error('server login has been failing, try again later'), { code: '08P01' });
    begin();
    await until(() => (watch.sign()?.times ?? 0) >= 2 && watch.sign()?.through === 'silent');
    const sign = watch.sign();
    expect(sign).toMatchObject({
      pooler: POOLER,
      problem: 'no answer within 1000 ms',
      asked: [STANDBY],
      reaches: [STANDBY],
      through: 'silent',
    });
    expect(sign?.cutMs).toBeGreaterThanOrEqual(15);
    reached[PRIMARY] = answered;
    await until(() => watch.sign() === undefined);
  });

  test.each([
    ['answered', 'is answered', { one: 1 }],
    ['silent', 'is not answered in time', new Error('Query read timeout')],
    ['silent', 'is not answered by a server', new Error('Connection terminated due to connection timeout')],
    ['unknown', 'can’t be sent', new Error('connect ECONNREFUSED 127.0.0.1:6432')],
    ['unknown', 'is refused for its password', Object.assign(new Error('no'), { code: '28P01' })],
  ])('says %s where the query through the pool %s', async (word, _what, answer) => {
    reached[PRIMARY] = nobody;
    through = answer;
    begin();
    await until(() => tried > 0 && watch.sign()?.through === word);
  });

  test('has one query through the pool at a time', async () => {
    reached[PRIMARY] = nobody;
    begin();
    await until(() => (watch.sign()?.times ?? 0) >= 3);
    expect(tried).toBe(1);
    expect(watch.sign()?.through).toBe('unknown');
  });

  test('a server that only says that it is full was reached', async () => {
    reached[PRIMARY] = { ...nobody, speaks: true, problem: 'sorry, too many clients already' };
    begin();
    await until(() => engine.asked.length >= 2);
    expect(watch.sign()).toBeUndefined();
  });

  test('an agent that can’t be asked says nothing', async () => {
    engine.agent = () => new Refusal('BadRequest');
    begin();
    await until(() => engine.asked.length >= 2);
    expect(watch.sign()).toBeUndefined();
  });

  test('the next stretch goes on counting', async () => {
    reached[PRIMARY] = nobody;
    begin();
    await until(() => watch.sign() !== undefined);
    watch.close();
    const before = watch.sign()?.times ?? 0;
    begin();
    expect(watch.sign()?.times).toBe(before);
    await until(() => (watch.sign()?.times ?? 0) > before);
  });
});
