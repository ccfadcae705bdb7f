import { createServer, type AddressInfo, type Server } from 'node:net';
import {
  connectControl,
  connectControlDatabase,
  controlOptions,
  sqlState,
  startupOptions,
} from '../../src/systems/control-session';

function message(kind: string, body: Buffer | string): Buffer {
  const bytes = Buffer.from(body);
  const head = Buffer.alloc(5, kind);
  head.writeInt32BE(bytes.length + 4, 1);
  return Buffer.concat([head, bytes]);
}
const ready = Buffer.concat([message('R', Buffer.alloc(4)), message('Z', 'I')]);
const refusal = (code: string) => message('E', `SFATAL\0C${code}\0Mno\0\0`);
const answered = Buffer.concat([message('C', 'SELECT 0\0'), message('Z', 'I')]);

const planned = Buffer.concat([message('1', ''), message('2', ''), message('n', ''), answered]);

/** The kinds of the messages in what was received at once. */
function kindsOf(data: Buffer): string[] {
  const kinds: string[] = [];
  for (let at = 0; at < data.length; at += 1 + data.readInt32BE(at + 1))
    kinds.push(data.toString('latin1', at, at + 1));
  return kinds;
}

describe('a session of the control role', () => {
  let server: Server;
  let answers: Buffer[];
  let asked: Record<string, string>[];
  let queries: string[];
  /** One for each statement that the server was asked to plan. */
  let parsed: string[];
  /** How a query begins that the server refuses. */
  let failing: string;
  beforeEach(async () => {
    [answers, asked, queries, parsed, failing] = [[], [], [], [], ''];
    // A session that was closed at once may still send what it had to say.
    const mine = queries;
    server = createServer((socket) => {
      let started = false;
      socket.on('error', () => undefined);
      socket.on('data', (data) => {
        if (started) {
          if (data[0] !== 'Q'.charCodeAt(0)) {
            parsed.push(...kindsOf(data).filter((kind) => kind === 'P'));
            // What was sent up to a Sync is answered as one.
            if (kindsOf(data).includes('S')) socket.write(planned);
            return;
          }
          mine.push(data.subarray(5).toString());
          const fails = failing !== '' && mine.at(-1)?.startsWith(failing) === true;
          socket.write(fails ? Buffer.concat([refusal('XX000'), message('Z', 'I')]) : answered);
          return;
        }
        started = true;
        const words = data.subarray(8).toString().split('\0');
        asked.push(Object.fromEntries(words.flatMap((key, at) => (at % 2 === 0 ? [[key, words[at + 1] ?? '']] : []))));
        socket.write(answers.shift() ?? ready);
      });
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  });
  afterEach(() => server.close());
  const connect = () =>
    connectControl(
      { host: '127.0.0.1', port: (server.address() as AddressInfo).port },
      { user: 'u', password: 'p', database: 'd' },
    );

  it('asks for its own settings at its start, which win over those of role, database and server', async () => {
    (await connect()).close();
    expect(asked[0]).toMatchObject({ user: 'u', database: 'd', options: controlOptions.current });
    for (const setting of [
      String.raw`search_path=pg_catalog,\ pg_temp`,
      String.raw`default_transaction_isolation=read\ committed`,
      'default_transaction_read_only=off',
      'statement_timeout=0',
      'transaction_timeout=0',
      'role=none',
    ])
      expect(controlOptions.current.split(' -c ').join('|')).toContain(setting);
  });

  it('has its commits wait for a standby before it is asked anything, and hides what the server says of that from nobody', async () => {
    const session = await connect();
    await session.query('SELECT 1');
    session.close();
    expect(queries.map((sql) => sql.replace(/\0$/, ''))).toEqual(['SET synchronous_commit = on', 'SELECT 1']);
    // A setting of the start would be what the session falls back to.
    expect(controlOptions.current + controlOptions.older).not.toContain('synchronous_commit');
  });

  it('has a question that is repeated planned once', async () => {
    const session = await connect();
    for (let times = 0; times < 3; times++) await session.query('SELECT 2', [], { repeated: true });
    expect(parsed).toHaveLength(1);
    await session.query('SELECT 3', [], { repeated: true });
    session.close();
    expect(parsed).toHaveLength(2);
    expect(controlOptions.current).toContain('plan_cache_mode=force_generic_plan');
  });

  it('is asked nothing where its commits could not be made to wait', async () => {
    failing = 'SET synchronous_commit';
    const session = await connect();
    await expect(session.query('SELECT 1')).rejects.toThrow('no');
    session.close();
    expect(queries).toHaveLength(1);
  });

  it('sets the later settings by a query where the server is older and refuses them', async () => {
    answers = [refusal('42704')];
    (await connect()).close();
    expect(asked.map(({ options }) => options)).toEqual([controlOptions.current, controlOptions.older]);
    expect(queries[0]).toContain("'idle_session_timeout', 'transaction_timeout'");
  });

  it.each(['3D000', '55000', '42501', '53300', '58P01'])('goes on to the next database after %s', async (code) => {
    answers = [refusal(code)];
    const endpoint = { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
    const session = await connectControlDatabase(endpoint, { user: 'u', password: 'p' }, ['veloz_ha', 'postgres']);
    session.close();
    expect(asked.map(({ database }) => database)).toEqual(['veloz_ha', 'postgres']);
  });

  it('fails as any connection when the server refuses for another reason', async () => {
    answers = [refusal('28P01')];
    await expect(connect()).rejects.toMatchObject({ code: '28P01' });
    expect(asked).toHaveLength(1);
  });
});

it('escapes blanks and backslashes in the values of start-up options', () => {
  expect(startupOptions({ a: 'read committed', b: String.raw`x\y`, c: '' })).toBe(
    String.raw`-c a=read\ committed -c b=x\\y -c c=`,
  );
});

it('tells an SQLSTATE from the code of a system call', () => {
  expect([{ code: '42704' }, { code: 'ECONNREFUSED' }, new Error('x'), undefined].map(sqlState)).toEqual([
    '42704',
    undefined,
    undefined,
    undefined,
  ]);
});
