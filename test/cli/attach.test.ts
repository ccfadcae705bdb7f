import { setTimeout as sleep } from 'node:timers/promises';
import { followToEnd } from '../../src/cli/actions/follow';
import { Attachment } from '../../src/cli/attach';
import type { RunEnd } from '../../src/cli/run-end';
import { RunTrouble, type RunSource } from '../../src/cli/run-source';
import type { RunState } from '../../src/workflows/run-state';
import {
  completed,
  doneSteps,
  ID,
  LINK,
  membersBefore,
  pendingSteps,
  plan,
  refused,
  stateWith,
  T0,
} from '../report/made-up';
import { copying } from '../report/made-up-failover';
import { fakeCli } from './fake-io';

/** A run whose states and end the test decides. */
class MadeUpRun implements RunSource {
  readonly workflowId = ID;
  readonly runId = 'r1';
  readonly link = LINK;
  state: RunState | Error = stateWith();
  private finish: (end: RunEnd) => void = () => undefined;
  private readonly ended = new Promise<RunEnd>((resolve) => (this.finish = resolve));

  status = () =>
    this.state instanceof Error ? Promise.reject(this.state) : Promise.resolve(structuredClone(this.state));
  end = () => this.ended;
  pending = () => Promise.resolve([]);
  decide = () => Promise.resolve('done');
  complete(end: RunEnd) {
    this.finish(end);
  }
}

const POLLED = 400;
let attachment: Attachment | undefined;

function attach(options: Parameters<typeof fakeCli>[0] = {}, run = new MadeUpRun()) {
  const cli = fakeCli(options);
  attachment = new Attachment(cli, run);
  return { run, cli, attachment, io: cli.io };
}

afterEach(() => attachment?.close());

test('without a terminal lines are only added: each step as it begins and ends, the picture in between, the report last', async () => {
  const { run, cli, attachment, io } = attach();
  const code = followToEnd(cli, run, attachment, undefined);
  run.state = stateWith({
    steps: [{ ...pendingSteps[0]!, state: 'running', startedAt: T0 }, ...pendingSteps.slice(1)],
  });
  await sleep(POLLED);
  run.state = stateWith({
    phase: 'running',
    members: membersBefore,
    plan,
    steps: [doneSteps[0]!, { ...pendingSteps[1]!, state: 'running', startedAt: T0 }, ...pendingSteps.slice(2)],
  });
  await sleep(POLLED);
  run.complete({ kind: 'report', report: completed, exitCode: 0 });
  expect(await code).toBe(0);
  const lines = io
    .out()
    .split('\n')
    .map((line) => line.replace(/^\d\d:\d\d:\d\d/, 'hh:mm:ss'));
  const at = (line: string) => lines.indexOf(line);
  const order = [
    'hh:mm:ss ▶ Check everything                                          1/4',
    'hh:mm:ss ✔ Check everything                                  412 ms  1/4',
    'Members',
    'hh:mm:ss ▶ Take checkpoints and claim the nodes                      2/4',
    'hh:mm:ss ✔ Take checkpoints and claim the nodes               88 ms  2/4',
    '           · Promote the standby                             120 ms',
    'hh:mm:ss ✔ Verify through the front door                      50 ms  4/4',
    '✔ COMPLETED  switchover of veloz',
  ].map(at);
  expect(order).toEqual([...order].sort((a, b) => a - b));
  expect(order).not.toContain(-1);
});

test('a run that had ended before anybody looked tells its story by its report alone', async () => {
  const run = new MadeUpRun();
  run.state = new RunTrouble('no worker', 'nobody');
  const { cli, attachment, io } = attach({}, run);
  run.complete({ kind: 'report', report: refused, exitCode: 3 });
  expect(await followToEnd(cli, run, attachment, undefined)).toBe(3);
  expect(io.out().trimStart()).toMatch(/^✖ REFUSED {2}switchover of veloz\n/);
});

test('nobody answers: it is said, the waiting goes on, and it is said when the run answers again', async () => {
  const run = new MadeUpRun();
  run.state = new RunTrouble('no worker', 'nobody');
  const { cli, attachment, io } = attach({}, run);
  const code = followToEnd(cli, run, attachment, undefined);
  await sleep(2_200);
  expect(io.out()).toMatch(/^! no worker answers for 2 s; the run waits\. Start one: veloz-ha worker --detach\n$/);
  run.state = stateWith({ steps: doneSteps });
  await sleep(POLLED);
  expect(io.out()).toContain('the run answers again\n');
  run.complete({ kind: 'report', report: completed, exitCode: 0 });
  expect(await code).toBe(0);
});

test('the approval that is waited for is shown with its commands', async () => {
  const { run, cli, attachment, io } = attach();
  run.state = stateWith({ phase: 'awaiting approval', approval: { state: 'waiting', deadline: Date.now() + 60_000 } });
  void followToEnd(cli, run, attachment, Date.now() + POLLED).catch(() => undefined);
  await sleep(POLLED);
  expect(io.out()).toContain(`    veloz-ha approve ${ID}\n    veloz-ha reject ${ID}\n`);
});

test('Ctrl-C detaches: exit 130, the id, the link and the way back; the run goes on', async () => {
  const { run, cli, attachment, io } = attach();
  const code = followToEnd(cli, run, attachment, undefined);
  await sleep(POLLED);
  io.interrupt();
  expect(await code).toBe(130);
  expect(io.out()).toBe(
    [
      'Detached: the run goes on.',
      `  Run        ${ID}`,
      `  Link       ${LINK}`,
      '  Now        Checking everything',
      `  Come back  veloz-ha watch ${ID}`,
      `  Stop it    veloz-ha abort ${ID}`,
      '',
    ].join('\n'),
  );
});

test('--timeout ends the waiting and says that the run goes on', async () => {
  const { run, cli, attachment } = attach();
  await expect(followToEnd(cli, run, attachment, Date.now() + POLLED)).rejects.toMatchObject({
    type: 'Incomplete',
    message: `the time limit ended the waiting, not the run: ${ID} goes on`,
    detail: { why: 'it is checking: Checking everything', next: `veloz-ha watch ${ID}` },
  });
});

test('-o json: the report is the only thing on stdout, progress is on stderr', async () => {
  const { run, cli, attachment, io } = attach({ output: 'json' });
  const code = followToEnd(cli, run, attachment, undefined);
  run.state = stateWith({ steps: [doneSteps[0]!, ...pendingSteps.slice(1)] });
  await sleep(POLLED);
  run.complete({ kind: 'report', report: completed, exitCode: 0 });
  await code;
  expect(JSON.parse(io.out())).toEqual(JSON.parse(JSON.stringify(completed)));
  expect(io.err()).toContain('✔ Check everything');
});

test('-o jsonl: one event a line, the report last, nothing on stderr', async () => {
  const run = new MadeUpRun();
  run.state = stateWith({ phase: 'running', steps: [doneSteps[0]!, ...pendingSteps.slice(1)] });
  const { cli, attachment, io } = attach({ output: 'jsonl' }, run);
  const code = followToEnd(cli, run, attachment, undefined);
  await sleep(POLLED);
  run.complete({ kind: 'report', report: completed, exitCode: 0 });
  await code;
  const events = io
    .out()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { version: number; event: string; n?: number; of?: number });
  expect(events.map(({ event, n }) => (n === undefined ? event : `${event} ${n}`))).toEqual([
    'phase',
    'step 1',
    'phase',
    'step 2',
    'step 3',
    'step 4',
    'report',
  ]);
  expect(events.every(({ version }) => version === 1)).toBe(true);
  expect(io.err()).toBe('');
});

test('a long copy: a line now and then in a log, an event a second for a program', async () => {
  const log = attach();
  const code = followToEnd(log.cli, log.run, log.attachment, Date.now() + 2 * POLLED).catch(() => undefined);
  log.run.state = copying();
  await code;
  expect(log.io.out().match(/pg_basebackup from .*: 34 %, 430 MB of 1\.2 GB/g)).toHaveLength(1);
  log.attachment.close();

  const stream = attach({ output: 'jsonl' });
  const ended = followToEnd(stream.cli, stream.run, stream.attachment, Date.now() + 2 * POLLED).catch(() => undefined);
  stream.run.state = copying();
  await ended;
  const events = stream.io.out().trim().split('\n');
  const told = events.map((line) => JSON.parse(line) as { event: string }).filter(({ event }) => event === 'progress');
  expect(told).toEqual([
    expect.objectContaining({ version: 1, event: 'progress', progress: copying().progress, workflowId: ID }),
  ]);
});

test('-q: the outcome and nothing else', async () => {
  const { run, cli, attachment, io } = attach({ quiet: true });
  const code = followToEnd(cli, run, attachment, undefined);
  await sleep(POLLED);
  run.complete({ kind: 'report', report: completed, exitCode: 0 });
  await code;
  expect(io.out()).toBe(`✔ COMPLETED  ${completed.says}\n`);
});

test('a run that left no report is an error of its own type', async () => {
  const { run, cli, attachment } = attach();
  run.complete({ kind: 'no report', type: 'Incomplete', says: 'it was terminated' });
  await expect(followToEnd(cli, run, attachment, undefined)).rejects.toMatchObject({
    type: 'Incomplete',
    message: `the run ${ID} left no report`,
    detail: {
      why: expect.stringMatching(/^it was terminated; what it did: http/) as unknown,
      // It gave nothing back, and to watch it once more would tell the same.
      next: 'veloz-ha repair --plan --cluster veloz',
    },
  });
});

test('while a question is on the screen nothing is drawn, and a decision made elsewhere is noticed', async () => {
  const { run, attachment, io } = attach();
  run.state = stateWith({ phase: 'awaiting approval', approval: { state: 'waiting' } });
  expect(await attachment.until({ stop: (state) => state.approval.state === 'waiting' })).toBe('stopped');
  const before = io.out();
  const elsewhere = attachment.unseen({ stop: (state) => state.approval.state !== 'waiting' });
  run.state = stateWith({ phase: 'running', approval: { state: 'approved', by: 'somebody' }, steps: doneSteps });
  expect(await elsewhere).toBe('stopped');
  expect(io.out()).toBe(before);
});
