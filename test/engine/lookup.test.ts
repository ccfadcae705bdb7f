import type { lookup, LookupAddress } from 'node:dns';
import { sharedLookup } from '../../src/engine/lookup';

type Answer = (error: NodeJS.ErrnoException | null, found: LookupAddress[]) => void;

/** A name server that answers when it is told to. */
function names() {
  const asked: { host: string; answer: Answer }[] = [];
  const ask = ((host: string, _options: object, answer: Answer) => {
    asked.push({ host, answer });
  }) as unknown as typeof lookup;
  const find = sharedLookup(ask);
  const all = (host: string) =>
    new Promise<unknown>((resolve, reject) =>
      find(host, { all: true }, (error, found) => (error === null ? resolve(found) : reject(error))),
    );
  const one = (host: string) =>
    new Promise<unknown>((resolve, reject) =>
      find(host, {}, (error, address, family) => (error === null ? resolve({ address, family }) : reject(error))),
    );
  return { asked, all, one };
}
const found = [{ address: '10.0.0.7', family: 4 }];

test('who asks while an answer is under way gets the same one', async () => {
  const { asked, all, one } = names();
  const answers = Promise.all([all('engine-1'), one('engine-1'), all('engine-2')]);
  expect(asked.map(({ host }) => host)).toEqual(['engine-1', 'engine-2']);
  asked.forEach(({ answer }) => answer(null, found));
  expect(await answers).toEqual([found, found[0], found]);
});

test('a failure reaches all who asked, and is not kept', async () => {
  const { asked, all } = names();
  const failing = Promise.allSettled([all('engine-1'), all('engine-1')]);
  asked[0]?.answer(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }), []);
  expect((await failing).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  const next = all('engine-1');
  asked[1]?.answer(null, found);
  expect(await next).toEqual(found);
});
