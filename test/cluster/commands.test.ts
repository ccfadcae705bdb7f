import { execFileSync } from 'node:child_process';
import {
  clusterStatus,
  guardCommand,
  makeContainer,
  poolerConsole,
  psql,
  repairCommand,
  routeByHand,
  shellWord,
  sqlName,
  sqlText,
  switchoverCommand,
  watchRun,
  wholeStatus,
  workflowIdOf,
} from '../../src/cluster/commands';
import { clusterTopology, STANDBY, STANDBY_2 } from './support/picture';

/** The words that a shell hands to `docker`: the function stands in for the command of that name. */
function wordsOf(command: string): string[] {
  const out = execFileSync('sh', ['-c', `docker() { printf '%s\\0' "$@"; }; ${command}`], { encoding: 'utf8' });
  return out.split('\0').slice(0, -1);
}

describe('a command that is shown to a person', () => {
  test.each(['plain words', `it's`, `ANY 1 ("a-b")`, '$HOME `id` \\ !', `'"$`])(
    'hands %j through a shell unchanged',
    (text) => {
      const out = execFileSync('sh', ['-c', `printf %s ${shellWord(text)}`], { encoding: 'utf8' });
      expect(out).toBe(text);
    },
  );

  test('runs each statement on a node as one of its own', () => {
    const command = psql('veloz-postgres-primary', `ALTER SYSTEM SET a = 'x'`, 'SELECT pg_reload_conf()');
    expect(command).toBe(
      `docker exec veloz-postgres-primary psql -U postgres -d postgres -c "ALTER SYSTEM SET a = 'x'" -c "SELECT pg_reload_conf()"`,
    );
    expect(wordsOf(command)).toEqual([
      ...['exec', 'veloz-postgres-primary', 'psql', '-U', 'postgres', '-d', 'postgres'],
      ...['-c', `ALTER SYSTEM SET a = 'x'`, '-c', 'SELECT pg_reload_conf()'],
    ]);
  });

  test('reaches the console of the pooler without a password', () => {
    expect(wordsOf(poolerConsole('veloz-pgbouncer', 'RESUME veloz')).slice(-2)).toEqual(['-c', 'RESUME veloz']);
    expect(poolerConsole('veloz-pgbouncer', 'RESUME veloz')).toContain('docker exec -u pgbouncer veloz-pgbouncer psql');
  });

  test('routes by hand as a run of its own: claim, route, forget, with one token in valid JSON', () => {
    const [, container, , , script] = wordsOf(routeByHand('veloz-pgbouncer', { host: 'a-node', port: 5433 }));
    expect(container).toBe('veloz-pgbouncer');
    const calls = execFileSync('bash', ['-c', `veloz-agent() { printf '%s %s\\n' "$1" "$2"; }; ${script}`], {
      encoding: 'utf8',
    })
      .trim()
      .split('\n')
      .map((line) => ({ name: line.split(' ')[0], args: JSON.parse(line.slice(line.indexOf(' '))) as object }));
    const token = { run: expect.stringMatching(/^by-hand-\d+$/) as string, attempt: 1 };
    expect(calls).toEqual([
      { name: 'claim', args: { token } },
      { name: 'route', args: { token, host: 'a-node', port: 5433 } },
      { name: 'forget', args: { token } },
    ]);
  });

  test('makes a container again as the stack is started: an optional one beside all others', () => {
    const cluster = clusterTopology();
    expect(makeContainer(cluster, STANDBY)).toBe('veloz-ha stack up');
    expect(makeContainer(cluster, STANDBY_2)).toBe('veloz-ha stack up --standbys 2');
  });

  test('names its cluster, for a topology may have several', () => {
    expect([
      clusterStatus('berlin'),
      wholeStatus('berlin'),
      repairCommand('berlin'),
      guardCommand('maintenance off', 'berlin'),
      switchoverCommand('berlin'),
      switchoverCommand('berlin', '--to a-node'),
    ]).toEqual([
      'veloz-ha postgres status --cluster berlin',
      'veloz-ha status --cluster berlin',
      'veloz-ha repair --cluster berlin',
      'veloz-ha guard maintenance off --cluster berlin',
      'veloz-ha postgres switchover --cluster berlin',
      'veloz-ha postgres switchover --cluster berlin --to a-node',
    ]);
  });
});

describe('SQL', () => {
  test('quotes a name only where it has to be', () => {
    expect(['veloz_ha', 'Veloz', 'my-role', 'a"b'].map(sqlName)).toEqual([
      'veloz_ha',
      '"Veloz"',
      '"my-role"',
      '"a""b"',
    ]);
  });

  test('doubles the quotes of a text', () => {
    expect(sqlText(`it's`)).toBe(`'it''s'`);
  });
});

describe('the workflow behind a run', () => {
  test('is what stands before the run id, slashes and all', () => {
    expect(workflowIdOf('switchover/veloz/20251123-9f3a/0a1b2c3d-1111-2222-3333-444455556666')).toBe(
      'switchover/veloz/20251123-9f3a',
    );
  });

  test.each(['bare/4711/1795405725938', 'by-hand-1795405725', ''])('is unknown for %j', (run) => {
    expect(workflowIdOf(run)).toBeUndefined();
  });
});

test('a run is followed by its id, quoted when somebody typed an odd one', () => {
  expect(watchRun('switchover/veloz/20251123T032000Z-9f3a')).toBe(
    'veloz-ha watch switchover/veloz/20251123T032000Z-9f3a',
  );
  expect(watchRun('my run')).toBe('veloz-ha watch "my run"');
  expect(watchRun('a$b')).toBe(`veloz-ha watch 'a$b'`);
});
