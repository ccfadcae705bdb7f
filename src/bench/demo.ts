import { spawn } from 'node:child_process';
import { join } from 'node:path';
import pc from 'picocolors';
import { packageRoot } from '../cli/paths';
import { formatMs } from '../cluster/duration';
import { selectCluster } from '../cluster/topology';
import { readSecret } from '../systems/secrets';
import { loadTopology } from '../systems/topology-file';
import { Writers } from './writers';

const CLIENTS = 8;
const RATE = 50;

/** Runs the CLI as a person would, on this terminal. */
function veloz(...args: string[]): Promise<number> {
  process.stdout.write(`\n${pc.bold(`$ veloz-ha ${args.join(' ')}`)}\n`);
  return new Promise((resolve, reject) => {
    const child = spawn(join(packageRoot, 'bin', 'veloz-ha'), args, { stdio: 'inherit' });
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 1)));
  });
}

async function must(...args: string[]): Promise<void> {
  const code = await veloz(...args);
  if (code !== 0) process.exit(code);
}

/** A planned switchover under load, with what its clients lived through. Leaves everything running. */
async function demo(): Promise<number> {
  const began = Date.now();
  await must('stack', 'up');
  await must('temporal', '--detach');
  await must('worker', '--detach');
  const selected = selectCluster(loadTopology());
  if ('error' in selected) throw new Error(selected.error);
  const { postgres, pgbouncer } = selected.cluster;
  const door = pgbouncer.nodes[0]?.address;
  if (door === undefined) throw new Error('the topology has no PgBouncer');
  const login = {
    user: postgres.client.user,
    password: readSecret(postgres.client.passwordFrom, process.env),
    database: pgbouncer.database ?? postgres.database,
  };
  const writers = new Writers(door, login, CLIENTS, RATE);
  await writers.start();
  writers.beginWindow();
  process.stdout.write(
    `\n${CLIENTS} clients now write ${CLIENTS * RATE} rows a second through PgBouncer, each its own transaction.\n`,
  );
  const code = await veloz('postgres', 'switchover', '--yes', '--reason', 'demo');
  const seen = await writers.endWindow();
  await writers.stop();

  const good = code === 0 && seen.failed === 0 && seen.lost === 0;
  const mark = good ? pc.green('✔') : pc.red('✖');
  process.stdout.write(
    [
      '',
      pc.bold('What the clients saw'),
      `  ${mark} ${seen.acknowledged} transactions acknowledged, ${seen.failed} failed`,
      `  ${mark} ${seen.lost} acknowledged rows lost (each one was looked up on the new primary)`,
      `  ${mark} longest time without a commit: ${formatMs(seen.gapMs)}`,
      ...seen.failures.map((failure) => `    ${failure}`),
      '',
      pc.bold('Now it is yours'),
      '  bin/veloz-ha status                  the whole picture',
      '  bin/veloz-ha postgres switchover     move the primary back, with a plan and a question first',
      '  http://localhost:8233                Temporal: Start Workflow, queue veloz-ha, type switchover, no input',
      '  bin/veloz-ha stack down              take it down again; also: worker stop, temporal stop',
      '',
      pc.dim(`The demo took ${formatMs(Date.now() - began)}.`),
      '',
    ].join('\n'),
  );
  return code !== 0 ? code : good ? 0 : 1;
}

demo().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`Error: ${(error as Error).message}\n`);
    process.exit(1);
  },
);
