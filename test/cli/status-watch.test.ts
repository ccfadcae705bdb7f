import { watchStatus } from '../../src/cli/status-watch';
import { makeCli } from '../../src/cli/io';
import { documentOf, statusText } from '../../src/report/status';
import { fit } from '../../src/report/text';
import { membersBefore, plain, T0 } from '../report/made-up';
import { fakeIo } from './fake-io';

const cluster = { name: 'veloz', members: membersBefore, findings: [] };

test('parts become one document, with their problems in the order of the parts', () => {
  const problem = (says: string) => ({ says, next: 'look' });
  const seen = documentOf([
    { workers: [{ identity: 'w', lastPollAt: T0 }], problems: [problem('first')] },
    { cluster, problems: [problem('second')], hints: [problem('hint')] },
    {},
  ]);
  expect(seen).toMatchObject({ version: 1, healthy: false, workers: [{ identity: 'w' }], cluster: { name: 'veloz' } });
  expect(seen.problems.map(({ says }) => says)).toEqual(['first', 'second']);
  expect(seen.hints).toHaveLength(1);
  expect(documentOf([{ cluster }]).healthy).toBe(true);
});

test('a picture that is longer than the terminal says how much is left out, and no line is wider', () => {
  const text = statusText(documentOf([{ cluster }]), T0, plain());
  const lines = text.split('\n').length;
  expect(fit(text, 200, lines, plain())).toBe(text);
  expect(fit(text, 200, 4, plain()).split('\n')).toHaveLength(4);
  expect(fit(text, 200, 4, plain())).toMatch(new RegExp(`${lines - 3} more lines$`));
  expect(
    fit(text, 30, lines, plain())
      .split('\n')
      .map((line) => line.length)
      .sort((a, b) => b - a)[0],
  ).toBe(30);
  expect(fit('\u001b[31mred ✖ text\u001b[39m', 5, 1, plain())).toBe('\u001b[31mred ✖\u001b[39m');
});

test('it is drawn again and again until Ctrl-C, also while one part gives no answer', async () => {
  const io = fakeIo({ tty: true, env: { TERM: 'xterm' } });
  let looks = 0;
  let answers = 0;
  const watching = watchStatus(
    makeCli(io, {}),
    [
      async () => {
        answers += 1;
        // The first answer comes, the second one never does.
        return answers === 1 ? { cluster } : new Promise(() => undefined);
      },
      () => {
        looks += 1;
        if (looks === 3) io.interrupt();
        return Promise.resolve({ workers: [] });
      },
    ],
    'veloz',
  );
  expect(await watching).toBe(130);
  expect([looks, answers]).toEqual([3, 2]);
  expect(io.out()).toContain('veloz-postgres-primary');
  expect(io.out()).toContain('Ctrl-C ends the watching');
});

test('a mistake in the command line ends it', async () => {
  const io = fakeIo({ tty: true, env: { TERM: 'xterm' } });
  const wrong = () => Promise.reject(new Error('no such cluster'));
  await expect(watchStatus(makeCli(io, {}), [wrong], 'veloz')).rejects.toThrow('no such cluster');
});
