import { openPostgresAgent } from '../../src/systems/agent';
import { createDockerClient } from '../../src/systems/docker';
import { observePooledDatabase } from '../../src/systems/pgbouncer';
import { connectPostgres } from '../../src/systems/postgres';
import { docker as dockerCommand, POOLER, roles, thenAlways } from './support/stack';

const docker = createDockerClient();
const admin = { user: 'pgbouncer_admin', password: 'pgbouncer_admin' };

describe('the Docker driver', () => {
  test('a container that does not exist is absent, and no error', async () => {
    expect(await docker.inspect('veloz-no-such-container')).toMatchObject({
      exists: false,
      status: 'absent',
      running: false,
    });
  });

  test('a command in a container returns its exit code and both its streams', async () => {
    expect(await docker.run(POOLER, ['sh', '-c', 'echo out; echo err >&2; exit 3'], 5000)).toMatchObject({
      exitCode: 3,
      output: expect.stringMatching(/out[\s\S]*err|err[\s\S]*out/) as string,
    });
  });

  test('a command that takes too long is given up', async () => {
    await expect(docker.run(POOLER, ['sleep', '5'], 200)).rejects.toThrow(
      '"sleep" in veloz-pgbouncer took longer than 200 ms',
    );
  });
});

describe('the agent driver', () => {
  test('answers commands that overlap, each to its own caller', async () => {
    const { primary } = await roles();
    const session = await openPostgresAgent(docker, primary);
    try {
      const answers = await Promise.all([1, 2, 3].map(() => session.call('observe', {})));
      expect(answers.map((answer) => answer.node)).toEqual([primary, primary, primary]);
    } finally {
      session.close();
    }
    await expect(session.call('observe', {})).rejects.toMatchObject({ type: 'Unreachable', node: primary });
  });

  test("carries the agent's refusal with its type", async () => {
    const { primary } = await roles();
    const session = await openPostgresAgent(docker, primary);
    try {
      await expect(session.call('promote', { token: { run: 'e2e/nobody', attempt: 1 } })).rejects.toMatchObject({
        name: 'AgentError',
        type: 'Superseded',
      });
    } finally {
      session.close();
    }
  });

  test('a node without a container is unreachable, and says so', async () => {
    await expect(openPostgresAgent(docker, 'veloz-no-such-container')).rejects.toMatchObject({
      type: 'Unreachable',
      node: 'veloz-no-such-container',
    });
  });
});

describe('the PostgreSQL driver', () => {
  test('gives up a connection to a frozen pooler within its limit', async () => {
    dockerCommand('pause', POOLER);
    await thenAlways(
      async () => {
        const began = Date.now();
        await expect(
          connectPostgres({ host: '127.0.0.1', port: 6432 }, { user: 'veloz', password: 'veloz', database: 'veloz' }),
        ).rejects.toThrow(/timeout/i);
        expect(Date.now() - began).toBeLessThan(15_000);
      },
      () => {
        dockerCommand('unpause', POOLER);
      },
    );
  });

  test('a wrong password is an error that does not contain it', async () => {
    const error = await connectPostgres(
      { host: '127.0.0.1', port: 15432 },
      { user: 'veloz', password: 'not-the-password', database: 'veloz' },
    ).then(
      () => undefined,
      (reason: Error) => reason,
    );
    expect(error?.message).toMatch(/password authentication failed/);
    expect(error?.message).not.toContain('not-the-password');
  });
});

describe('the PgBouncer driver', () => {
  test('tells the pool mode, and where clients are sent', async () => {
    const { primary } = await roles();
    const address = dockerCommand('inspect', '-f', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}', primary);
    expect(await observePooledDatabase({ host: '127.0.0.1', port: 6432 }, admin, 'veloz')).toMatchObject({
      poolMode: 'transaction',
      paused: false,
      // As its agent has looked it up.
      host: address.trim(),
      port: 5432,
    });
  });

  test('a database that is not pooled is an error that names it', async () => {
    await expect(observePooledDatabase({ host: '127.0.0.1', port: 6432 }, admin, 'nothing')).rejects.toThrow(
      'PgBouncer has no database "nothing"',
    );
  });
});
